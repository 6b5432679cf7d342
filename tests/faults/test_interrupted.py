"""A search cut off in every way a user or a cluster cuts one off, and gone on with."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tests.conftest import SmallSearch, run, start
from tests.support.processes import KNOWN_LINES, check_ended, descendants, sessions, wait_for
from tuning.interruption import NOTHING_BEGUN

Send = Callable[[subprocess.Popen[str], signal.Signals], None]

SEARCH = shlex.split(
    "--input-length 6 --max-steps 600 --num-samples 7 --confirm 1 --finalists 1"
    " --name cut --no-dashboard"
)

RESUME = shlex.split("--resume --name cut --no-dashboard")


def ended(folder: Path) -> dict[int, str]:
    """The number and the bytes of every trial that has ended."""
    records = {file: file.read_text() for file in folder.glob("runs/cut/trial_*/trial.json")}
    return {
        json.loads(text)["number"]: text for text in records.values() if json.loads(text)["ended"]
    }


def start_search(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A search in a process group of its own."""
    return start("tune_lstm.py", *SEARCH, *arguments, cwd=folder, start_new_session=True)


def search_until(count: int, folder: Path) -> subprocess.Popen[str]:
    """A search of which ``count`` trials have ended."""
    process = start_search(folder)
    wait_for(lambda: len(ended(folder)) >= count, process)
    return process


