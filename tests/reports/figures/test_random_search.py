"""The search beside random draws: bounds against a distribution whose best of n is known."""

import numpy as np
import pytest

from reports.figures.random_search import beside_random, best_of_random
from reports.figures.traces import Axis


def test_the_median_of_the_best_lies_in_the_band_as_often_as_it_says() -> None:
    """The least of n uniform numbers has the median 1 - 0.5 ** (1 / n)."""
    truth = 1 - 0.5 ** (1 / np.arange(1, 31))
    random, inside = np.random.default_rng(0), 0
    for _ in range(400):
        low, _, high = best_of_random(random.uniform(size=15).tolist(), 30)
        inside += bool(np.all((low <= truth) & (truth <= high)))
    assert inside >= 0.95 * 400


def test_many_draws_tell_and_few_do_not() -> None:
    draws = np.random.default_rng(0).uniform(size=2000)
    low, middle, high = best_of_random(draws.tolist(), 10)
    truth = 1 - 0.5 ** (1 / np.arange(1, 11))
    assert middle == pytest.approx(truth, abs=0.03)
    assert np.all(high - low < 0.15)
    low, _, _ = best_of_random(draws[:5].tolist(), 10)
    assert np.isneginf(low[-1])  # of five draws nobody knows the best of ten


def test_a_failed_draw_is_worse_than_any() -> None:
    _, middle, high = best_of_random([0.1, 0.2, float("inf")], 3)
    assert middle.tolist() == [0.2, 0.1, 0.1]  # 5 of 9 pairs have the best
    assert np.isposinf(high).all()


def test_the_band_lies_behind_the_search() -> None:
    figure = beside_random([0.3, 0.5], ([0.1, 0.2], [0.2, 0.4], [0.6, 0.7]), Axis("a", "accuracy"))
    low, high, middle, best = figure.data
    assert (low["y"], high["y"], high["fill"]) == ([0.1, 0.2], [0.6, 0.7], "tonexty")
    assert (middle["y"], best["y"], best["name"]) == ([0.2, 0.4], [0.3, 0.5], "this search")
