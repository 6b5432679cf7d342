"""What a search leaves behind if it is refused before its first trial."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from command_line import UsageError
from tune_lstm import LSTMOptions
from tuning.engine.tuner import TUNE_ENVIRONMENT
from tuning.search import Search
from tuning.task import Prepared, Task


def refuse(say: Callable[[str], None], run: Path) -> Prepared:
    raise UsageError("the images are black")


def test_a_refused_preparation_leaves_no_run_and_no_study(
    options: LSTMOptions,
    task: Task,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in TUNE_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    database = f"sqlite:///{tmp_path}/shared.db"
    mine = dataclasses.replace(
        options, storage_path=str(tmp_path / "runs"), optuna_storage=database
    )
    with pytest.raises(SystemExit) as stop:
        Search(mine, dataclasses.replace(task, prepare=refuse)).run()
    assert stop.value.code == 2
    assert capsys.readouterr().err.endswith("error: the images are black\n")
    assert not (tmp_path / "runs").exists()
    assert optuna.get_all_study_names(database) == []
