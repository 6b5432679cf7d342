"""SPACE: is any region of the space untried?"""

from collections import Counter
from functools import partial
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from records.checks.check import Check, amount, counted, percent
from records.checks.statistics import Box, empty_box_bound, gap_bound, gap_tail, largest_empty_box
from records.finished_trial import FinishedTrial
from records.run import Run
from search_spaces.unit_scale import at, place, range_text

ENOUGH = 5
"""Trials below which a gap says nothing."""
FEW_VALUES = 10
"""Whole numbers up to this many are looked at as choices."""
RARELY = 3
"""A choice tried fewer times than this is judged by luck."""

gap = partial(
    Check,
    "SPACE01",
    detected="For each range, the longest stretch (on its own scale) without a trial, against the stretch that as many uniform"
    " draws exceed one time in 20. A sampler that learns leaves poor stretches empty on purpose, so only one that borders"
    " on a trial of the best quarter is a tip.",
    matters="The best can only be found where trials were made.",
)
box = partial(
    Check,
    "SPACE02",
    detected="For each pair of ranges, the largest rectangle without a trial in their plane, against the area that as many"
    " uniform points exceed one time in 20 (simulated); a tip only where it borders on a trial of the best quarter.",
    matters="Each of two settings can be well covered and their combination be missing: a high rate with strong clipping, say.",
)
choices = partial(
    Check,
    "SPACE03",
    detected="How often each choice was tried, against the least that 39 of 40 uniform draws would give it.",
    matters="A choice that was tried once or twice was rejected, or never found, by luck.",
)


def untried_stretch(run: Run) -> Check:
    """SPACE01."""
    found = []
    for name, distribution in _ranges(run).items():
        positions = _positions(run, name, distribution)
        if len(positions) >= ENOUGH:
            edges = [0.0, *(share for share, _ in positions), 1.0]
            low, high = max(pairwise(edges), key=lambda pair: pair[1] - pair[0])
            beside = {one.number for share, one in positions if share in (low, high)}
            chance = gap_tail(len(positions), high - low)
            found.append((chance, name, distribution, low, high, len(positions), beside))
    if not found:
        return gap(
            status="not applicable",
            sentence=f"No range has {ENOUGH} trials to look between; {_tried(run)}.",
        )
    chance, name, distribution, low, high, n, beside = min(
        found, key=lambda one: (one[0], one[3] - one[4])
    )
    first, last = at(low, distribution), at(high, distribution)
    scale = "log range" if getattr(distribution, "log", False) else "range"
    good = beside & {one.number for one in run.best_quarter}
    sentence = (
        f"The longest stretch without a trial is {name} from {amount(first)} to {amount(last)}: {percent(high - low)} of its"
        f" {scale}, where {n} uniform draws leave up to {percent(gap_bound(n, 0.05))} 19 times in 20; {_borders(good)}."
    )
    if chance * len(found) < 0.05 and good:
        return gap(
            status="tip",
            sentence=sentence,
            do=run.commands.again(range_text(name, distribution, first, last)),
        )
    return gap(status="passed", sentence=sentence)


def untried_box(run: Run) -> Check:
    """SPACE02."""
    always = {
        name: one for name, one in _ranges(run).items() if run.parameters[name].only_if is None
    }
    pairs = list(combinations(always, 2))
    trials = [one for one in run.finished if _points(one, always) is not None]
    n = len(trials)
    if not pairs or n < 2 * ENOUGH:
        sentence = f"It takes two ranges that always apply and {2 * ENOUGH} trials; there are {len(always)} and {n}."
        return box(status="not applicable", sentence=sentence)
    places = {one.number: _points(one, always) or {} for one in trials}
    boxes = []
    for across, up in pairs:
        points = np.array([[place_of[across], place_of[up]] for place_of in places.values()])
        boxes.append((largest_empty_box(points), across, up))
    largest, across, up = max(boxes, key=lambda one: one[0].area)
    good = {one.number for one in run.best_quarter} & _touching(largest, across, up, places)
    ranges = [
        (name, always[name], at(low, always[name]), at(high, always[name]))
        for name, low, high in (
            (across, largest.left, largest.right),
            (up, largest.bottom, largest.top),
        )
    ]
    bound = empty_box_bound(n, len(pairs))
    words = " and ".join(f"{name} {amount(low)} to {amount(high)}" for name, _, low, high in ranges)
    sentence = (
        f"The largest empty box is {words}: {percent(largest.area)} of that plane, where {n} uniform points leave up to"
        f" {percent(bound)} 19 times in 20 (the worst of {counted(len(pairs), 'plane')}); {_borders(good)}."
    )
    if largest.area > bound and good:
        return box(
            status="tip",
            sentence=sentence,
            do=run.commands.again(*(range_text(*one) for one in ranges)),
        )
    return box(status="passed", sentence=sentence)


