"""What the page that compares runs says of their fresh seeds: each run's results, and each two runs
of the same task compared. The statistics are in ``records``."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean, median

from records.checks.check import Interval, amount, between
from records.fresh_results import fresh_results
from records.run import Run
from records.versus_baseline import versus_baseline
from records.versus_run import VersusRun
from reports.content import goal_words, number

NONE = "—"
MINUS = "−"


@dataclass(frozen=True)
class Fresh:
    """A run's best settings on fresh seeds, in words ready for a page.

    Attributes:
        reached: On how many of how many seeds the goal is reached.
        share: The 95% interval for the fraction of all seeds.
        mean: The goal's metric on average over ``n`` seeds.
        interval: The mean's 95% interval.
        steps: The steps to converge: the median, and the least and the most.
        median: Of these steps, to sort by; None if no seed converged.
        better: Whether the best settings are better than the best baseline.
    """

    goal: str
    reached: str
    share: str
    mean: str
    interval: str
    n: str
    steps: str
    median: float | None
    better: str


@dataclass(frozen=True)
class Pair:
    """Two runs of the same task, in words ready for a page.

    Attributes:
        task: What distinguishes their task from that of other pairs; empty if nothing does.
        difference: The first run's mean minus the second's; ``change`` is its value, to sort by.
        interval: Of the difference, so wide that all on the page together miss 1 time in 20.
        n: Of each run.
    """

    first: Run
    second: Run
    task: str
    metric: str
    means: tuple[str, str]
    difference: str
    change: float | None
    interval: str
    n: str
    verdict: str


def fresh(run: Run) -> Fresh:
    """The run's results in words."""
    found, versus = fresh_results(run), versus_baseline(run)
    n, interval = len(found.values), _ends(found.mean, number)
    if n > 1 and found.mean is None:
        interval = "all equal"
    return Fresh(
        goal=goal_words(run.goal),
        reached=f"{found.reached} of {found.seeds}",
        share=between(found.fraction) if found.fraction else NONE,
        mean=number(mean(found.values)) if n else NONE,
        interval=interval,
        n=str(n),
        steps=_steps(found.steps),
        median=median(found.steps) if found.steps else None,
        better=versus.short if versus else NONE,
    )


def shown_pair(pair: VersusRun, task: str) -> Pair:
    """A comparison in words."""

    def change(value: float) -> str:
        return f"{'+' if value >= 0 else MINUS}{amount(abs(value))}"

    first, second = (
        number(mean(one)) if all(map(math.isfinite, one)) else NONE for one in pair.values
    )
    return Pair(
        first=pair.first,
        second=pair.second,
        task=task,
        metric=pair.metric.replace("_", " "),
        means=(first, second),
        difference=NONE if pair.difference is None else change(pair.difference),
        change=pair.difference,
        interval=_ends(pair.interval, change),
        n=f"{len(pair.values[0])} and {len(pair.values[1])}",
        verdict=pair.verdict if pair.interval else f"{pair.verdict}, by ranks",
    )


def _steps(steps: Sequence[float]) -> str:
    if not steps:
        return NONE
    middle, least, most = (number(round(one)) for one in (median(steps), min(steps), max(steps)))
    return f"{middle} ({least} to {most})"


def _ends(interval: Interval | None, shown: Callable[[float], str]) -> str:
    return NONE if interval is None else f"{shown(interval.low)} to {shown(interval.high)}"
