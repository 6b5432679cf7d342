"""What a run's best settings reached on fresh seeds, against SciPy."""

import math

import pytest
from scipy.stats import binomtest

from records.fresh_results import fresh_results
from tests.records.checks.conftest import MadeRun
from tests.records.checks.conftest import lstm as lstm
from tests.support.skewed import mean_interval

OWN = {"lr": 0.01, "max_norm": 1.0}


def test_the_intervals_are_clopper_and_pearsons_and_one_for_skewed_values(lstm: MadeRun) -> None:
    accuracies = [0.999, 0.995, 0.91, 1.0]
    rows = [{"mean_accuracy": 0.9, "test_accuracy": one} for one in accuracies]
    rows[0]["steps_to_converge"] = 700
    lstm.trial(0, OWN, 0.9)
    lstm.confirmed(0, OWN, rows)
    found = fresh_results(lstm.opened)
    assert (found.reached, found.seeds, found.steps) == (3, 4, (700,))
    share = binomtest(3, 4).proportion_ci(0.95, "exact")
    assert found.fraction == pytest.approx((share.low, share.high))
    assert found.mean == pytest.approx(mean_interval(accuracies))


def test_a_seed_without_a_result_counts_among_the_seeds_only(lstm: MadeRun) -> None:
    lstm.trial(0, OWN, 0.9)
    lstm.confirmed(0, OWN, [{"test_accuracy": 1.0}, {"test_accuracy": math.nan}, {}])
    found = fresh_results(lstm.opened)
    assert (found.reached, found.seeds, found.values) == (1, 3, (1.0,))
    assert found.mean is None


def test_equal_values_have_no_interval(lstm: MadeRun) -> None:
    lstm.trial(0, OWN, 0.9)
    lstm.confirmed(0, OWN, [{"test_accuracy": 1.0}] * 5)
    assert fresh_results(lstm.opened).mean is None


def test_without_fresh_seeds_there_is_nothing(lstm: MadeRun) -> None:
    lstm.trial(0, OWN, 0.9)
    found = fresh_results(lstm.opened)
    assert (found.seeds, found.fraction, found.mean) == (0, None, None)
