"""The finalists: the best trials of the search and the best baseline, trained again on the same
fresh seeds.

The value by which a search selects a trial is the best of many, so it is too optimistic; and known
settings that had one seed cannot be compared with it. Fresh seeds, which the search never used,
show what settings achieve without that selection. After a few seeds, a finalist is dropped if it is
worse than the one that leads, and the others go on. The best baseline is never dropped, since the
best settings are compared with it in the end. All results are reported.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from records.objective import Goal, Objective, pareto_front
from records.outcome import COMPLETE, CUT_OFF, ERROR, STOPPED_EARLY
from records.places import place_of
from records.run_directory import RunDirectory
from records.trial_directory import TrialRecord
from tuning.options import SearchOptions
from tuning.seeds import confirmation_seeds
from tuning.task import Task

FIRST_SEEDS = 3
"""Fresh seeds of every finalist, before one is dropped."""
MORE_SEEDS = 2
"""Fresh seeds after which the others are compared again."""
DROPPED_AT = 0.05
"""A finalist is dropped if one that is as good would seem as much worse this often."""


@dataclass
class Finalist:
    """A trial of the search whose settings may be the best.

    Attributes:
        ended: The name of its outcome.
        config: The config that trains it again. If the trial took over another trial's weights: the
            settings with which that training began, and the ``schedule`` of the changes since.
        seed: The trial's seed in the search.
        last_row: The trial's last report in the search.
        lineage: The trials that its weights passed through, in order; the trial itself is last.
        confirmations: For each fresh seed, the last report of these settings on that seed; empty if
            that training failed.
    """

    number: int
    ended: str
    config: dict[str, Any]
    seed: int
    last_row: dict[str, Any]
    lineage: list[int] = field(default_factory=list)
    confirmations: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def baseline(self) -> str | None:
        """The name of the baseline that it is, or None."""
        return self.config.get("baseline")

    def reached(self, goal: Goal) -> int:
        """On how many fresh seeds the goal is reached."""
        return sum(goal.reached(row) for row in self.confirmations.values())

    def holds(self, goal: Goal, count: int) -> bool:
        """Whether the goal is reached on every one of ``count`` fresh seeds."""
        return len(self.confirmations) == count == self.reached(goal)

    def losses(self, objective: Objective, seeds: Iterable[int]) -> NDArray[np.float64]:
        """The objective on these fresh seeds as numbers to minimize, shape (seeds,)."""
        return np.array([objective.loss(self.confirmations[seed]) for seed in seeds])

    def summary(self) -> dict[str, Any]:
        """The finalist's entry in ``confirmation.json``."""
        return {
            "trial": self.number,
            "config": self.config,
            "selected": self.last_row,
            "confirmed": [
                {"seed": seed, **row} for seed, row in sorted(self.confirmations.items())
            ],
        }


def ranked(run: RunDirectory, options: SearchOptions, task: Task) -> list[Finalist]:
    """The trials with a result, the best first, with their results on fresh seeds so far.

    Trials that converged or used their whole budget come first, ordered by the first objective,
    then those that were stopped early or cut off.
    """
    found, confirmed = [], _confirmations(run.confirmation(), options)
    for directory, record in run.trials():
        rows = directory.rows()
        if rows and record.ended in (*COMPLETE, STOPPED_EARLY.name, *CUT_OFF):
            number = record.number
            config, lineage = run.replay(number)
            if "baseline" in record.config:
                config["baseline"] = record.config["baseline"]
            own, results = record.config["seed"], confirmed.get(number, {})
            found.append(Finalist(number, record.ended, config, own, rows[-1], lineage, results))
    return sorted(
        found,
        key=lambda one: (
            one.ended not in COMPLETE,
            task.objective.loss(one.last_row),
            one.number,
        ),
    )


def _confirmations(
    run: RunDirectory, options: SearchOptions
) -> dict[int, dict[int, dict[str, Any]]]:
    """By trial and fresh seed: the last report of every training that has ended."""
    seeds = confirmation_seeds(options.seed, options.confirm)
    found: dict[int, dict[int, dict[str, Any]]] = {}
    for directory, record in run.trials():
        if record.ended and record.config["seed"] in seeds:
            rows = directory.rows() if record.ended != ERROR.name else []
            results = found.setdefault(record.config["confirms"], {})
            results[record.config["seed"]] = rows[-1] if rows else {}
    return found


