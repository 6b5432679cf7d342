"""Errors that nobody foresaw, in a search: one line, the traceback in a file, and the first error
is the one that is said."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.processes import sessions
from trainables.lstm.demand import demand
from tune_lstm import LSTMOptions, lstm_task
from tuning.search import Search
from tuning.task import Prepared

Prepare = Callable[[Callable[[str], None], Path], Prepared]


def search(folder: Path, prepare: Prepare) -> int:
    options = LSTMOptions(name="broken", storage_path=str(folder))
    return Search(options, replace(lstm_task(options), prepare=prepare, demand=demand)).run()


def test_the_traceback_is_in_the_run_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(say: Callable[[str], None], run: Path) -> Prepared:
        raise KeyError("a détail")

    assert search(tmp_path, breaks) == 1
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert out == ""
    assert "unexpected KeyError: 'a détail' (details in " in line
    assert "finished trials are kept, go on with: python " in line
    assert "--resume --name broken --storage-path " in line
    failure = (tmp_path / "broken" / "failure.txt").read_text(encoding="utf-8")
    assert "Traceback" in failure
    assert 'raise KeyError("a détail")' in failure
    assert sessions(tmp_path / "broken") == ["failed"]


def test_the_first_error_is_said_if_its_end_cannot_be_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(say: Callable[[str], None], run: Path) -> Prepared:
        shutil.copy(run / "search.json", tmp_path / "kept.json")
        shutil.rmtree(run)
        run.write_text("no folder any more")
        raise KeyError("the first")

    assert search(tmp_path, breaks) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "KeyError: 'the first'; finished trials are kept" in line


def test_a_module_that_is_missing_in_the_preparation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(say: Callable[[str], None], run: Path) -> Prepared:
        raise ModuleNotFoundError("No module named 'torchvision'", name="torchvision")

    with pytest.raises(SystemExit) as left:
        search(tmp_path, breaks)
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "Python cannot import torchvision" in line
    assert not (tmp_path / "broken").exists()
