"""A quasi-random design: points that fill a search space more evenly than chance does, each one known by its index alone.

The points are a scrambled Sobol sequence over all dimensions of the space, conditional ones too, which are then dropped where
they do not apply. Source: Owen, Scrambling Sobol' and Niederreiter-Xing Points, https://doi.org/10.1006/jcom.1998.0487
"""

import math
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.stats import qmc

from search_spaces import SearchSpace


def design_point(space: SearchSpace, seed: int, index: int) -> dict[str, Any]:
    """The settings of the ``index``-th point, from 0, of the design that ``seed`` gives."""
    sobol = qmc.Sobol(max(1, len(space.parameters)), scramble=True, rng=seed)
    if index:
        sobol.fast_forward(index)
    settings: dict[str, Any] = {}
    for (name, parameter), share in zip(space.parameters.items(), sobol.random(1)[0], strict=False):
        if parameter.applies(settings):
            settings[name] = value_at(parameter.distribution, float(share))
    return settings


def value_at(distribution: BaseDistribution, share: float) -> Any:
    """The value that ``share`` (0 to below 1) of the distribution lies below, on its own scale."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return choices[int(share * len(choices))]
        case FloatDistribution(low=low, high=high, step=None, log=log):
            return _between(low, high, share, log)
        case FloatDistribution(low=low, high=high, step=float(step)):
            return low + step * int(share * (round((high - low) / step) + 1))
        case IntDistribution(low=low, high=high, log=True):
            return min(high, max(low, round(_between(low - 0.5, high + 0.5, share, log=True))))
        case IntDistribution(low=low, high=high, step=step):
            return low + step * int(share * ((high - low) // step + 1))
    raise TypeError(f"{distribution} is no distribution that a design has values of")


def share_below(distribution: BaseDistribution, value: Any) -> float | None:
    """Where in its range, from 0 to 1, a number lies, on the range's own scale; None for one of several choices."""
    if not isinstance(distribution, FloatDistribution | IntDistribution) or distribution.single():
        return None
    low, high, at = (math.log(x) if distribution.log else x for x in (distribution.low, distribution.high, value))
    return float((at - low) / (high - low))


def _between(low: float, high: float, share: float, log: bool) -> float:
    if log:
        return min(high, max(low, math.exp(math.log(low) + share * (math.log(high) - math.log(low)))))
    return low + share * (high - low)