def finalists(every: Sequence[Finalist], count: int) -> list[Finalist]:
    """Of ``ranked`` trials, in their order: the ``count`` best that are no baselines, and the best
    baseline.

    Trials that were stopped early or cut off are chosen only if no others have ended.
    """
    searched = [one for one in every if not one.baseline]
    complete = [one for one in searched if one.ended in COMPLETE]
    return with_baseline((complete or searched)[:count], every)


def with_baseline(chosen: Sequence[Finalist], every: Sequence[Finalist]) -> list[Finalist]:
    """The chosen of all ranked trials, and the best baseline, in their order."""
    numbers = {one.number for one in (*chosen, reference(every)) if one}
    return [one for one in every if one.number in numbers]


def reference(every: Iterable[Finalist]) -> Finalist | None:
    """The first baseline: the best one, with which the best settings are compared."""
    return next((one for one in every if one.baseline), None)


def stages(count: int) -> list[int]:
    """How many of ``count`` fresh seeds have been used at the end of each stage."""
    return [*range(min(FIRST_SEEDS, count), count, MORE_SEEDS), count] if count else []


def racing(field: Sequence[Finalist], objective: Objective, seeds: Sequence[int]) -> list[Finalist]:
    """Those finalists that are still in the race after their results on ``seeds``."""
    losses = [one.losses(objective, seeds) for one in field]
    leader = min(losses, key=np.mean)
    spared = reference(field)
    return [
        one
        for one, own in zip(field, losses, strict=True)
        if own is leader or one is spared or not _worse(own, leader)
    ]


def _worse(losses: NDArray[np.float64], leader: NDArray[np.float64]) -> bool:
    """Whether losses are larger than the leader's on the same seeds: Student's paired test, or on
    two seeds a failure where the leader has none."""
    from scipy.stats import ttest_rel

    if not np.isfinite([losses, leader]).all():
        return int((np.isinf(losses) & np.isfinite(leader)).sum()) >= 2
    differences = losses - leader
    if np.ptp(differences) < 1e-9 * np.abs(differences).max():  # the same on every seed
        return bool(differences[0] > 0)
    return bool(ttest_rel(losses, leader, alternative="greater").pvalue < DROPPED_AT)


def race_queue(
    field: Sequence[Finalist], run: RunDirectory, options: SearchOptions, task: Task
) -> list[dict[str, Any]]:
    """Configs of the trainings of the race's next stage; empty if the race is over."""
    seeds = confirmation_seeds(options.seed, options.confirm)
    for end in stages(options.confirm) if field else ():
        if queue := seeds_queue(field, seeds[:end], run, task):
            return queue
        field = racing(field, task.objective, seeds[:end])
    return []


def seeds_queue(
    field: Sequence[Finalist], seeds: Sequence[int], run: RunDirectory, task: Task
) -> list[dict[str, Any]]:
    """Configs of the finalists' trainings on these seeds that have not ended. If one was cut off,
    it goes on from its checkpoint."""
    records = {(r.config["confirms"], r.config["seed"]): r for _, r in run.trials()}
    queue: list[dict[str, Any]] = []
    number = run.next_number()
    for seed in seeds:
        for one in field:
            record = records.get((one.number, seed))
            if record is None:
                own = {"seed": seed, "trial": number, "confirms": one.number}
                config = {**one.config, **task.confirming, **own}
                run.trial(number).write(TrialRecord(number, config))
                queue.append(config)
                number += 1
            elif record.ended is None:
                checkpoints = [place_of(one) for one in run.trial(record.number).checkpoints()]
                queue.append({**record.config, "restore_from": checkpoints})
    return queue


def best_of(field: Sequence[Finalist], objective: Objective, goal: Goal, count: int) -> Finalist:
    """The finalist that reaches the goal on most of ``count`` fresh seeds, and among several the
    one with the best mean objective there; the search's best if none was trained on all seeds."""
    whole = [one for one in field if len(one.confirmations) == count]
    if not count or not whole:
        return field[0]

    def rank(one: Finalist) -> tuple[int, float]:
        return -one.reached(goal), float(np.mean(one.losses(objective, one.confirmations)))

    return min(whole, key=rank)


def unbeaten(run: RunDirectory, task: Task) -> list[tuple[int, dict[str, Any]]]:
    """Number and last row of the trials on the Pareto front, of those that used their budget."""
    ended = [
        (r.number, rows[-1]) for d, r in run.trials() if r.ended in COMPLETE and (rows := d.rows())
    ]
    losses = [[one.loss(row) for one in task.objectives] for _, row in ended]
    return [ended[place] for place in pareto_front(np.array(losses))]
