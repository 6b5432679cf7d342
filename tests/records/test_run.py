import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from records.run import Run, find_runs
from records.search_json import NotARun
from records.tables import minutes, training_curve
from reports.experiments import page_of
from tests.conftest import SmallSearch


@pytest.fixture
def copy(small_search: SmallSearch, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_search.path, tmp_path / "copy"))


def test_tables_hold_what_the_trials_wrote(small_search: SmallSearch) -> None:
    run = Run.open(small_search.path)
    assert list(run.trials["number"]) == list(range(6))
    for _, trial in run.trials.iterrows():
        lines = (
            (small_search.path / f"trial_{trial['number']:04d}" / "result.json")
            .read_text()
            .splitlines()
        )
        last = json.loads(lines[-1])
        assert trial["accuracy"] == last["accuracy"]
        assert trial["step"] == last["step"]
        assert len(run.reports(trial["number"])) == len(lines)
    assert page_of(run).title(run) == "LSTM, T = 4"
    assert run.varied == ["lr", "max_norm"]
    assert sorted(run.confirmations["seed"].unique()) == [900_000, 900_001]
    assert run.best in set(run.confirmations["confirms"])
    assert run.notes == []


def test_training_points_stand_at_every_tenth_step() -> None:
    reports = pd.DataFrame(
        [
            {"step": 100, "train_loss": list(range(10)), "train_accuracy": [0.1] * 10},
            {"step": 120, "train_loss": [10, None], "train_accuracy": [0.2] * 2},
        ]
    )
    curve = training_curve(reports)
    assert list(curve["step"]) == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120]
    assert list(curve["train_loss"][:11]) == list(range(11))
    assert pd.isna(curve["train_loss"][11])
    assert training_curve(reports[["step"]]).empty


def test_the_winner_is_the_one_in_best_else_the_best_whole_trial(copy: Path) -> None:
    file = copy / "best" / "metrics.json"
    file.write_text(json.dumps({"trial": 2}))
    assert Run.open(copy).best == 2
    file.unlink()
    run = Run.open(copy)
    whole = run.trials[run.trials["ended"].isin(["converged", "budget"])]
    assert run.best == whole.sort_values("mean_accuracy")["number"].iloc[-1]


def test_damage_is_noted_and_the_rest_is_read(copy: Path) -> None:
    (copy / "trial_0001" / "trial.json").write_text('{"number": 1, "conf')
    with (copy / "trial_0002" / "result.json").open("a") as file:
        file.write('{"step": 800, "acc')
    shutil.rmtree(copy / "trial_0003")
    run = Run.open(copy)
    assert list(run.trials["number"]) == [0, 2, 4, 5]
    assert run.notes[0] == "trial_0001/trial.json cannot be read"
    assert run.notes[1].startswith("trial_0002/result.json: line ")


def test_a_session_that_was_killed_counts_until_its_last_report(copy: Path) -> None:
    search = json.loads((copy / "search.json").read_text())
    (session,) = search["sessions"]
    assert minutes(Run.open(copy)) == pytest.approx((session["ended"] - session["started"]) / 60)
    killed = {**session, "ended": None, "how": "running"}
    idle = {**session, "started": session["ended"] + 1_000, "ended": session["ended"] + 1_060}
    (copy / "search.json").write_text(json.dumps({**search, "sessions": [killed, idle]}))
    last = max(
        json.loads(file.read_text().splitlines()[-1])["timestamp"]
        for file in copy.glob("trial_*/result.json")
    )
    assert minutes(Run.open(copy)) == pytest.approx((last - session["started"]) / 60 + 1)


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"experiment": "x"}', '"text"'])
def test_another_programs_folder_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "search.json").write_text(content)
    with pytest.raises(NotARun, match=r"search\.json"):
        Run.open(tmp_path)
    assert find_runs(tmp_path.parent)[0] == []
