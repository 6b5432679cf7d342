"""EDGE: do the best settings lie where the range was cut off?"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from records.checks.check import Check, amount, between, no_winner, percent
from records.checks.statistics import fraction_interval
from records.finished_trial import FinishedTrial
from records.run import Run
from search_spaces.unit_scale import ordered_choices, place
from search_spaces.widening import widened

End = Literal["lower", "upper"]
ENDS: tuple[End, End] = ("lower", "upper")

EDGE = 0.05
"""Fraction of a (log) range, at either end, in which the winner counts as at the edge."""
OUTER = 0.1
"""Fraction of a (log) range, at either end, in which the best trials are counted."""

at_edge = partial(
    Check,
    "EDGE01",
    detected="Each of the winner's numbers that is in the outer twentieth of its (log) range, or"
    " the last of its choices. Natural bounds are exempt: 0, a count of 1, a fraction of 1.",
    matters="If the best value is as far out as the search could go, a better one may lie beyond.",
)
crowded = partial(
    Check,
    "EDGE02",
    detected="How many of the best quarter of the trials lie in the outer tenth of a (log) range,"
    " or at the last of its numbers to choose from, compared with uniform draws by Clopper and"
    " Pearson's interval. Its level is divided by the number of ends. A sampler that learns draws"
    " near the best it knows, so its trials are not independent.",
    matters="One winner at an edge can be chance. Many good trials at the same edge mean that the"
    " range was cut too early.",
)


def winner_at_an_edge(run: Run) -> Check:
    """EDGE01."""
    if run.winner is None:
        return at_edge("not applicable", no_winner(run))
    found, changes, ends = [], [], 0
    for name, distribution, end, change in _open_ends(run):
        position = place(run.winner.settings.get(name), distribution)
        if position is None:
            continue
        ends += 1
        if position > 1 - EDGE if end == "upper" else position < EDGE:
            count, n, _ = _in_outer_part(name, distribution, end, run.best_quarter)
            best = f", as {count} of the best {n} trials: {_fraction(count, n)}" if n else ""
            found.append(f"{name}={amount(run.winner.settings[name])} ({end} end{best})")
            changes.append(change)
    trial = f"trial {run.winner.number}"
    if not ends:
        return at_edge("not applicable", f"Of {trial}'s settings 0 are numbers with an open end.")
    if not found:
        sentence = f"None of {trial}'s numbers is within {percent(EDGE)} of one of the {ends} ends."
        return at_edge("passed", sentence)
    sentence = f"The best may lie beyond: {trial} has {'; '.join(found)}."
    return at_edge("tip", sentence, do=run.commands.again(*changes))


def best_trials_at_an_edge(run: Run) -> Check:
    """EDGE02."""
    seen = []
    for name, distribution, end, change in _open_ends(run):
        count, n, chance = _in_outer_part(name, distribution, end, run.best_quarter)
        if n:
            seen.append(Crowd(count / n - chance, name, end, change, count, n, chance))
    if not seen:
        quarter = f"{len(run.best_quarter)} of {len(run.ranked)} trials"
        sentence = f"None of the best quarter ({quarter}) has a number with an open end."
        return crowded("not applicable", sentence)
    flagged = [one for one in seen if one.low(1 - 0.05 / len(seen)) > one.chance]
    if flagged:
        words = "; ".join(map(str, flagged))
        sentence = f"More of the best trials lie at an end than uniform draws would: {words}."
        return crowded("issue", sentence, do=run.commands.again(*(one.change for one in flagged)))
    sentence = f"None of {len(seen)} ends has more of the best trials than uniform draws would have"
    return crowded("passed", f"{sentence}; the most: {max(seen)}.")


@dataclass(frozen=True, order=True)
class Crowd:
    """Trials in the outer part of a range: ``count`` of ``n``, ``excess`` above ``chance``."""

    excess: float
    name: str
    end: End
    change: str
    count: int
    n: int
    chance: float

    def low(self, confidence: float) -> float:
        """The lower end of the fraction's interval."""
        return fraction_interval(self.count, self.n, confidence).low

    def __str__(self) -> str:
        fraction = f"{_fraction(self.count, self.n)}; chance: {percent(self.chance)}"
        return f"{self.count} of {self.n} at the {self.end} end of {self.name} ({fraction})"


def _open_ends(run: Run) -> Iterator[tuple[str, BaseDistribution, End, str]]:
    """Every end of a parameter's numbers that could be moved out, with the change that does it."""
    for name, parameter in run.parameters.items():
        for end in ENDS:
            if end == "upper" and _is_fraction(parameter.distribution):
                continue
            try:
                yield (
                    name, parameter.distribution, end,
                    widened(name, parameter.distribution, end, parameter.at_least),
                )  # fmt: skip
            except ValueError:
                continue


def _is_fraction(distribution: BaseDistribution) -> bool:
    """Whether the upper end is a fraction's natural bound: 1, on a linear scale."""
    if isinstance(distribution, FloatDistribution):
        return distribution.high == 1 and not distribution.log
    choices = ordered_choices(distribution)
    return bool(choices) and choices[-1] == 1 and isinstance(choices[-1], float)


def _in_outer_part(
    name: str, distribution: BaseDistribution, end: End, trials: list[FinishedTrial]
) -> tuple[int, int, float]:
    """How many trials lie in a parameter's outer part, of how many; and a uniform draw's chance."""
    places = [place(one.settings.get(name), distribution) for one in trials]
    positions = [one for one in places if one is not None]
    count = sum(one >= 1 - OUTER if end == "upper" else one <= OUTER for one in positions)
    values: float = len(ordered_choices(distribution)) or math.inf
    if isinstance(distribution, IntDistribution):
        values = (distribution.high - distribution.low) // distribution.step + 1
    return count, len(positions), max(OUTER, 1 / values)


def _fraction(count: int, n: int) -> str:
    return f"{percent(count / n)}, {between(fraction_interval(count, n))}"
