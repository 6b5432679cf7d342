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
from search_spaces.set_syntax import override_text, token
from search_spaces.unit_scale import at, place, range_text

ENOUGH = 5
"""With fewer trials a gap says nothing."""
FEW_VALUES = 10
"""A range of at most this many whole numbers is treated as choices."""
RARELY = 3
"""A choice that was tried fewer times than this is judged by luck."""

gap = partial(
    Check,
    "SPACE01",
    detected="For each range, the longest stretch (on its own scale) without a trial, compared"
    " with the stretch that as many uniform draws exceed in 1 of 20 cases. A sampler that learns"
    " leaves poor stretches empty on purpose, so only a stretch next to a trial of the best"
    " quarter is a tip.",
    matters="The best settings can only be found where trials were made.",
)
box = partial(
    Check,
    "SPACE02",
    detected="For each pair of ranges, the largest rectangle without a trial in their plane,"
    " compared with the area that as many uniform points exceed in 1 of 20 cases (simulated). It"
    " is a tip only next to a trial of the best quarter.",
    matters="Two settings can each be well covered while a combination is missing, such as a high"
    " learning rate with strong clipping.",
)
choices = partial(
    Check,
    "SPACE03",
    detected="How often each choice was tried, compared with the least that 39 of 40 uniform draws"
    " would give it.",
    matters="A choice that was tried once or twice was rejected, or never found, by luck.",
)


def untried_stretch(run: Run) -> Check:
    """SPACE01."""
    found = []
    for name, distribution in _ranges(run).items():
        positions = _positions(run, name, distribution)
        if len(positions) >= ENOUGH:
            edges = [0.0, *(position for position, _ in positions), 1.0]
            low, high = max(pairwise(edges), key=lambda pair: pair[1] - pair[0])
            next_to = {one.number for position, one in positions if position in (low, high)}
            chance = gap_tail(len(positions), high - low)
            found.append((chance, low - high, name, low, high, len(positions), next_to))
    if not found:
        sentence = f"No range has the {ENOUGH} trials that this check needs; {_ended(run)}."
        return gap("not applicable", sentence)
    chance, _, name, low, high, n, next_to = min(found, key=lambda one: one[:2])
    distribution = run.parameters[name].distribution
    first, last = at(low, distribution), at(high, distribution)
    scale = "log range" if getattr(distribution, "log", False) else "range"
    good = next_to & {one.number for one in run.best_quarter}
    sentence = (
        f"The longest stretch without a trial is {name} from {amount(first)} to {amount(last)},"
        f" {percent(high - low)} of its {scale}; {n} uniform draws leave at most"
        f" {percent(gap_bound(n, 0.05))} in 19 of 20 cases. {_next_to(good)}."
    )
    if chance * len(found) < 0.05 and good:
        do = run.commands.again(range_text(name, distribution, first, last))
        return gap("tip", sentence, do=do)
    return gap("passed", sentence)


def untried_box(run: Run) -> Check:
    """SPACE02."""
    always = {
        name: one for name, one in _ranges(run).items() if run.parameters[name].only_if is None
    }
    pairs = list(combinations(always, 2))
    found = {one.number: _point(one, always) for one in run.finished}
    points = {number: point for number, point in found.items() if point is not None}
    n = len(points)
    if not pairs or n < 2 * ENOUGH:
        sentence = f"It takes two ranges that always apply and {2 * ENOUGH} trials;"
        return box("not applicable", f"{sentence} there are {len(always)} and {n}.")
    boxes = []
    for across, up in pairs:
        plane = np.array([[point[across], point[up]] for point in points.values()])
        boxes.append((largest_empty_box(plane), across, up))
    largest, across, up = max(boxes, key=lambda one: one[0].area)
    good = {one.number for one in run.best_quarter} & _touching(largest, across, up, points)
    sides = ((across, largest.left, largest.right), (up, largest.bottom, largest.top))
    ranges = [
        (name, always[name], at(low, always[name]), at(high, always[name]))
        for name, low, high in sides
    ]
    bound = empty_box_bound(n, len(pairs))
    words = " and ".join(f"{name} {amount(low)} to {amount(high)}" for name, _, low, high in ranges)
    sentence = (
        f"The largest empty box is {words}, {percent(largest.area)} of that plane; {n} uniform"
        f" points leave at most {percent(bound)} in 19 of 20 cases (the worst of"
        f" {counted(len(pairs), 'plane')}). {_next_to(good)}."
    )
    if largest.area > bound and good:
        return box("tip", sentence, do=run.commands.again(*(range_text(*one) for one in ranges)))
    return box("passed", sentence)


def rarely_tried_choices(run: Run) -> Check:
    """SPACE03."""
    from scipy.stats import binom

    rare: dict[str, list[str]] = {}
    tried: list[tuple[float, str]] = []
    words = []
    for name, parameter in run.parameters.items():
        options = _choices(parameter.distribution)
        counts = Counter(one.settings[name] for one in run.finished if name in one.settings)
        n = counts.total()
        if len(options) < 2 or n < ENOUGH:
            continue
        low, high = (int(binom.ppf(tail, n, 1 / len(options))) for tail in (0.025, 0.975))
        for option in options:
            told = f"{name}={option} {counts[option]} of {n} times (uniform draws: {low} to {high})"
            tried.append((counts[option] * len(options) / n, told))
            if counts[option] < min(RARELY, low):
                words.append(told)
                rare.setdefault(name, []).append(token(option))
    if not tried:
        sentence = f"No parameter has choices and {ENOUGH} trials; {_ended(run)}."
        return choices("not applicable", sentence)
    if not rare:
        _, least = min(tried, key=lambda one: one[0])
        return choices("passed", f"The least tried of {len(tried)} choices: {least}.")
    changes = [override_text(name, tuple(values)) for name, values in rare.items()]
    sentence = f"Rarely tried, {len(words)} of {len(tried)} choices: {'; '.join(words)}."
    return choices("tip", sentence, do=run.commands.again(*changes))


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
    """The trials in the range by their place in it; baselines may lie outside and are left out."""
    points = [(_point(one, {name: distribution}), one) for one in run.finished]
    inside = [(point[name], one) for point, one in points if point is not None]
    return sorted(inside, key=lambda pair: (pair[0], pair[1].number))


def _point(trial: FinishedTrial, ranges: dict[str, BaseDistribution]) -> dict[str, float] | None:
    """The trial's place in each of the ranges; None if it lies outside one of them."""
    places = {name: place(trial.settings.get(name), one) for name, one in ranges.items()}
    inside = {name: one for name, one in places.items() if one is not None and 0 <= one <= 1}
    return inside if len(inside) == len(ranges) else None


def _touching(found: Box, across: str, up: str, points: dict[int, dict[str, float]]) -> set[int]:
    """The trials at the sides of the box."""
    slack = 1e-9
    return {
        number
        for number, one in points.items()
        if found.left - slack <= one[across] <= found.right + slack
        and found.bottom - slack <= one[up] <= found.top + slack
    }


def _next_to(good: set[int]) -> str:
    return f"{f'Trial {min(good)}' if good else 'No trial'} of the best quarter is next to it"


def _ended(run: Run) -> str:
    n = len(run.finished)
    return f"{counted(n, 'trial')} {'has' if n == 1 else 'have'} ended"
