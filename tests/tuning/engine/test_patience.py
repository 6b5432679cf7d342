"""A database or a storage that really fails for a while: locked, full or gone."""

import contextlib
import dataclasses
import errno
import functools
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from optuna.trial import TrialState
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError

from command_line import UsageError
from records.run_directory import RunDirectory
from tests.support.postgres import Postgres
from tests.support.searched import ENDS, Searched, open_study
from tune_lstm import LSTMOptions
from tuning.engine.patience import Patience, check_writable, reason
from tuning.engine.room import Room
from tuning.engine.searcher import StudySearch
from tuning.engine.storage import open_storage
from tuning.task import Task
from tuning.trouble import Trouble

Lines = list[str]


pytestmark = pytest.mark.ray


@pytest.fixture
def lines() -> Lines:
    return []


@pytest.fixture
def patience(lines: Lines) -> Patience:
    return Patience(lines.append)


@contextlib.contextmanager
def locked(database: Path, seconds: float) -> Iterator[None]:
    """Another connection holds the database for so long from now on."""
    began = threading.Event()

    def hold() -> None:
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as held:
            held.execute("BEGIN EXCLUSIVE")
            began.set()
            time.sleep(seconds)
            held.execute("ROLLBACK")

    thread = threading.Thread(target=hold)
    thread.start()
    began.wait()
    yield
    thread.join()


def test_what_works_at_once_is_done_once_without_a_word(patience: Patience, lines: Lines) -> None:
    assert patience("a folder", lambda: 7) == 7
    assert lines == []


def test_what_fails_for_a_while_is_waited_for_with_one_line(
    patience: Patience, lines: Lines
) -> None:
    left = [
        OSError(errno.ENOSPC, "No space left on device", "/runs"),
        OSError(errno.ENOSPC, "No space left on device"),
    ]

    def action() -> str:
        if left:
            raise left.pop(0)
        return "done"

    assert patience("the run directory", action) == "done"
    assert lines[0] == (
        "waiting: the run directory failed (No space left on device (/runs));"
        " trying again for up to 300 s"
    )
    assert lines[1].startswith("the run directory works again after ")
    assert len(lines) == 2


