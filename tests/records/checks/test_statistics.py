import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binom

from records.checks import statistics
from records.checks.statistics import (
    fraction_interval,
    gap_bound,
    gap_tail,
    largest_empty_box,
    mean_interval,
    record_chance,
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


def test_the_chance_to_beat_the_best_is_that_of_draws_alike() -> None:
    n, more = 20, 10
    draws = np.random.default_rng(0).lognormal(size=(40_000, n + more))
    beaten = draws[:, n:].max(axis=1) > draws[:, :n].max(axis=1)
    chance, (low, high) = record_chance(n, more)
    assert beaten.mean() == pytest.approx(chance, abs=0.01)
    # Given how likely one draw is to beat the best of n, the chance of several is known: 95 in 100
    # of them lie in the interval.
    uniform = np.random.default_rng(1).random((40_000, n)).max(axis=1)
    chances = 1 - uniform**more
    assert np.mean((chances >= low) & (chances <= high)) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize(("n", "gap"), [(5, 0.4), (20, 0.2), (20, 0.3), (100, 0.06)])
def test_the_longest_stretch_of_uniform_draws_is_as_often_longer(n: int, gap: float) -> None:
    draws = np.sort(np.random.default_rng(0).random((20_000, n)), axis=1)
    ends = np.diff(draws, axis=1, prepend=0, append=1).max(axis=1)
    assert np.mean(ends > gap) == pytest.approx(gap_tail(n, gap), abs=0.012)


@pytest.mark.parametrize("n", [1, 5, 50, 1000, 20_000])
def test_the_bound_of_a_stretch_is_exceeded_one_time_in_twenty(n: int) -> None:
    assert gap_tail(n, gap_bound(n, 0.05)) == pytest.approx(0.05, abs=1e-6)
    assert gap_tail(n, 1.0) == 0
    assert all(0 <= gap_tail(n, gap) <= 1 for gap in np.linspace(0, 1, 101))


def _by_brute_force(points: list[tuple[float, float]]) -> float:
    xs, ys = [0.0, 1.0, *(x for x, _ in points)], [0.0, 1.0, *(y for _, y in points)]
    areas = [
        (right - left) * (top - bottom)
        for left in xs for right in xs if left < right
        for bottom in ys for top in ys if bottom < top
        if not any(left < x < right and bottom < y < top for x, y in points)
    ]  # fmt: skip
    return max(areas)


coordinate = st.integers(0, 12).map(lambda place: place / 12)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=7))
def test_the_largest_empty_box_is_that_of_trying_all(points: list[tuple[float, float]]) -> None:
    box = largest_empty_box(np.array(points))
    assert box.area == pytest.approx(_by_brute_force(points))
    inside = [
        box.left + 1e-9 < x < box.right - 1e-9 and box.bottom < y < box.top for x, y in points
    ]
    assert not any(inside)


def test_the_bound_of_a_box_is_exceeded_one_time_in_twenty() -> None:
    draws = np.random.default_rng(7)
    exceeded = [
        largest_empty_box(draws.random((20, 2))).area > statistics.empty_box_bound(20, 1)
        for _ in range(1000)
    ]
    assert np.mean(exceeded) == pytest.approx(0.05, abs=0.03)
