"""The start-up design beside scipy's own Sobol sequence and Optuna's distributions."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.stats import qmc

from search_spaces import Parameter, SearchSpace
from search_spaces.gan import SPACES
from tuning.design import design_point, share_below, value_at


def test_a_point_known_by_its_index_is_that_point_of_the_sequence() -> None:
    names = "abc"
    space = SearchSpace({name: Parameter(FloatDistribution(0, 1), "") for name in names}, {}, {})
    points = [[design_point(space, 7, index)[name] for name in names] for index in range(32)]
    sequence = qmc.Sobol(3, scramble=True, rng=7).random_base2(5)
    assert np.array_equal(points, sequence)
    assert qmc.discrepancy(np.array(points)) < 0.2 * qmc.discrepancy(np.random.default_rng(7).random((32, 3)))


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (CategoricalDistribution(("a", None, 3)), {"a": 100, None: 100, 3: 100}),
        (IntDistribution(1, 3), {1: 100, 2: 100, 3: 100}),
        (IntDistribution(10, 30, step=10), {10: 100, 20: 100, 30: 100}),
        (FloatDistribution(0.1, 0.3, step=0.1), {0.1: 100, 0.2: 100, 0.30000000000000004: 100}),
    ],
)
def test_values_to_count_come_equally_often(distribution: BaseDistribution, expected: dict[Any, int]) -> None:
    assert Counter(value_at(distribution, (number + 0.5) / 300) for number in range(300)) == expected


@pytest.mark.parametrize(
    "distribution",
    [
        FloatDistribution(1e-4, 1e-1, log=True),
        FloatDistribution(-3, 5),
        FloatDistribution(0.5, 0.5),
        IntDistribution(1, 1000, log=True),
        IntDistribution(0, 7),
    ],
)
def test_all_of_a_range_and_nothing_else(distribution: Any) -> None:
    values = [value_at(distribution, share) for share in np.linspace(0, 1, 2001)[:-1]]
    assert all(distribution._contains(distribution.to_internal_repr(value)) for value in values)
    assert min(values) == pytest.approx(distribution.low, rel=0.01, abs=0.01)
    assert max(values) == pytest.approx(distribution.high, rel=0.01)
    assert values == sorted(values)


def test_a_logarithmic_range_is_halved_at_its_geometric_mean() -> None:
    distribution = FloatDistribution(1e-4, 1, log=True)
    assert value_at(distribution, 0.5) == pytest.approx(1e-2)
    assert share_below(distribution, 1e-2) == pytest.approx(0.5)
    assert share_below(CategoricalDistribution((1, 2)), 1) is None


def test_what_does_not_apply_is_dropped_and_choices_are_spread() -> None:
    space = SPACES["extended"]
    points = [design_point(space, 0, index) for index in range(8)]
    for point in points:
        assert set(point) == {name for name, parameter in space.parameters.items() if parameter.applies(point)}
    for name, parameter in space.parameters.items():
        if isinstance(parameter.distribution, CategoricalDistribution) and not parameter.only_if:
            assert len({point[name] for point in points}) == min(4, len(parameter.distribution.choices)), name
