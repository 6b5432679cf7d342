"""The override that widens a parameter's range, for a search whose best value lies at its edge."""

import math
from typing import Literal

from optuna.distributions import BaseDistribution, CategoricalDistribution

from search_spaces import ends
from search_spaces.overrides import natural_low, number_type, words
from search_spaces.set_syntax import Range, override_text, shortest, token

End = Literal["lower", "upper"]


def widened(
    name: str, distribution: BaseDistribution, end: End, at_least: float = -math.inf
) -> str:
    """An argument of ``--set`` that continues a parameter's range or choices beyond ``end``.

    A log range grows by a decade, another range by its own width, choices by one more at the
    distance of the last two. Numbers that are nowhere negative stay so, positive whole numbers stay
    positive, no number is below ``at_least``, and fractions within [0, 1) go half of the way to 1
    if they would reach it.

    Raises:
        ValueError: If nothing lies beyond: choices that are not numbers, or a natural lower bound.
    """
    kind, lowest = number_type(distribution), max(at_least, natural_low(distribution))
    if kind is None:
        raise ValueError(f"{name} takes {words(distribution)}, which have no order")
    if end == "lower" and min(ends(distribution)) <= lowest:
        raise ValueError(f"{name} cannot be below {lowest:g}")
    *others, last = sorted(ends(distribution), reverse=end == "lower")
    if not others:
        raise ValueError(f"{token(last)} is the only value, so there is no step to the next")
    log, step = (getattr(distribution, field, None) for field in ("log", "step"))
    step = None if kind is int and step == 1 else step
    beyond = _beyond(distribution, others[-1], last, end, lowest)
    if step is not None:
        steps = math.floor(abs(beyond - last) / step + 1e-9)
        beyond = last + math.copysign(step * steps, beyond - last)
    beyond = kind(_rounded(beyond))
    if beyond == last:
        raise ValueError(f"there is no step beyond {shortest(last)}")
    values = sorted([*others, beyond, last])
    if isinstance(distribution, CategoricalDistribution):
        return override_text(name, tuple(map(token, values)))
    return override_text(name, Range(values[0], values[-1], log=log, step=step))


def _beyond(
    distribution: BaseDistribution, before: float, last: float, end: End, lowest: float
) -> float:
    """A value beyond ``last``, the one at that end; ``before`` is the one before it or the other
    end."""
    beyond = last + (last - before)
    if getattr(distribution, "log", False):
        return max(lowest, last / 10) if end == "lower" else last * 10
    if end == "lower" and _rounded(beyond) <= lowest:
        midpoint = (last + lowest) / 2
        return midpoint if isinstance(distribution, CategoricalDistribution) else lowest
    is_float = number_type(distribution) is float
    is_fraction = is_float and all(0 <= value < 1 for value in ends(distribution))
    if end == "upper" and is_fraction and _rounded(beyond) >= 1:
        return (last + 1) / 2
    return beyond


def _rounded(value: float) -> float:
    """A sum of floats without the error beyond its twelfth digit."""
    return float(f"{value:.12g}")
