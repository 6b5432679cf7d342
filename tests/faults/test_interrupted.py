"""A search cut off in every way a user or a cluster cuts one off, and gone on with."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tests.conftest import SmallSearch, run, start

SEARCH = ("--input-length", 6, "--max-steps", 600, "--num-samples", 7, "--confirm", 1, "--name", "cut", "--no-dashboard")


def ended(folder: Path) -> dict[int, str]:
    """The number and the bytes of every trial that has ended."""
    records = {file: file.read_text() for file in folder.glob("runs/cut/trial_*/trial.json")}
    return {json.loads(text)["number"]: text for text in records.values() if json.loads(text)["ended"]}


def search_until_two_have_ended(folder: Path) -> subprocess.Popen[str]:
    process = start("tune_lstm.py", *SEARCH, cwd=folder)
    deadline = time.monotonic() + 120
    while len(ended(folder)) < 2:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return process


def check_resumed(folder: Path, before: dict[int, str]) -> None:
    """Going on keeps what had ended as it was, ends with the trials asked for, and leaves the study in order."""
    result = run("tune_lstm.py", "--resume", "--name", "cut", "--no-dashboard", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert f"{len(before)} finished before" in result.stderr
    after = ended(folder)
    assert set(after) == set(range(7))
    assert {number: after[number] for number in before} == before
    study = optuna.load_study(study_name="cut", storage=f"sqlite:///{folder}/runs/cut/optuna.db")
    assert len(study.trials) == 7
    assert {trial.state for trial in study.trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    for file in folder.glob("runs/cut/trial_*/result.json"):
        steps = {json.loads(line)["step"] for line in file.read_text().splitlines()}
        assert steps == set(range(100, max(steps) + 1, 100))


def test_kill_9_of_the_driver(tmp_path: Path) -> None:
    process = search_until_two_have_ended(tmp_path)
    process.kill()
    process.communicate()
    check_resumed(tmp_path, ended(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_stops_cleanly_and_says_how_to_go_on(number: signal.Signals, tmp_path: Path) -> None:
    process = search_until_two_have_ended(tmp_path)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    last = out.splitlines()[-1]
    assert last.startswith("interrupted with ")
    assert last.endswith("tune_lstm.py --resume --name cut")
    assert "Traceback" not in err
    assert json.loads((tmp_path / "runs/cut/search.json").read_text())["sessions"][0]["how"] == "interrupted"
    if number == signal.SIGINT:
        check_resumed(tmp_path, ended(tmp_path))


def test_a_second_search_of_the_same_run_is_refused(tmp_path: Path) -> None:
    process = start("tune_lstm.py", *SEARCH, cwd=tmp_path)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("7 trials · ")
    second = run("tune_lstm.py", "--resume", "--name", "cut", cwd=tmp_path)
    assert second.returncode == 2
    assert "is being searched by another process" in second.stderr
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def reports_of_running_trials(folder: Path) -> list[int]:
    """How many reports each trial that has not ended has on disk."""
    running = [f.parent for f in folder.glob("runs/cut/trial_*/trial.json") if not json.loads(f.read_text())["ended"]]
    files = [path / "result.json" for path in running]
    return [len(file.read_text().splitlines()) if file.exists() else 0 for file in files]


def descendants(pid: int) -> dict[int, str]:
    """The commands of a process's children and of theirs, by process id: other tests run Ray beside this one."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    processes = [line.split(None, 2) for line in listed.splitlines()]
    found, parents = dict[int, str](), {pid}
    while parents:
        children = {int(child): command for child, parent, command in processes if int(parent) in parents}
        found |= children
        parents = set(children)
    return found


def test_a_worker_killed_while_it_trains_costs_no_trial(tmp_path: Path) -> None:
    process = search_until_two_have_ended(tmp_path)
    deadline = time.monotonic() + 60
    while not ((reports := reports_of_running_trials(tmp_path)) and all(1 <= count <= 4 for count in reports)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workers = [pid for pid, command in descendants(process.pid).items() if "ray::LSTMTrial" in command]
    assert workers
    os.kill(workers[0], signal.SIGKILL)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert out.splitlines()[0].startswith("7 trials: ")
    assert "error" not in out.splitlines()[0]


def test_kill_9_while_the_judges_are_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    search = ("--dataset", "digits", "--num-samples", 1, "--max-steps", 9, "--confirm", 0, "--final-steps", 0, "--no-dashboard")
    process = start("tune_gan.py", *search, "--name", "early", cwd=tmp_path)
    assert process.stderr is not None
    assert "training judge 1" in process.stderr.readline()
    process.kill()
    process.communicate()
    monkeypatch.undo()
    result = run("tune_gan.py", "--resume", "--name", "early", "--no-dashboard", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("1 trials: 1 budget")


def test_a_trial_in_flight_that_is_no_longer_asked_for_is_closed(small_search: SmallSearch, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(small_search.path, tmp_path / "runs" / "small"))
    file = copy / "trial_0005" / "trial.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "ended": None, "finished": None}))
    with contextlib.closing(sqlite3.connect(copy / "optuna.db")) as database, database:
        database.execute("UPDATE trials SET state = 'RUNNING', datetime_complete = NULL WHERE number = 5")
    result = run("tune_lstm.py", "--resume", "--name", "small", "--num-samples", 5, "--no-dashboard", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{copy / 'optuna.db'}")
    assert all(trial.state.is_finished() for trial in study.trials)
    assert study.trials[5].user_attrs["ended"] == json.loads(file.read_text())["ended"] == "not asked for"
