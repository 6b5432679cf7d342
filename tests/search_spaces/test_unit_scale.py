from collections import Counter
from typing import Any

import numpy as np
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search_spaces.unit_scale import ordered_choices, place, quantile

LOG, LINEAR, WHOLE = (
    FloatDistribution(1e-4, 1e-1, log=True),
    FloatDistribution(0.0, 0.3),
    IntDistribution(2, 10),
)


def test_a_place_is_on_the_ranges_own_scale() -> None:
    assert place(1e-4, LOG) == 0
    assert place(1e-2, LOG) == pytest.approx(2 / 3)
    assert place(0.1, LINEAR) == pytest.approx(1 / 3)
    assert place(6, WHOLE) == 0.5
    assert place(1.0, LOG) == pytest.approx(4 / 3)  # baselines may lie outside


def test_choices_have_places_where_all_are_numbers() -> None:
    assert [
        place(value, CategoricalDistribution((0.9, 0.0, 0.5))) for value in (0.0, 0.5, 0.9)
    ] == [0, 0.5, 1]
    assert place("hinge", CategoricalDistribution(("hinge", "plain"))) is None
    assert place(True, CategoricalDistribution((True, False))) is None
    assert ordered_choices(CategoricalDistribution((True, 1))) == []
    assert place(7, CategoricalDistribution((1, 2))) is None


@pytest.mark.parametrize("value", [None, "fast", 0.0, -1.0])
def test_what_lies_on_no_scale_has_no_place(value: object) -> None:
    assert place(value, LOG) is None


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (CategoricalDistribution(("a", None, 3)), {"a": 100, None: 100, 3: 100}),
        (IntDistribution(1, 3), {1: 100, 2: 100, 3: 100}),
        (IntDistribution(10, 30, step=10), {10: 100, 20: 100, 30: 100}),
        (FloatDistribution(0.1, 0.3, step=0.1), {0.1: 100, 0.2: 100, 0.30000000000000004: 100}),
    ],
)
def test_values_to_count_come_equally_often(
    distribution: BaseDistribution, expected: dict[Any, int]
) -> None:
    assert (
        Counter(quantile((number + 0.5) / 300, distribution) for number in range(300)) == expected
    )


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
    values = [quantile(fraction, distribution) for fraction in np.linspace(0, 1, 2001)[:-1]]
    assert all(distribution._contains(distribution.to_internal_repr(value)) for value in values)
    assert min(values) == pytest.approx(distribution.low, rel=0.01, abs=0.01)
    assert max(values) == pytest.approx(distribution.high, rel=0.01)
    assert values == sorted(values)


def test_a_logarithmic_range_is_halved_at_its_geometric_mean() -> None:
    distribution = FloatDistribution(1e-4, 1, log=True)
    assert quantile(0.5, distribution) == pytest.approx(1e-2)
    assert place(1e-2, distribution) == pytest.approx(0.5)
