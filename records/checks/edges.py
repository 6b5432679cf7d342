"""EDGE: do the best settings lie where the range was cut off?"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from records.checks.check import Check, amount, between, percent
from records.checks.statistics import share_interval
from records.run import FinishedTrial, Run
from search_spaces.unit_scale import ordered_choices, place
from search_spaces.widening import widened

End = Literal["lower", "upper"]
ENDS: tuple[End, End] = ("lower", "upper")

EDGE = 0.05
"""Share of a (log) range, at either end, in which the winner counts as being at the edge."""
OUTER = 0.1
"""Share of a (log) range, at either end, in which the best trials are counted."""

at_edge = partial(
    Check,
    "EDGE01",
    detected="The winner's numbers within the outer twentieth of their (log) range, or the last of those to choose from."
    " Natural bounds are exempt: 0, a count of 1, a share of 1.",
    matters="Where the best is as far out as the search could go, what is better still may lie beyond.",
)
crowded = partial(
    Check,
    "EDGE02",
    detected="How many of the best quarter of the trials lie in the outer tenth of a (log) range, or at the last of the numbers"
    " to choose from, against what uniform draws would put there: Clopper and Pearson's interval, its level divided by the"
    " number of ends looked at. A sampler that learns draws round the best it knows, so its trials are not independent.",
    matters="One winner at an edge can be chance; many good trials at the same edge say that the range was cut too early.",
)


def winner_at_an_edge(run: Run) -> Check:
    """EDGE01."""
    if run.winner is None:
        return at_edge(
            status="not applicable", sentence="There is no winner: 0 trials used their budget."
        )
    found, changes, looked_at = [], [], 0
    for name, distribution, end, change in _open_ends(run):
        position = place(run.winner.settings.get(name), distribution)
        if position is None:
            continue
        looked_at += 1
        if position > 1 - EDGE if end == "upper" else position < EDGE:
            count, n, _ = _in_outer_part(name, distribution, end, run.best_quarter)
            share = f", as {count} of the best {n} trials: {_share_words(count, n)}" if n else ""
            found.append(f"{name}={amount(run.winner.settings[name])} ({end} end{share})")
            changes.append(change)
    trial = f"trial {run.winner.number}"
    if not looked_at:
        return at_edge(
            status="not applicable",
            sentence=f"None of {trial}'s settings is a number with an open end.",
        )
    if not found:
        sentence = f"None of the {looked_at} ends that {trial}'s numbers could lie at is within {percent(EDGE)} of its range."
        return at_edge(status="passed", sentence=sentence)
    sentence = f"The best may lie beyond: {trial} has {'; '.join(found)}."
    return at_edge(status="tip", sentence=sentence, do=run.again(*changes))


def best_trials_at_an_edge(run: Run) -> Check:
    """EDGE02."""
    seen = []
    for name, distribution, end, change in _open_ends(run):
        count, n, chance = _in_outer_part(name, distribution, end, run.best_quarter)
        if n:
            seen.append(Crowd(count / n - chance, name, end, change, count, n, chance))
    if not seen:
        sentence = f"None of the best quarter, {len(run.best_quarter)} of {len(run.ranked)} trials, has a number with an open end."
        return crowded(status="not applicable", sentence=sentence)
    confidence = 1 - 0.05 / len(seen)
    flagged = [one for one in seen if share_interval(one.count, one.n, confidence).low > one.chance]
    words = "; ".join(
        f"{one.count} of {one.n} at the {one.end} end of {one.name} ({_share_words(one.count, one.n)}; chance:"
        f" {percent(one.chance)})"
        for one in flagged or [max(seen)]
    )
    if flagged:
        sentence = f"More of the best trials than chance puts there: {words}."
        return crowded(
            status="issue", sentence=sentence, do=run.again(*(one.change for one in flagged))
        )
    sentence = f"Of {len(seen)} ends none holds more of the best trials than chance puts there; most: {words}."
    return crowded(status="passed", sentence=sentence)


@dataclass(frozen=True, order=True)
class Crowd:
    """Trials in the outer part of a range: how many of ``n``, and how far that is above ``chance``."""

    excess: float
    name: str
    end: End
    change: str
    count: int
    n: int
    chance: float


def _open_ends(run: Run) -> Iterator[tuple[str, BaseDistribution, End, str]]:
    """Every end of a parameter's numbers beyond which there is something, with the change that goes there."""
    for name, parameter in run.parameters.items():
        for end in ENDS:
            if end == "upper" and _is_share(parameter.distribution):
                continue
            try:
                yield name, parameter.distribution, end, widened(name, parameter.distribution, end)
            except ValueError:
                continue


def _is_share(distribution: BaseDistribution) -> bool:
    """Whether the upper end is a share's own: 1, on a linear scale."""
    if isinstance(distribution, FloatDistribution):
        return distribution.high == 1 and not distribution.log
    choices = ordered_choices(distribution)
    return bool(choices) and choices[-1] == 1 and isinstance(choices[-1], float)


def _in_outer_part(
    name: str, distribution: BaseDistribution, end: End, trials: list[FinishedTrial]
) -> tuple[int, int, float]:
    """How many of the trials that have the parameter lie in its outer part; of how many; the chance of a uniform draw."""
    positions = [
        found
        for one in trials
        if (found := place(one.settings.get(name), distribution)) is not None
    ]
    count = sum(
        position >= 1 - OUTER if end == "upper" else position <= OUTER for position in positions
    )
    values: float = len(ordered_choices(distribution)) or math.inf
    if isinstance(distribution, IntDistribution):
        values = (distribution.high - distribution.low) // distribution.step + 1
    return count, len(positions), max(OUTER, 1 / values)


def _share_words(count: int, n: int) -> str:
    return f"{percent(count / n)}, {between(share_interval(count, n))}"
