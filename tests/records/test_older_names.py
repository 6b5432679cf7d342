import json
from pathlib import Path

import pytest

from records.objective import Goal, Objective
from records.run import Run
from records.store import write_json
from search_spaces.lstm import SPACES
from tests.records.checks.conftest import MadeRun
from tests.reports.conftest import page_of_run
from tuning.one_training import read_settings

SETTINGS = {"lr": 0.001, "max_norm": 10.0}


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A run with one baseline and one other trial, as format 1 recorded them."""
    objective, goal = Objective("mean_accuracy", "max"), Goal("test_accuracy", "least", 0.99)
    command = "python tune_lstm.py --name older"
    made = MadeRun(tmp_path / "older", SPACES["lstm", "core"], objective, goal, command)
    row = {"test_accuracy": 0.5, "accuracy": 0.5}
    made.trial(0, SETTINGS, 0.3, row=row, known="by hand, defaults")
    made.trial(1, {**SETTINGS, "lr": 0.01}, 0.6, row=row)
    search = json.loads((made.run.path / "search.json").read_bytes())
    steps = {"metric": "steps_to_converge", "mode": "min", "otherwise": 700}
    search |= {
        "format": 1,
        "experiment": "another",
        "host": "here",
        "versions": {},
        "commit": None,
        "fixed": {"input_length": 4, "model": "lstm"},
        "known": {"by hand, defaults": SETTINGS},
        "objectives": [{"metric": "mean_accuracy", "mode": "max", "otherwise": None}, steps],
        "sessions": [{"started": 0.0, "ended": 60.0, "how": "finished", "command": command}],
    }
    search["space"]["lr"]["perturbed"] = True
    write_json(made.run.path / "search.json", search)
    return made.run.path


def test_a_run_of_format_1_is_read_in_todays_names_and_not_rewritten(older: Path) -> None:
    before = {file: file.read_bytes() for file in older.rglob("*.json")}
    run = Run.open(older)
    assert run.objectives == [
        Objective("mean_accuracy", "max"),
        Objective("steps_to_converge", "min", default=700),
    ]
    assert run.search["baselines"] == {"hand-tuned, defaults": SETTINGS}
    assert run.search["space"]["lr"]["mutable"]
    assert [one.config.get("baseline") for one in run.finished] == ["hand-tuned, defaults", None]
    assert run.trials["baseline"].dropna().tolist() == ["hand-tuned, defaults"]
    assert not {"known", "perturbed", "otherwise"} & {*run.trials, *run.search}
    assert {file: file.read_bytes() for file in older.rglob("*.json")} == before


def test_a_trial_of_format_1_can_be_trained_again(older: Path) -> None:
    settings = read_settings([str(older / "trial_0000" / "trial.json")])
    assert settings == {**SETTINGS, "seed": 0}


def test_the_report_of_a_run_of_format_1_shows_its_baselines(older: Path, tmp_path: Path) -> None:
    assert '<td class="word">hand-tuned, defaults</td>' in page_of_run(older, tmp_path)
