"""What TensorBoard itself reads of a search, against ``result.json``."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from records.run_directory import RunDirectory
from records.tables import training_curve
from records.trial_directory import TrialRecord
from tests.conftest import SMALL, run, start
from tests.support.processes import wait_for
from tuning.engine.patience import Patience
from tuning.engine.tensorboard import FOLDER, TensorBoard
from tuning.task import Task

CONFIG = {"lr": 0.01, "max_norm": 0.1, "seed": 3, "trial": 7, "hidden_dim": 128}


def read(folder: Path) -> dict[str, dict[int, list[float]]]:
    """Every scalar by its name: the values that TensorBoard has of each step."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    found: dict[str, dict[int, list[float]]] = {}
    for name in events.Tags()["scalars"]:
        for event in events.Scalars(name):
            found.setdefault(name, {}).setdefault(event.step, []).append(event.value)
    return found


def recorded(run: RunDirectory, number: int) -> dict[str, dict[int, Any]]:
    """What must be there: the numbers of ``result.json``, and the curves as the report has them."""
    rows, found = run.trial(number).rows(), dict[str, dict[int, Any]]()
    curves: list[dict[Any, Any]] = training_curve(pd.DataFrame(rows)).to_dict("records")
    for point in [*rows, *curves]:
        for name, value in point.items():
            is_number = isinstance(value, int | float) and not pd.isna(value)
            if is_number and name not in ("step", "timestamp"):
                found.setdefault(name, {})[int(point["step"])] = [pytest.approx(value, rel=1e-6)]
    return found


def row(step: int, ended: str | None = None) -> dict[str, Any]:
    points = [step + point / 10 for point in range(-9, 1)]
    return {
        "step": step, "accuracy": step / 1000, "steps_to_converge": None, "train_loss": points,
        "ended": ended, "timestamp": 1000 + step,
    }  # fmt: skip


class Training:
    """Trial 7 of a run, without Ray: the recorder's part and the callback's."""

    def __init__(self, task: Task, run: RunDirectory) -> None:
        self.run, self.directory = run, run.trial(7)
        self.folder = run.path / FOLDER / "trial_0007"
        self.trial: Any = SimpleNamespace(trial_id="a", config=CONFIG, last_result={})
        self.task, self.seen = task, TensorBoard(run, task.space, Patience())
        self.directory.write(TrialRecord(7, CONFIG))

    def report(self, *rows: dict[str, Any]) -> None:
        for one in rows:
            self.directory.append(one)
            self.seen.on_trial_result(0, [], self.trial, {**one, "config": CONFIG, "pid": 1})

    def end(self, ended: str) -> None:
        record = self.directory.read()
        assert record is not None
        record.ended = ended
        self.directory.write(record)
        self.seen.on_trial_complete(0, [], self.trial)

    def killed(self) -> None:
        """Another session goes on."""
        self.seen = TensorBoard(self.run, self.task.space, Patience())


@pytest.fixture
def training(task: Task, directory: RunDirectory) -> Training:
    return Training(task, directory)


def test_reports_are_read_while_the_trial_runs(training: Training) -> None:
    training.report(row(100), row(200))
    assert read(training.folder) == recorded(training.run, 7)
    assert read(training.folder)["train_loss"][110] == [pytest.approx(199.1)]


def test_steps_that_a_resumed_trial_reports_again_are_there_once(training: Training) -> None:
    training.report(row(100), row(200), row(300))
    reader = EventAccumulator(str(training.folder), size_guidance={"scalars": 0}).Reload()
    training.killed()
    training.report({**row(200), "accuracy": 0.9}, {**row(300), "accuracy": 0.95}, row(400))
    training.end("budget")
    assert read(training.folder) == recorded(training.run, 7)
    assert read(training.folder)["accuracy"][200] == [pytest.approx(0.9)]
    # A TensorBoard that has been open all the time agrees.
    live = [(event.step, event.value) for event in reader.Reload().Scalars("accuracy")]
    fresh = {step: values[0] for step, values in read(training.folder)["accuracy"].items()}
    assert live == list(fresh.items())


