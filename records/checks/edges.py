"""EDGE: do the best settings lie where a range was cut off?"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Literal

from optuna.distributions import BaseDistribution, FloatDistribution

from records.checks.check import Check, amount, counted
from records.finished_trial import FinishedTrial
from records.run import Run
from search_spaces.unit_scale import ordered_choices, place
from search_spaces.widening import widened

End = Literal["lower", "upper"]
ENDS: tuple[End, End] = ("lower", "upper")

OUTER = 0.1
"""Fraction of a (log) range, at either end, in which trials are counted."""
LEVEL = 0.05
"""How often a search without a fault may be said to have one."""

crowded = partial(
    Check,
    "EDGE02",
    detected="How many of the best quarter of the trials lie in the outer tenth of a (log) range,"
    " or at the last of its numbers to choose from, compared with the other trials by Fisher's"
    " exact test. All ends together have a level of 5%. Natural bounds are exempt: 0, a count of 1,"
    " a fraction of 1.",
    matters="If the best trials crowd where the range was cut off, better ones may lie beyond.",
)


def best_trials_at_an_edge(run: Run) -> Check:
    """EDGE02."""
    seen = [crowd for crowd in _crowds(run) if crowd.n]
    if not seen:
        quarter = f"{len(run.best_quarter)} of {len(run.ranked)} trials"
        sentence = f"None of the best quarter ({quarter}) has a number with an open end."
        return crowded("not applicable", sentence)
    level = LEVEL / len(seen)
    flagged = [one for one in seen if one.chance < level]
    if flagged:
        words = "; ".join(map(str, flagged))
        sentence = f"More of the best trials lie at an end than of the others: {words}."
        return crowded("issue", sentence, do=run.commands.again(*(one.change for one in flagged)))
    n = len(run.ranked)
    if (enough := _trials_that_tell(level)) > n:
        sentence = (
            f"{counted(n, 'trial')} cannot tell whether the best crowd at one of"
            f" {counted(len(seen), 'open end')}; {enough:,} would."
        )
        return crowded("inconclusive", sentence)
    sentence = f"The best trials crowd at none of {counted(len(seen), 'open end')}"
    return crowded("passed", f"{sentence}; the nearest to it: {min(seen)}.")


def _trials_that_tell(level: float) -> int:
    """How many trials it takes to see, at this level, a clear crowd: half of the best quarter lies
    at an end and none of the others."""
    eighths = count(1)
    return next(8 * n for n in eighths if _fisher(n, 2 * n, 0, 6 * n) < level)


@dataclass(frozen=True, order=True)
class Crowd:
    """Trials in the outer part of a range.

    Attributes:
        chance: Fisher's p-value: how often as many of the best would lie there by chance.
        here, n: How many of the best quarter lie there, of how many that have the parameter.
        there, rest: The same of the other trials.
    """

    chance: float
    name: str
    end: End
    change: str
    here: int
    n: int
    there: int
    rest: int

    def __str__(self) -> str:
        return (
            f"{self.here} of the best {self.n} and {self.there} of the other {self.rest} at the"
            f" {self.end} end of {self.name} (p = {amount(self.chance, 2)})"
        )


def _crowds(run: Run) -> Iterator[Crowd]:
    """The trials at every end that could be moved out."""
    best = run.best_quarter
    others = run.ranked[len(best) :]
    for name, distribution, end, change in _open_ends(run):
        here, n = _in_outer_part(name, distribution, end, best)
        there, rest = _in_outer_part(name, distribution, end, others)
        yield Crowd(_fisher(here, n, there, rest), name, end, change, here, n, there, rest)


def _fisher(here: int, n: int, there: int, rest: int) -> float:
    """The chance that so many or more of ``n`` are among ``here + there`` drawn of ``n + rest``."""
    from scipy.stats import hypergeom

    return float(hypergeom.sf(here - 1, n + rest, here + there, n))


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
) -> tuple[int, int]:
    """How many trials lie in a parameter's outer part, and of how many."""
    places = [place(one.settings.get(name), distribution) for one in trials]
    positions = [one for one in places if one is not None]
    outer = [one for one in positions if (one >= 1 - OUTER if end == "upper" else one <= OUTER)]
    return len(outer), len(positions)