def rarely_tried_choices(run: Run) -> Check:
    """SPACE03."""
    from scipy.stats import binom

    rare: dict[str, list[str]] = {}
    words, least, total = [], None, 0
    for name, parameter in run.parameters.items():
        options = _choices(parameter.distribution)
        counts = Counter(one.settings[name] for one in run.finished if name in one.settings)
        n = counts.total()
        if len(options) < 2 or n < ENOUGH:
            continue
        low, high = (int(binom.ppf(share, n, 1 / len(options))) for share in (0.025, 0.975))
        for option in options:
            total += 1
            told = f"{name}={option} {counts[option]} of {n} times (uniform draws: {low} to {high})"
            if least is None or counts[option] * len(options) / n < least[0]:
                least = (counts[option] * len(options) / n, told)
            if counts[option] < min(RARELY, low):
                words.append(told)
                rare.setdefault(name, []).append(str(option))
    if least is None:
        return choices(
            status="not applicable",
            sentence=f"No parameter has choices and {ENOUGH} trials; {_tried(run)}.",
        )
    if not rare:
        return choices(status="passed", sentence=f"Of {total} choices the least tried: {least[1]}.")
    changes = [f"{name}={','.join(values)}" for name, values in rare.items()]
    return choices(
        status="tip",
        sentence=f"Rarely tried, {len(words)} of {total} choices: {'; '.join(words)}.",
        do=run.commands.again(*changes),
    )


def _ranges(run: Run) -> dict[str, BaseDistribution]:
    """The parameters that are ranges with more than a few values."""
    every = {name: parameter.distribution for name, parameter in run.parameters.items()}
    return {name: one for name, one in every.items() if not _choices(one) and not one.single()}


def _choices(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        values = range(distribution.low, distribution.high + 1, distribution.step)
        return list(values) if len(values) <= FEW_VALUES else []
    return []


def _positions(
    run: Run, name: str, distribution: BaseDistribution
) -> list[tuple[float, FinishedTrial]]:
    """Where the trials lie in the range, in order; those outside it (known settings may be) are left out."""
    places = [(place(one.settings.get(name), distribution), one) for one in run.finished]
    inside = [(share, one) for share, one in places if share is not None and 0 <= share <= 1]
    return sorted(inside, key=lambda pair: (pair[0], pair[1].number))


def _points(trial: FinishedTrial, ranges: dict[str, BaseDistribution]) -> dict[str, float] | None:
    places = {
        name: place(trial.settings.get(name), distribution) for name, distribution in ranges.items()
    }
    inside = {
        name: share for name, share in places.items() if share is not None and 0 <= share <= 1
    }
    return inside if len(inside) == len(ranges) else None


def _touching(found: Box, across: str, up: str, places: dict[int, dict[str, float]]) -> set[int]:
    """The trials that the box leans on."""
    slack = 1e-9
    return {
        number
        for number, one in places.items()
        if found.left - slack <= one[across] <= found.right + slack
        and found.bottom - slack <= one[up] <= found.top + slack
    }


def _borders(good: set[int]) -> str:
    if not good:
        return "no trial of the best quarter lies beside it"
    return f"trial {min(good)} of the best quarter lies beside it"


def _tried(run: Run) -> str:
    return (
        f"{counted(len(run.finished), 'trial')} {'has' if len(run.finished) == 1 else 'have'} ended"
    )