def test_a_file_that_a_kill_cut_off_is_replaced(training: Training) -> None:
    training.report(row(100), row(200))
    (file,) = training.folder.iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    training.killed()
    training.report(row(300))
    assert read(training.folder) == recorded(training.run, 7)


def test_trials_searched_without_it_are_written_when_the_search_goes_on(
    training: Training,
) -> None:
    for one in (row(100), row(200, "budget")):
        training.directory.append(one)
    training.end("budget")
    assert not training.folder.exists()
    training.seen.setup()
    assert read(training.folder) == recorded(training.run, 7)
    (before,) = training.folder.iterdir()
    training.seen.setup()  # once
    assert [*training.folder.iterdir()] == [before]


def test_a_full_disk_loses_no_report(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    training.report(row(100))
    file = training.seen._open[7]._writer
    full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - the callback closes it
    training.seen._open[7]._writer = full
    file.close()
    training.report(row(200), row(300))
    assert read(training.folder) == recorded(training.run, 7)


@pytest.mark.slow
def test_one_training_in_this_process_writes_it_too(tmp_path: Path) -> None:
    options = ("--train", "lr=0.01", "max_norm=1", "--in-process", "--tensorboard")
    small = ("--input-length", 3, "--max-steps", 200, "--name", "one")
    assert run("tune_lstm.py", *options, *small, cwd=tmp_path).returncode == 0
    directory = RunDirectory(tmp_path / "runs/one")
    assert read(directory.path / FOLDER / "trial_0000") == recorded(directory, 0)


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """TensorBoard itself on a folder; its address."""
    program = Path(sys.executable).parent / "tensorboard"
    place = ["--logdir", str(folder), "--port", "0", "--host", "127.0.0.1"]
    process = subprocess.Popen([program, *place], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        yield next(match[1] for line in lines if (match := re.search(r"(http://\S+:\d+)/", line)))
    finally:
        process.terminate()
        process.communicate(timeout=30)


def ask(address: str, question: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"{address}/data/plugin/hparams/{question}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_tensorboard_shows_a_search_that_was_killed_and_went_on(tmp_path: Path) -> None:
    search = (*SMALL, "--num-samples", 8, "--tensorboard", "--no-dashboard", "--name", "seen")
    process = start("tune_lstm.py", *search, cwd=tmp_path)
    directory = RunDirectory(tmp_path / "runs/seen")
    wait_for(lambda: directory.outcomes().total() >= 3, process, within=300)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = run("tune_lstm.py", "--resume", "--name", "seen", "--tensorboard", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr

    for part in (directory, directory.confirmation()):
        trials = [record for _, record in part.trials()]
        assert len(trials) >= 4
        for record in trials:
            assert read(part.path / FOLDER / f"trial_{record.number:04d}") == recorded(
                part, record.number
            )
    with server(directory.path / FOLDER) as address:
        found = ask(address, "experiment", {"includeMetrics": True})
        assert {one["name"] for one in found["hparamInfos"]} == {"lr", "max_norm", "seed"}
        names = {one["name"]["tag"] for one in found["metricInfos"]}
        assert {"accuracy", "mean_accuracy", "train_loss"} <= names
        groups = ask(address, "session_groups", {
            "startIndex": 0, "sliceSize": 100, "colParams": [], "allowedStatuses": [
                "STATUS_SUCCESS", "STATUS_FAILURE"],
        })["sessionGroups"]  # fmt: skip
    shown = {group["sessions"][0]["name"]: group["hparams"] for group in groups}
    wanted = {
        f"trial_{record.number:04d}": {n: record.config[n] for n in ("lr", "max_norm", "seed")}
        for _, record in directory.trials()
    }
    assert shown == {name: pytest.approx(values) for name, values in wanted.items()}
    built = run("reports/build.py", directory.path, cwd=tmp_path)
    assert built.returncode == 0, built.stderr
