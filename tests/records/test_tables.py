"""The tables of a run: which column is whose, and what counts as a value."""

from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from records.run import Run
from records.tables import training_curve
from tests.reports.conftest import Trials, four, invented, scores


def test_a_metric_with_the_name_of_a_setting_is_in_the_curves_and_the_table_has_the_setting(
    tmp_path: Path,
) -> None:
    reported = ({"lr": 0.05, "seed": 7, "max_steps": 9}, {"lr": 0.01}, {"lr": 0.0007})
    run = Run.open(invented(tmp_path / "run", four(*reported)))
    assert run.trials["lr"].tolist() == [1.0, 0.1, 0.01, 0.001]
    assert run.trials["seed"].tolist() == [0, 1, 2, 3]
    assert "max_steps" not in run.trials
    assert run.histories["lr"].tolist() == [0.05, 0.01, 0.0007] * 4
    assert "the metric lr is in the curves only: a setting or column has its name" in run.notes


def test_what_a_record_says_is_never_taken_for_a_metric_or_a_setting(tmp_path: Path) -> None:
    reported = [{"number": 50 + at, "error": 0.5, "started": 1.0} for at in range(3)]
    trials: Trials = [
        ({"number": 9.0, "step": 8.0}, [{**row, "score": 0.5} for row in reported])
    ] * 2
    space = {"number": FloatDistribution(0, 9), "step": FloatDistribution(0, 9)}
    run = Run.open(invented(tmp_path / "run", trials, space))
    assert run.trials["number"].tolist() == [0, 1]
    assert run.trials["step"].tolist() == [300, 300]
    assert run.trials["error"].isna().all()
    assert run.trials["started"].min() >= 1e9


def test_one_training_loss_a_report_is_a_metric_and_several_are_training_points(
    tmp_path: Path,
) -> None:
    reported = [{"train_loss": 0.5, "train_accuracy": [0.1, 0.2]}] * 3
    run = Run.open(invented(tmp_path / "run", four(*reported), metric="train_loss"))
    assert run.trials["train_loss"].tolist() == [0.5] * 4
    assert run.histories["train_loss"].tolist() == [0.5] * 12
    assert "train_accuracy" not in run.histories
    curve = training_curve(run.reports(0))
    assert list(curve) == ["step", "train_accuracy"]
    assert curve["train_accuracy"].tolist() == [0.1, 0.2] * 3


@pytest.mark.parametrize("other", ["cosine", 0.5])
def test_the_choice_none_is_told_from_a_setting_that_does_not_apply(
    other: str | float, tmp_path: Path
) -> None:
    space = {"warm_up": CategoricalDistribution((None, other))}
    trials: Trials = [({"warm_up": None}, scores(0.1)), ({"warm_up": other}, scores(0.2)), ({}, [])]
    run = Run.open(invented(tmp_path / "run", trials, space))
    assert run.trials["warm_up"].dropna().tolist() == ["None", other]


def test_a_metric_that_one_trial_never_measured_stays_a_number(tmp_path: Path) -> None:
    trials: Trials = [({"lr": 0.1}, scores(None, None)), ({"lr": 0.2}, scores(0.5, 0.6))]
    assert Run.open(invented(tmp_path / "run", trials)).histories["score"].dtype == float
