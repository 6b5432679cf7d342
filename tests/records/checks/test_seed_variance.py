from typing import Any

import numpy as np
import pytest
from scipy.stats import f_oneway

from records.checks.seed_variance import seeds_beside_settings
from tests.records.checks.conftest import MadeRun

SETTINGS = {"lr": 0.01, "max_norm": 0.1}


def several(*values: float) -> dict[str, Any]:
    """The last report of a trial with several seeds."""
    return {"seeds": [{"seed": seed, "mean_accuracy": one} for seed, one in enumerate(values)]}


@pytest.mark.parametrize("apart", [0.0, 0.05, 0.3])
def test_several_seeds_a_trial_are_an_analysis_of_variance(apart: float, lstm: MadeRun) -> None:
    drawn = np.random.default_rng(0).normal(0.5, 0.05, (6, 4)) + apart * np.arange(6)[:, None] / 5
    for number, values in enumerate(drawn):
        lstm.trial(number, SETTINGS, float(values.min()), row=several(*values))
    check = seeds_beside_settings(lstm.opened)
    p = f_oneway(*drawn).pvalue
    assert check.status == ("passed" if p < 0.05 else "inconclusive")
    within, between = np.sqrt(drawn.var(1, ddof=1).mean()), drawn.mean(1).std(ddof=1)
    assert f"differs by {within:.3g} between seeds of the same settings" in check.sentence
    assert "24 seeds of 6 trials" in check.sentence
    assert f"by {between:.3g} between the settings of 6 complete trials" in check.sentence


def test_with_one_seed_a_trial_the_finalists_fresh_seeds_tell(lstm: MadeRun) -> None:
    for number, value in enumerate((0.9, 0.8, 0.3, 0.1)):
        lstm.trial(number, SETTINGS, value)
    lstm.confirmed(0, SETTINGS, [{"mean_accuracy": one} for one in (0.88, 0.90, 0.92)])
    check = seeds_beside_settings(lstm.opened)
    assert check.status == "passed"
    assert "differs by 0.02 between seeds of the same settings" in check.sentence
    assert "3 seeds of 1 trial" in check.sentence


def test_without_seeds_to_compare_it_says_what_it_takes(lstm: MadeRun) -> None:
    lstm.trial(0, SETTINGS, 0.9)
    assert seeds_beside_settings(lstm.opened).status == "not applicable"