def check_resumed(folder: Path, before: dict[int, str], trials: int = 7) -> None:
    """Going on keeps what had ended as it was, ends with the ``trials`` asked for, and leaves the
    study in order."""
    result = run("tune_lstm.py", *RESUME, cwd=folder)
    assert result.returncode == 0, result.stderr
    counted = re.search(r" · (\d+) finished before", result.stderr)
    assert counted
    # A kill may fall between the study's word that a trial has ended and its record.
    assert len(before) <= int(counted[1]) <= trials
    after = ended(folder)
    assert set(after) == set(range(trials))
    assert {number: after[number] for number in before} == before
    study = optuna.load_study(study_name="cut", storage=f"sqlite:///{folder}/runs/cut/optuna.db")
    assert len(study.trials) == trials
    assert {trial.state for trial in study.trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    for file in folder.glob("runs/cut/trial_*/result.json"):
        steps = {json.loads(line)["step"] for line in file.read_text().splitlines()}
        assert steps == set(range(100, max(steps) + 1, 100))


def to_the_driver(process: subprocess.Popen[str], number: signal.Signals) -> None:
    process.send_signal(number)


def to_its_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """As Ctrl-C, a terminal that closes and ``timeout`` do."""
    os.killpg(process.pid, number)


def to_every_process(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """As systemd and Slurm do, by control group: Ray's own processes first, which is the worst
    order."""
    for pid in [*descendants(process.pid), process.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


slow = pytest.mark.slow


def stop(process: subprocess.Popen[str], send: Send, number: signal.Signals, run: Path) -> None:
    """Send the signal: the search ends with the line that resumes it, and so do Ray's processes."""
    of_ray = descendants(process.pid)
    send(process, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    (line,) = out.splitlines()
    assert line.startswith("interrupted with ")
    assert line.endswith("tune_lstm.py --resume --name cut")
    assert all(line.startswith(KNOWN_LINES) for line in err.splitlines()), err
    assert sessions(run) == ["interrupted"]
    check_ended(of_ray)


@slow
def test_a_search_is_locked_killed_and_resumed(tmp_path: Path) -> None:
    small = "--input-length 4 --max-steps 300 --num-samples 4 --max-concurrent 1 --confirm 0"
    process = start_search(tmp_path, *shlex.split(small))
    wait_for((tmp_path / "runs" / "cut" / "search.json").exists, process)
    second = run("tune_lstm.py", *RESUME, cwd=tmp_path)
    assert second.returncode == 2
    assert "is being searched by another process" in second.stderr
    wait_for(lambda: len(ended(tmp_path)) >= 2, process)
    process.kill()
    process.communicate()
    check_resumed(tmp_path, ended(tmp_path), trials=4)


@slow
@pytest.mark.parametrize(
    ("send", "number"),
    [
        (to_the_driver, signal.SIGINT),
        (to_the_driver, signal.SIGTERM),
        (to_its_group, signal.SIGTERM),
        (to_its_group, signal.SIGINT),
        (to_its_group, signal.SIGHUP),
        (to_every_process, signal.SIGTERM),
    ],
)
def test_a_signal_stops_cleanly_and_says_how_to_go_on(
    send: Send, number: signal.Signals, tmp_path: Path
) -> None:
    stop(search_until(2, tmp_path), send, number, tmp_path / "runs/cut")
    if send == to_its_group:
        check_resumed(tmp_path, ended(tmp_path))


@slow
def test_a_signal_is_answered_within_three_seconds_however_seldom_trials_report(
    tmp_path: Path,
) -> None:
    """``ray job stop`` sends SIGKILL three seconds after SIGTERM. A report of these trials takes a
    minute."""
    seldom = shlex.split(
        "--input-length 200 --max-steps 100000 --num-samples 3 --name cut --no-dashboard"
    )
    process = start("tune_lstm.py", *seldom, cwd=tmp_path, start_new_session=True)
    wait_for(
        lambda: any(
            "ray::LSTMTrial.train" in command for command in descendants(process.pid).values()
        ),
        process,
    )
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert time.monotonic() - began < 3
    assert process.returncode == 130
    assert out.startswith("interrupted with 0 of 3 trials done; go on with: ")
    assert sessions(tmp_path / "runs/cut") == ["interrupted"]


@slow
@pytest.mark.parametrize("seconds", [0.5, 2, 4, 6, 8, 10])
def test_a_signal_at_any_moment_of_the_start(seconds: float, tmp_path: Path) -> None:
    """While modules are imported, while the run directory is made, while Ray starts."""
    process = start("tune_lstm.py", *SEARCH, cwd=tmp_path, start_new_session=True)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    (line,) = out.splitlines()
    assert line.startswith("interrupted")
    assert all(line.startswith(KNOWN_LINES) for line in err.splitlines()), err
    assert (tmp_path / "runs" / "cut").exists() == ("--resume" in line)


def reports_of_running_trials(folder: Path) -> list[int]:
    """How many reports each trial that has not ended has on disk."""
    running = [
        f.parent
        for f in folder.glob("runs/cut/trial_*/trial.json")
        if not json.loads(f.read_text())["ended"]
    ]
    files = [path / "result.json" for path in running]
    return [len(file.read_text().splitlines()) if file.exists() else 0 for file in files]


@pytest.mark.slow
def test_a_worker_killed_while_it_trains_costs_no_trial(tmp_path: Path) -> None:
    process = search_until(2, tmp_path)
    deadline = time.monotonic() + 60
    while not (
        (reports := reports_of_running_trials(tmp_path))
        and all(1 <= count <= 4 for count in reports)
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workers = [
        pid for pid, command in descendants(process.pid).items() if "ray::LSTMTrial" in command
    ]
    assert workers
    os.kill(workers[0], signal.SIGKILL)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert out.splitlines()[0].startswith("7 trials: ")
    assert "error" not in out.splitlines()[0]


@slow
def test_a_terminal_that_closes_while_the_judges_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    search = shlex.split(
        "--dataset digits --num-samples 1 --max-steps 9 --no-dashboard --name early"
    )
    process = start("tune_gan.py", *search, cwd=tmp_path, start_new_session=True)
    assert process.stderr is not None
    assert "training judge 1" in process.stderr.readline()
    os.killpg(process.pid, signal.SIGHUP)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == NOTHING_BEGUN + "\n"
    assert "Traceback" not in err
    assert not (tmp_path / "runs" / "early").exists()


@slow
def test_kill_9_while_the_judges_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    search = shlex.split(
        "--dataset digits --num-samples 1 --max-steps 9 --confirm 0 --final-steps 0 --no-dashboard"
    )
    process = start("tune_gan.py", *search, "--name", "early", cwd=tmp_path)
    assert process.stderr is not None
    assert "training judge 1" in process.stderr.readline()
    process.kill()
    process.communicate()
    monkeypatch.undo()
    result = run("tune_gan.py", "--resume", "--name", "early", "--no-dashboard", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("1 trial: 1 used the whole budget")


@slow
def test_a_trial_in_flight_that_is_no_longer_asked_for_is_closed(
    small_search: SmallSearch, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(small_search.path, tmp_path / "runs" / "small"))
    file = copy / "trial_0005" / "trial.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "ended": None, "finished": None}))
    with contextlib.closing(sqlite3.connect(copy / "optuna.db")) as database, database:
        database.execute(
            "UPDATE trials SET state = 'RUNNING', datetime_complete = NULL WHERE number = 5"
        )
    result = run(
        "tune_lstm.py",
        "--resume",
        "--name",
        "small",
        "--num-samples",
        5,
        "--no-dashboard",
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{copy / 'optuna.db'}")
    assert all(trial.state.is_finished() for trial in study.trials)
    assert (
        study.trials[5].user_attrs["ended"]
        == json.loads(file.read_text())["ended"]
        == "not asked for"
    )
