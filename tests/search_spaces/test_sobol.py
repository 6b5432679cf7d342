"""The start-up design beside scipy's own Sobol sequence and Optuna's distributions."""

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution
from scipy.stats import qmc

from search_spaces import Parameter, SearchSpace
from search_spaces.gan import SPACES
from search_spaces.sobol import design_point


def test_a_point_known_by_its_index_is_that_point_of_the_sequence() -> None:
    names = "abc"
    space = SearchSpace({name: Parameter(FloatDistribution(0, 1), "") for name in names}, {}, {})
    points = [[design_point(space, 7, index)[name] for name in names] for index in range(32)]
    sequence = qmc.Sobol(3, scramble=True, rng=7).random_base2(5)
    assert np.array_equal(points, sequence)
    assert qmc.discrepancy(np.array(points)) < 0.2 * qmc.discrepancy(
        np.random.default_rng(7).random((32, 3))
    )


def test_what_does_not_apply_is_dropped_and_choices_are_spread() -> None:
    space = SPACES["extended"]
    points = [design_point(space, 0, index) for index in range(8)]
    for point in points:
        assert set(point) == {
            name for name, parameter in space.parameters.items() if parameter.applies(point)
        }
    for name, parameter in space.parameters.items():
        if isinstance(parameter.distribution, CategoricalDistribution) and not parameter.only_if:
            assert len({point[name] for point in points}) == min(
                4, len(parameter.distribution.choices)
            ), name
