"""Several seeds of one configuration as one trial (``--seeds-per-trial``).

A metric of one seed is noisy, and a search that selects by it selects luck. Here a trial trains R
seeds of its settings in one process, in turns, and reports their mean or the worst of them. Each
training is what it would be alone, to the last bit: its random generators are put back whenever its
turn comes. Poor settings end early, in two ways. Until the first rung, only the first seed trains:
the others catch up if early stopping lets the trial go on. And if one seed diverges or gives up,
the trial ends as that seed did.
"""

import math
from statistics import fmean
from typing import Any, ClassVar, Literal

from torch import nn

from records.objective import Objective
from records.outcome import BUDGET, outcome_of
from trainables.random_states import random_states, set_random_states
from trainables.resumable import ResumableTrainable, Row

OverSeeds = Literal["worst", "mean"]
"""What a trial reports of its seeds: the whole report of the seed with the worst objective, or the
mean of every number."""


class SeveralSeeds(ResumableTrainable):
    """A trial of ``seeds_per_trial`` trainings, with the config's ``seed`` and the seeds after it.

    While the first seed has cost at most ``first_seed_until``, it trains alone. A report's ``step``
    and cost are the furthest of its seeds', and ``seeds`` holds the last report of each. The
    weights in a checkpoint are those of the first seed, so a training of that seed alone can go on
    from there.
    """

    single: ClassVar[type[ResumableTrainable]]
    objective: ClassVar[Objective]
    over_seeds: ClassVar[OverSeeds]
    cost: ClassVar[str]
    """The entry of every report that counts its cost."""

    def build(self, config: dict[str, Any]) -> None:
        self.trainings: list[ResumableTrainable] = []
        self._random: list[dict[str, Any]] = []
        training = type(self.single.__name__, (self.single,), {"shared": self.shared})
        alone = {name: value for name, value in config.items() if name != "restore_from"}
        for place in range(int(config["seeds_per_trial"])):
            own = {**alone, "seed": config["seed"] + place}
            self.trainings.append(training(own, storage=self._storage))
            self._random.append(random_states(self.device))

    @property
    def model(self) -> nn.Module:  # type: ignore[override]
        """The network of the first seed."""
        network: nn.Module = self.trainings[0].model
        return network

    def _train_and_report(self) -> Row:
        first, *others = range(len(self.trainings))
        self._report(first)
        cost = self._cost_of(first)
        if self._goes_on(first) and cost <= self.config.get("first_seed_until", -math.inf):
            others = []
        for place in others:
            if self._gave_up() is not None:
                break
            self._catch_up(place, cost)
        self.step_number = max(one.step_number for one in self.trainings)
        return self._row()

    def _report(self, place: int) -> None:
        """Let one seed train until its next report, if it can go on."""
        if self._goes_on(place):
            set_random_states(self._random[place], self.device)
            row = self.trainings[place].step()
            self.files |= row.get("files", {}) if place == 0 else {}
            self._random[place] = random_states(self.device)

    def _catch_up(self, place: int, cost: float) -> None:
        """Let one seed train until it has cost as much as the first, or for one report more."""
        self._report(place)
        while self._goes_on(place) and self._cost_of(place) < cost:
            self._report(place)

    def _goes_on(self, place: int) -> bool:
        return self.trainings[place].last_row["ended"] is None

    def _cost_of(self, place: int) -> float:
        cost: float = self.trainings[place].last_row.get(self.cost, 0)
        return cost

    def _reports(self) -> list[Row]:
        """The last report of each seed that has one."""
        return [one.last_row for one in self.trainings if "step" in one.last_row]

    def _gave_up(self) -> Row | None:
        """The report of a seed that ended without using its budget or converging."""
        ended = [row for row in self._reports() if row["ended"] is not None]
        return next((row for row in ended if outcome_of(row["ended"]).kind != "complete"), None)

    def _row(self) -> Row:
        """The report of the trial."""
        rows, given_up = self._reports(), self._gave_up()
        worst = given_up or max(rows, key=self.objective.loss)
        row = dict(worst)
        if self.over_seeds == "mean" and given_up is None:
            row = {**rows[0], **means(rows)}
        ended = [one["ended"] for one in rows]
        done = None not in ended and len(rows) == len(self.trainings)
        row["ended"] = worst["ended"] if given_up else self._complete(ended) if done else None
        row |= {"step": self.step_number, self.cost: max(map(self._cost_of, range(len(rows))))}
        seeds = range(int(self.config["seed"]), int(self.config["seed"]) + len(rows))
        row["seeds"] = [
            {"seed": seed, **numbers(one)} for seed, one in zip(seeds, rows, strict=True)
        ]
        return row

    @staticmethod
    def _complete(ended: list[str]) -> str:
        return BUDGET.name if BUDGET.name in ended else ended[0]

    def _state(self) -> dict[str, Any]:
        first, *others = (
            one._state() | random for one, random in zip(self.trainings, self._random, strict=True)
        )
        weights = [one.model.state_dict() for one in self.trainings[1:]]
        return {**first, "others": others, "others_weights": weights, "row": self.last_row}

    def _put_state(self, state: dict[str, Any]) -> None:
        states = [state, *state["others"]]
        for one, weights in zip(self.trainings[1:], state["others_weights"], strict=True):
            one.model.load_state_dict(weights)
        for one, own in zip(self.trainings, states, strict=True):
            one._put_state(own)
        self._random = [
            {name: own[name] for name in random}
            for own, random in zip(states, self._random, strict=True)
        ]
        self.step_number = max(one.step_number for one in self.trainings)
        self.last_row = state["row"]
        if any(self._goes_on(place) for place in range(len(self.trainings))):
            given_up = self._gave_up()
            self.last_row = {**self.last_row, "ended": given_up and given_up["ended"]}


def numbers(row: Row) -> Row:
    """A report without its lists, such as training curves."""
    return {name: value for name, value in row.items() if not isinstance(value, list | dict)}


def means(rows: list[Row]) -> dict[str, float | None]:
    """The mean of every number of the reports; None if one of them has no such number."""
    names = [
        name
        for name in rows[0]
        if all(isinstance(row.get(name), int | float | None) for row in rows)
        and any(isinstance(row.get(name), int | float) for row in rows)
    ]
    values = {name: [row.get(name) for row in rows] for name in names}
    return {
        name: None if None in found else fmean(v for v in found if v is not None)
        for name, found in values.items()
    }


def several_seeds(
    single: type[ResumableTrainable], objective: Objective, over_seeds: OverSeeds, cost: str
) -> type[SeveralSeeds]:
    """The trainable of trials that train several seeds with ``single``."""
    own = {
        "single": single,
        "shared": single.shared,
        "objective": objective,
        "over_seeds": over_seeds,
        "cost": cost,
        "__module__": single.__module__,
    }
    return type(single.__name__, (SeveralSeeds,), own)
