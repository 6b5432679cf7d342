"""A quasi-random design: points that fill a search space more evenly than chance does, each one
known by its index alone.

The points are a scrambled Sobol sequence over all dimensions of the space, conditional ones too,
which are then dropped where they do not apply. Source: Owen, Scrambling Sobol' and
Niederreiter-Xing Points, https://doi.org/10.1006/jcom.1998.0487
"""

from typing import Any

from scipy.stats import qmc

from search_spaces import SearchSpace
from search_spaces.unit_scale import quantile


def design_point(space: SearchSpace, seed: int, index: int) -> dict[str, Any]:
    """The settings of the ``index``-th point, from 0, of the design that ``seed`` gives."""
    sobol = qmc.Sobol(max(1, len(space.parameters)), scramble=True, rng=seed)
    if index:
        sobol.fast_forward(index)
    settings: dict[str, Any] = {}
    for (name, parameter), fraction in zip(
        space.parameters.items(), sobol.random(1)[0], strict=False
    ):
        if parameter.applies(settings):
            settings[name] = quantile(float(fraction), parameter.distribution)
    return settings
