"""The place of a value in its range, from 0 to 1 on the range's own scale, and the reverse."""

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search_spaces.set_syntax import Range, override_text

DIGITS = 3
"""Significant digits of a part of a range without steps."""


def place(value: Any, distribution: BaseDistribution) -> float | None:
    """The place of a number in its range or among its ordered choices; None if it has none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(distribution, FloatDistribution | IntDistribution):
        if distribution.single() or (distribution.log and value <= 0):
            return None
        low, high, number = (
            math.log(x) if distribution.log else x
            for x in (distribution.low, distribution.high, value)
        )
        return (number - low) / (high - low)
    choices = ordered_choices(distribution)
    if len(choices) < 2 or value not in choices:
        return None
    return choices.index(value) / (len(choices) - 1)


def at(fraction: float, distribution: BaseDistribution) -> float:
    """The number at a place (0 to 1) in its range: the reverse of ``place``."""
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    value = _between(distribution.low, distribution.high, fraction, distribution.log)
    return round(value) if isinstance(distribution, IntDistribution) else value


def quantile(fraction: float, distribution: BaseDistribution) -> Any:
    """The value below which a ``fraction`` (0 to below 1) of the distribution lies, on its own
    scale. Choices and whole numbers have equal parts of it.
    """
    match distribution:
        case CategoricalDistribution(choices=choices):
            return choices[int(fraction * len(choices))]
        case FloatDistribution(low=low, high=high, step=None, log=log):
            return _between(low, high, fraction, log)
        case FloatDistribution(low=low, high=high, step=float(step)):
            return low + step * int(fraction * (round((high - low) / step) + 1))
        case IntDistribution(low=low, high=high, log=True):
            return min(high, max(low, round(_between(low - 0.5, high + 0.5, fraction, log=True))))
        case IntDistribution(low=low, high=high, step=step):
            return low + step * int(fraction * ((high - low) // step + 1))
    raise TypeError(f"{distribution} is not a distribution of a search space")


def ordered_choices(distribution: BaseDistribution) -> list[int | float]:
    """The choices in order if all are numbers, else an empty list."""
    choices = distribution.choices if isinstance(distribution, CategoricalDistribution) else ()
    numbers = [x for x in choices if isinstance(x, int | float) and not isinstance(x, bool)]
    return sorted(numbers) if len(numbers) == len(choices) else []


def range_text(name: str, distribution: BaseDistribution, low: float, high: float) -> str:
    """A part of a parameter's range as an argument of ``--set``.

    Its ends are moved outwards, to the next step or to a short number, but not out of the range.
    """
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low = max(distribution.low, _rounded(low, distribution, ROUND_FLOOR))
    high = min(distribution.high, _rounded(high, distribution, ROUND_CEILING))
    return override_text(name, Range(low, high, log=distribution.log or None))


def _rounded(value: float, distribution: FloatDistribution | IntDistribution, how: str) -> float:
    if distribution.step is None:
        return float(Context(DIGITS, how).create_decimal(repr(float(value))))
    low, step = Decimal(repr(distribution.low)), Decimal(repr(distribution.step))
    steps = Decimal(repr(round((value - distribution.low) / distribution.step, 9)))
    return float(low + step * steps.to_integral_value(how))


def _between(low: float, high: float, fraction: float, log: bool) -> float:
    if not log:
        return low + fraction * (high - low)
    value = math.exp(math.log(low) + fraction * (math.log(high) - math.log(low)))
    return min(high, max(low, value))
