"""A quasi-random design: points that fill a search space more evenly than random ones do, each
known by its index alone.

The points are a scrambled Sobol sequence over all dimensions of the space. Those of parameters that
do not apply are dropped. Source: Owen, Scrambling Sobol' and Niederreiter-Xing Points,
https://doi.org/10.1006/jcom.1998.0487
"""

from collections.abc import Sequence
from typing import Any

from search_spaces import SearchSpace
from search_spaces.unit_scale import quantile


def design_point(space: SearchSpace, seed: int, index: int) -> dict[str, Any]:
    """The settings of point ``index`` (from 0) in the design of ``seed``."""
    from scipy.stats import qmc  # slow to import, and not needed by a search that is refused

    sobol = qmc.Sobol(max(1, len(space.parameters)), scramble=True, rng=seed)
    if index:
        sobol.fast_forward(index)
    return settings_at_point(space, sobol.random(1)[0].tolist())


def settings_at_point(space: SearchSpace, point: Sequence[float]) -> dict[str, Any]:
    """The settings at a point of the unit cube, which has a coordinate for each parameter."""
    at = dict(zip(space.parameters, point, strict=False))
    return space.choose(lambda name, distribution: quantile(at[name], distribution))
