import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import binom, ttest_1samp, ttest_ind

from records.checks.statistics import (
    fraction_interval,
    mean_interval,
    paired_interval,
    prediction_half_width,
    welch_interval,
)
from tests.support import skewed


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


def coverage(draws: NDArray[np.float64], mean: float) -> float:
    held = [low <= mean <= high for low, high in map(mean_interval, draws.tolist())]
    return float(np.mean(held))


def test_the_means_interval_covers_it_95_times_in_100_or_more() -> None:
    draws = np.random.default_rng(0)
    assert 0.95 < coverage(draws.normal(3.0, 2.0, size=(4000, 5)), 3.0) < 0.98
    assert 0.95 < coverage(draws.normal(3.0, 2.0, size=(4000, 30)), 3.0) < 0.965


def test_the_means_interval_covers_it_where_values_are_skewed_and_students_does_not() -> None:
    draws = np.random.default_rng(1).exponential(size=(4000, 5))
    student = np.asarray(ttest_1samp(draws, 1.0, axis=1).pvalue) >= 0.05
    assert student.mean() < 0.9
    assert coverage(draws, 1.0) > 0.925


SKEWED = [[0.01, 0.3, 0.02, 0.05, 0.9], [0.1, 0.9, 0.8], [0.9, 0.99, 0.1, 0.95]]


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
@pytest.mark.parametrize("values", SKEWED)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_end_on_the_side_of_the_longer_tail_is_halls(
    values: list[float], confidence: float, sign: int
) -> None:
    values = [sign * value for value in values]
    low, high = mean_interval(values, confidence)
    assert (low, high) == pytest.approx(skewed.mean_interval(values, confidence))
    student = ttest_1samp(values, 0).confidence_interval(confidence)
    if confidence < 0.95:
        assert (low < student.low - 1e-9) != (high > student.high + 1e-9)


@pytest.mark.parametrize("values", SKEWED)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_difference_is_told_from_zero_by_students_test(values: list[float], sign: int) -> None:
    values = [sign * value for value in values]
    low, high = paired_interval(values)
    assert (low, high) == pytest.approx(skewed.paired_interval(values))
    student = ttest_1samp(values, 0)
    assert (low > 0 or high < 0) == (student.pvalue < 0.05)
    whole = mean_interval(values)
    kept, moved = (0, 1) if sign > 0 else (1, 0)
    assert (low, high)[kept] == pytest.approx(student.confidence_interval()[kept])
    assert (low, high)[moved] == whole[moved]


@pytest.mark.parametrize("values", [[0.2, 0.4], [0.1, 0.2, 0.3], [0.2, 0.7, 0.8, 0.3]])
def test_values_that_are_not_skewed_have_students_interval(values: list[float]) -> None:
    student = ttest_1samp(values, 0).confidence_interval()
    assert mean_interval(values) == pytest.approx((student.low, student.high))


def test_equal_values_leave_no_doubt_of_their_mean() -> None:
    assert mean_interval([0.9] * 3) == (0.9, 0.9)


@pytest.mark.parametrize("confidence", [0.95, 0.99])
@pytest.mark.parametrize("second", [[0.1, 0.9], [3.0, 3.0, 3.0], [1e-9, 2e-9, 4e-9, 5e-9]])
def test_the_interval_of_a_difference_is_welchs_or_farther(
    second: list[float], confidence: float
) -> None:
    first = [0.91, 0.82, 0.73, 0.64, 0.9]
    expected = skewed.welch_interval(first, second, confidence)
    assert welch_interval(first, second, confidence) == pytest.approx(expected)
    even = [0.6, 0.7, 0.8, 0.9]
    welch = ttest_ind(even, [0.1, 0.2, 0.3], equal_var=False).confidence_interval(confidence)
    found = welch_interval(even, [0.1, 0.2, 0.3], confidence)
    assert found == pytest.approx((welch.low, welch.high))


def test_one_more_value_lies_in_the_prediction_interval_95_times_in_100() -> None:
    draws = np.random.default_rng(0).normal(3.0, 2.0, size=(4000, 6)).tolist()
    inside = [abs(one - np.mean(seen)) <= prediction_half_width(seen) for one, *seen in draws]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.012)
