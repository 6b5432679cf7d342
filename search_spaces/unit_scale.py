"""The place of a value in its range, from 0 to 1 on the range's own scale, and its quantiles."""

import math
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)


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


def _between(low: float, high: float, fraction: float, log: bool) -> float:
    if not log:
        return low + fraction * (high - low)
    value = math.exp(math.log(low) + fraction * (math.log(high) - math.log(low)))
    return min(high, max(low, value))
