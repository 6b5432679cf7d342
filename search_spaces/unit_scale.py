"""Where a value lies in its range, on the range's own scale, and back."""

import math
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)


def place(value: Any, distribution: BaseDistribution) -> float | None:
    """Where a number lies in its range, from 0 to 1 on the range's own scale; None where what is chosen from has no order."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(distribution, FloatDistribution | IntDistribution):
        if distribution.single() or (distribution.log and value <= 0):
            return None
        low, high, at = (
            math.log(x) if distribution.log else x
            for x in (distribution.low, distribution.high, value)
        )
        return (at - low) / (high - low)
    choices = ordered_choices(distribution)
    return (
        choices.index(value) / (len(choices) - 1) if len(choices) > 1 and value in choices else None
    )


def at(share: float, distribution: BaseDistribution) -> float:
    """The number at a place in its range: the reverse of ``place``."""
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = distribution.low, distribution.high
    value: float = low * (high / low) ** share if distribution.log else low + share * (high - low)
    return round(value) if isinstance(distribution, IntDistribution) else value


def quantile(fraction: float, distribution: BaseDistribution) -> Any:
    """The value below which a ``fraction`` (0 to below 1) of the distribution lies, on its own
    scale: choices and whole numbers have equal parts of it.
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
    raise TypeError(f"{distribution} is no distribution that a search space can have")


def ordered_choices(distribution: BaseDistribution) -> list[int | float]:
    """The choices in order where all of them are numbers, else none."""
    choices = distribution.choices if isinstance(distribution, CategoricalDistribution) else ()
    if any(isinstance(choice, bool) or not isinstance(choice, int | float) for choice in choices):
        return []
    return sorted(choice for choice in choices if isinstance(choice, int | float))


def range_text(name: str, distribution: BaseDistribution, low: float, high: float) -> str:
    """A stretch of a parameter's range as ``--set`` takes it."""
    return f"{name}={low:.3g}..{high:.3g}" + (":log" if getattr(distribution, "log", False) else "")


def _between(low: float, high: float, fraction: float, log: bool) -> float:
    if log:
        return min(
            high, max(low, math.exp(math.log(low) + fraction * (math.log(high) - math.log(low))))
        )
    return low + fraction * (high - low)