@pytest.mark.parametrize("seconds", ["soon", "-1", "nan", "inf", "1e999"])
def test_a_patience_that_is_none_is_refused(seconds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_PATIENCE_S", seconds)
    with pytest.raises(
        UsageError, match=f"TUNE_PATIENCE_S must be a number of seconds, 0 or more, got {seconds}"
    ):
        Patience()


def test_patience_ends_and_then_nothing_is_tried_any_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TUNE_PATIENCE_S", "1")
    patience = Patience()
    with pytest.raises(Trouble, match=r"^the disk failed for \d s: No such file or directory"):
        patience("the disk", lambda: check_writable(tmp_path / "gone"))
    with pytest.raises(Trouble, match="the disk failed"):
        patience("another thing", lambda: 7)


@pytest.mark.parametrize(
    "error", [BrokenPipeError(), FileExistsError(), NotADirectoryError(), ValueError("own")]
)
def test_what_time_does_not_mend_is_raised_at_once(
    error: Exception, patience: Patience, lines: Lines
) -> None:
    def action() -> None:
        raise error

    with pytest.raises(type(error)):
        patience("a folder", action)
    assert lines == []


def test_a_full_disk_is_no_writable_folder(tmp_path: Path) -> None:
    check_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []
    full = Path("/dev/full")
    link = tmp_path / ".writable"
    link.symlink_to(full)
    with pytest.raises(OSError, match="No space left on device") as error:
        check_writable(tmp_path)
    assert reason(error.value).startswith("No space left on device")


class TestALockedDatabase:
    @pytest.fixture(autouse=True)
    def impatient_sqlite(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """SQLite says after 0.3 s, not after 5 s, that a database is locked."""
        monkeypatch.setattr(
            sqlite3.dbapi2, "connect", functools.partial(sqlite3.dbapi2.connect, timeout=0.3)
        )

    @pytest.fixture
    def searcher(
        self, options: LSTMOptions, task: Task, directory: RunDirectory, patience: Patience
    ) -> StudySearch:
        study = open_study(options, task, directory)
        return StudySearch(
            options, task, directory, study, trials_done=0, room=Room(100), patience=patience
        )

    @pytest.mark.parametrize(
        "what",
        ["report", *(pytest.param(what, marks=pytest.mark.slow) for what in ("hand out", "end"))],
    )
    def test_costs_time_and_nothing_else(
        self, what: str, searcher: StudySearch, directory: RunDirectory, lines: Lines
    ) -> None:
        row = {"step": 100, "mean_accuracy": 0.3, "ended": None}
        actions: dict[str, Callable[[], object]] = {
            "hand out": lambda: searcher.suggest("a"),
            "report": lambda: searcher.on_trial_result("a", row),
            "end": lambda: searcher.on_trial_complete("a", {**row, "step": 200, "ended": "budget"}),
        }
        for name, action in actions.items():
            with (
                locked(directory.path / "optuna.db", 2)
                if name == what
                else contextlib.nullcontext()
            ):
                action()
        (trial,) = [one for one in searcher.study.trials if one.state != TrialState.WAITING]
        assert (trial.number, trial.state, trial.intermediate_values) == (
            0,
            TrialState.COMPLETE,
            {100: 0.3, 200: 0.3},
        )
        assert (trial.user_attrs["tune_id"], trial.user_attrs["ended"]) == ("a", "budget")
        assert searcher.suggest("b")["trial"] == 1
        assert [line.partition(" (")[0] for line in lines] == [
            "waiting: the study's database failed",
            lines[-1],
        ]
        assert "database is locked" in lines[0]

    def test_what_is_rolled_back_at_the_very_end_is_done_again_whole(
        self, searcher: StudySearch, lines: Lines
    ) -> None:
        failing = iter([False])

        @event.listens_for(searcher.run_study.storage.engine, "commit")
        def before_commit(connection: Connection) -> None:
            if next(failing, False):
                raise OperationalError("COMMIT", None, Exception("disk I/O error"))

        for number, ended in enumerate((None, "budget")):  # stopped early, and by itself
            failing = iter([True])
            assert searcher.suggest(str(number))["trial"] == number
            failing = iter([True])
            searcher.on_trial_result(
                str(number), {"step": 100, "mean_accuracy": 0.3, "ended": None}
            )
            failing = iter([True])
            searcher.on_trial_complete(
                str(number), {"step": 200, "mean_accuracy": 0.4, "ended": ended}
            )
        trials = [one for one in searcher.study.trials if one.state != TrialState.WAITING]
        assert [(one.number, one.state, one.value) for one in trials] == [
            (0, TrialState.PRUNED, 0.4), (1, TrialState.COMPLETE, 0.4),
        ]  # fmt: skip
        assert [one.intermediate_values for one in trials] == [{100: 0.3, 200: 0.4}] * 2
        assert sum(line.startswith("waiting: ") for line in lines) == 6

    def test_for_too_long_ends_the_search_and_leaves_the_trial_open(
        self, searcher: StudySearch, directory: RunDirectory, patience: Patience
    ) -> None:
        patience.seconds = 1.0
        searcher.suggest("a")
        with (
            locked(directory.path / "optuna.db", 4),
            pytest.raises(Trouble, match="the study's database failed for"),
        ):
            searcher.on_trial_complete("a", {"step": 200, "mean_accuracy": 0.3, "ended": "budget"})
        record = directory.trial(0).read()
        assert record is not None
        assert record.ended is None

    def test_at_the_start_is_waited_for(
        self, options: LSTMOptions, directory: RunDirectory, patience: Patience, lines: Lines
    ) -> None:
        open_storage(options, directory.path)
        with locked(directory.path / "optuna.db", 2):
            patience("the study's database", lambda: open_storage(options, directory.path))
        assert len(lines) == 2


class TestAServerThatRestarts:
    """PostgreSQL goes down in the middle of a search and comes back."""

    @pytest.fixture
    def options(self, options: LSTMOptions, postgres: Postgres) -> LSTMOptions:
        url = postgres.url(quote(postgres.password, safe=""))
        return dataclasses.replace(options, name=f"run{time.time_ns()}", optuna_storage=url)

    @pytest.mark.parametrize("down_s", [0.0, pytest.param(3.0, marks=pytest.mark.slow)])
    def test_costs_time_and_nothing_else(
        self, down_s: float, options: LSTMOptions, task: Task, postgres: Postgres
    ) -> None:
        searched = Searched(options, task)
        lines: Lines = []
        searched.searcher._patience.say = lines.append
        for number in range(6):
            if number in (1, 3):
                postgres.stop()
                threading.Timer(down_s, postgres.start).start()
            assert searched.hand_out(str(number)) == number
            searched.end(str(number), number)
        trials = [one for one in searched.searcher.study.trials if one.state != TrialState.WAITING]
        assert [(one.number, one.user_attrs["ended"]) for one in trials] == [
            (n, ENDS[n % len(ENDS)]) for n in range(6)
        ]
        assert [len(one.intermediate_values) for one in trials] == [2, 2, 2, 1, 1, 2]
        assert sum(line.startswith("waiting: ") for line in lines) <= 2
        if down_s:
            assert sum(line.startswith("waiting: ") for line in lines) == 2
        assert postgres.password not in "".join(lines)

    def test_an_end_that_the_server_kept_but_did_not_confirm_is_told_once(
        self, options: LSTMOptions, task: Task
    ) -> None:
        """The transaction is committed, and then the connection breaks: it must not be repeated."""
        searched = Searched(options, task)
        searcher = searched.searcher
        storage = searcher.run_study.storage
        broken = iter(
            [OperationalError("COMMIT", None, Exception("server closed the connection"))] * 3
        )

        @event.listens_for(storage.engine, "commit")
        def after_commit(connection: Connection) -> None:
            connection.connection.commit()  # the server has it
            if error := next(broken, None):
                raise error

        number = searched.hand_out("a")
        searched.end("a", number)
        searched.search(1)
        trials = [one for one in searcher.study.trials if one.state != TrialState.WAITING]
        assert [(one.number, one.user_attrs["ended"]) for one in trials] == [
            (0, "budget"),
            (1, "converged"),
        ]


def test_a_folder_that_comes_back_is_written_to(
    patience: Patience, lines: Lines, tmp_path: Path
) -> None:
    """As a network mount that is gone for a moment."""
    folder, away = tmp_path / "runs", tmp_path / "away"
    folder.mkdir()
    folder.rename(away)
    threading.Timer(1.5, away.rename, [folder]).start()
    patience("the storage", lambda: check_writable(folder))
    assert len(lines) == 2
