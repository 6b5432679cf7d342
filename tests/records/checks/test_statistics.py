import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom, ttest_ind

from records.checks.statistics import (
    fraction_interval,
    mean_interval,
    prediction_half_width,
    welch_interval,
)


@pytest.mark.parametrize(("count", "n"), [(5, 5), (0, 4), (3, 10), (1, 50)])
def test_a_shares_interval_ends_where_what_was_seen_has_a_chance_of_a_fortieth(
    count: int, n: int
) -> None:
    low, high = fraction_interval(count, n)
    if count:
        assert low == pytest.approx(
            brentq(lambda p: binom.sf(count - 1, n, p) - 0.025, 1e-9, 1 - 1e-9), abs=1e-6
        )
    else:
        assert low == 0
    if count < n:
        assert high == pytest.approx(
            brentq(lambda p: binom.cdf(count, n, p) - 0.025, 1e-9, 1 - 1e-9), abs=1e-6
        )
    else:
        assert high == 1


def test_the_means_interval_covers_it_95_times_in_100() -> None:
    draws = np.random.default_rng(0).normal(3.0, 2.0, size=(4000, 5))
    covered = [low <= 3.0 <= high for low, high in map(mean_interval, draws.tolist())]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.012)


def test_equal_values_leave_no_doubt_of_their_mean() -> None:
    assert mean_interval([0.9] * 3) == (0.9, 0.9)


@pytest.mark.parametrize("confidence", [0.95, 0.99])
@pytest.mark.parametrize("second", [[0.1, 0.9], [3.0, 3.0, 3.0], [1e-9, 2e-9, 4e-9, 5e-9]])
def test_the_interval_of_a_difference_is_welchs(second: list[float], confidence: float) -> None:
    first = [0.91, 0.82, 0.73, 0.64, 0.9]
    test = ttest_ind(first, second, equal_var=False)
    expected = test.confidence_interval(confidence)
    assert welch_interval(first, second, confidence) == pytest.approx((expected.low, expected.high))


def test_one_more_value_lies_in_the_prediction_interval_95_times_in_100() -> None:
    draws = np.random.default_rng(0).normal(3.0, 2.0, size=(4000, 6)).tolist()
    inside = [abs(one - np.mean(seen)) <= prediction_half_width(seen) for one, *seen in draws]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.012)
