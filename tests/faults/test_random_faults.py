"""Faults at random moments, over and over: into a search that runs, and into its folder while it
rests; each time it goes on.

Settings, seeds and figures of a trial follow from its number here, so that every trial of every
disturbed run must come out as in one that nobody disturbed, figure for figure. What follows from a
seed can be repeated; a failure prints it:

    RANDOM_FAULTS=200 RANDOM_FAULTS_SEED=7 python -m pytest -m slow
    tests/faults/test_random_faults.py
"""

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tests.conftest import run, start
from tests.support.processes import descendants, kill, named

FAULTS = int(os.environ.get("RANDOM_FAULTS", "200"))
TRIALS, SEEDS = 6, 1
SEARCH = (
    "--input-length", 7, "--max-steps", 2000, "--set", "hidden_dim=24", "--num-samples", TRIALS,
    "--confirm", SEEDS, "--finalists", 1,
    "--sampler", "random", "--scheduler", "none", "--seed", 5, "--no-dashboard",
)  # fmt: skip
TIMES = ("timestamp", "time_this_iter_s")
"""What differs from one machine, and from one moment, to another."""

Ended = dict[str, Any]


def rows(file: Path) -> dict[int, dict[str, Any]]:
    """A trial's reports by step, without times; of a step that was reported twice, the later
    one."""
    found: dict[int, dict[str, Any]] = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            found[row["step"]] = {name: value for name, value in row.items() if name not in TIMES}
    return found


def ended(folder: Path) -> Ended:
    """Of every trial that has ended, in the search and after it: its settings, its outcome and the
    bytes of its reports."""
    found: Ended = {}
    for file in folder.rglob("trial_*/trial.json"):
        with contextlib.suppress(ValueError):
            record = json.loads(file.read_text())
            if record["ended"]:
                place = str(file.parent.relative_to(folder))
                found[place] = (
                    record["config"],
                    record["ended"],
                    (file.parent / "result.json").read_bytes(),
                )
    return found


def is_cut(record: Path) -> bool:
    try:
        json.loads(record.read_text())
    except ValueError:
        return True
    return False


class Disturbed:
    """One run that is disturbed until it is done."""

    def __init__(self, folder: Path, name: str, draw: random.Random) -> None:
        self.cwd, self.name, self.draw = folder, name, draw
        self.before: Ended = {}
        self.older: bytes | None = None
        self.said: list[str] = []

    @property
    def folder(self) -> Path:
        return self.cwd / "runs" / self.name

    @property
    def arguments(self) -> tuple[object, ...]:
        if (self.folder / "search.json").exists():
            return ("--resume", "--name", self.name, "--no-dashboard")
        return (*SEARCH, "--name", self.name)

    def check_ended(self) -> None:
        """A record that a fault has cut is mended by the next session that opens the run. Its
        reports stay as they were."""
        now = ended(self.folder)
        cut = {
            place: self.before[place]
            for place in self.before
            if is_cut(self.folder / place / "trial.json")
        }
        for place, (_, _, reports) in cut.items():
            assert (self.folder / place / "result.json").read_bytes() == reports, self.said
        assert {place: (now | cut).get(place) for place in self.before} == self.before, self.said
        self.before = now | cut

    def disturb_running(self) -> str | None:
        """Start or go on, disturb at a random moment, and wait for the end; the fault's name, None
        if all was done before."""
        process = start("tune_lstm.py", *self.arguments, cwd=self.cwd, start_new_session=True)
        deadline = time.monotonic() + self.draw.uniform(0, 14)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        fault = self.draw.choice(RUNNING)
        over = process.poll() is not None
        if not over:
            fault(process, self)
        out, err = finish(process)
        assert "Traceback" not in out + err, (fault.__name__, err)
        unstarted = (
            process.returncode == 2 and "Ray does not start" in err
        )  # a daemon that died while Ray started
        signalled = fault in (interrupt, signal_the_group) and "go on with" not in out
        in_rays_core = signalled and process.returncode == -signal.SIGTERM  # while Ray starts
        assert process.returncode in (0, 1, 130, -9) or unstarted or in_rays_core, (
            fault.__name__,
            process.returncode,
            err,
        )
        if over:
            assert process.returncode == 0, err
        self.check_ended()
        return None if over else fault.__name__

    def disturb_resting(self) -> str:
        """A fault in the run's folder."""
        untold = any(
            is_cut(file) for file in self.folder.glob("trial_*/trial.json")
        )  # but by the study, which must stay
        fault = self.draw.choice([one for one in RESTING if not (untold and one in OF_THE_STUDY)])
        fault(self)
        return fault.__name__

    def check_whole(self, reference: Path) -> None:
        """The run is done, and as one that nobody disturbed."""
        for part in ("trial_*", "confirmation/trial_*"):
            expected = {file.name: rows(file / "result.json") for file in reference.glob(part)}
            found = {file.name: rows(file / "result.json") for file in self.folder.glob(part)}
            assert found == expected, self.said
        (name,) = optuna.get_all_study_names(f"sqlite:///{self.folder}/optuna.db")
        study = optuna.load_study(study_name=name, storage=f"sqlite:///{self.folder}/optuna.db")
        assert [trial.number for trial in study.trials] == list(range(TRIALS))
        assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}
        best, should = self.folder / "best", reference / "best"
        assert (best / "config.json").read_bytes() == (should / "config.json").read_bytes()
        if (
            best / "model.safetensors"
        ).exists():  # else a fault tore the checkpoint of a trial that had ended
            assert (best / "model.safetensors").read_bytes() == (
                should / "model.safetensors"
            ).read_bytes()


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        return process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        kill([process.pid, *descendants(process.pid)])
        out, err = process.communicate()
        raise AssertionError(f"it hung:\n{out}\n{err}") from None


def kill_driver(process: subprocess.Popen[str], disturbed: Disturbed) -> None:
    process.kill()


def kill_everything(process: subprocess.Popen[str], disturbed: Disturbed) -> None:
    kill([process.pid, *descendants(process.pid)])


def interrupt(process: subprocess.Popen[str], disturbed: Disturbed) -> None:
    process.send_signal(disturbed.draw.choice((signal.SIGINT, signal.SIGTERM, signal.SIGHUP)))


def signal_the_group(process: subprocess.Popen[str], disturbed: Disturbed) -> None:
    os.killpg(process.pid, disturbed.draw.choice((signal.SIGINT, signal.SIGTERM, signal.SIGHUP)))


def kill_a_worker(process: subprocess.Popen[str], disturbed: Disturbed) -> None:
    """The search goes on by itself."""
    kill(named(process.pid, "ray::LSTMTrial")[:1])


def kill_a_daemon(process: subprocess.Popen[str], disturbed: Disturbed) -> None:
    kill(named(process.pid, disturbed.draw.choice(("raylet/raylet", "gcs_server")))[:1])


def lock_the_database(process: subprocess.Popen[str], disturbed: Disturbed) -> None:
    """For longer than SQLite itself waits; the search goes on by itself."""
    database = disturbed.folder / "optuna.db"
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(database, timeout=1)) as held,
    ):
        held.execute("BEGIN EXCLUSIVE")
        time.sleep(disturbed.draw.uniform(0, 9))
        held.rollback()


def freeze(process: subprocess.Popen[str], disturbed: Disturbed) -> None:
    """As a laptop that is closed for a moment; then killed."""
    kill([process.pid, *descendants(process.pid)], signal.SIGSTOP)
    time.sleep(disturbed.draw.uniform(0, 3))
    kill([process.pid, *descendants(process.pid)], signal.SIGCONT)
    time.sleep(disturbed.draw.uniform(0, 2))
    process.kill()


RUNNING: list[Callable[[subprocess.Popen[str], Disturbed], None]] = [
    kill_driver, kill_everything, interrupt, signal_the_group, kill_a_worker, kill_a_daemon,
    lock_the_database, freeze,
]  # fmt: skip


def rename(disturbed: Disturbed) -> None:
    old = disturbed.folder
    disturbed.name = f"renamed{disturbed.draw.randrange(10**6)}"
    if old.exists():
        old.rename(disturbed.folder)


def copy(disturbed: Disturbed) -> None:
    """The copy goes on; the original must stay as it is."""
    old = disturbed.folder
    disturbed.name = f"copy{disturbed.draw.randrange(10**6)}"
    if old.exists():
        shutil.copytree(old, disturbed.folder, copy_function=shutil.copyfile)


def delete_the_study(disturbed: Disturbed) -> None:
    (disturbed.folder / "optuna.db").unlink(missing_ok=True)


def cut_the_study(disturbed: Disturbed) -> None:
    cut(disturbed.folder / "optuna.db", disturbed.draw)


def put_back_an_older_study(disturbed: Disturbed) -> None:
    file = disturbed.folder / "optuna.db"
    if file.exists():
        older, disturbed.older = disturbed.older, file.read_bytes()
        if older is not None:
            file.write_bytes(older)


def cut_a_record(disturbed: Disturbed) -> None:
    """Of one trial of the search; the study knows it, or else nobody would."""
    begun: list[int] = []
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(disturbed.folder / "optuna.db")) as database,
    ):
        begun = [
            number
            for (number,) in database.execute("SELECT number FROM trials WHERE state != 'WAITING'")
        ]
    files = [
        file
        for number in begun
        if (file := disturbed.folder / f"trial_{number:04d}" / "trial.json").exists()
    ]
    if files:
        cut(disturbed.draw.choice(files), disturbed.draw)


def cut_the_last_report(disturbed: Disturbed) -> None:
    """Of a trial that has not ended: a torn line."""
    places = {file.parent for file in disturbed.folder.rglob("trial_*/trial.json")}
    done = {disturbed.folder / place for place in ended(disturbed.folder)}
    for place in sorted(places - done):
        content = (place / "result.json").read_bytes() if (place / "result.json").exists() else b""
        if content:
            (place / "result.json").write_bytes(content[: -disturbed.draw.randrange(1, 60)])


def tear_a_checkpoint(disturbed: Disturbed) -> None:
    """The weights or the state of one is cut."""
    files = sorted(disturbed.folder.glob("trial_*/checkpoint_*/*.*"))
    if files:
        cut(disturbed.draw.choice(files), disturbed.draw)


def swap_checkpoints(disturbed: Disturbed) -> None:
    """One trial's checkpoint in another's place."""
    folders = sorted(disturbed.folder.glob("trial_*/checkpoint_*"))
    if len(folders) > 1:
        one, other = disturbed.draw.sample(folders, 2)
        shutil.rmtree(one)
        shutil.copytree(other, one)


def cut(file: Path, draw: random.Random) -> None:
    if file.exists():
        content = file.read_bytes()
        file.write_bytes(content[: draw.randrange(len(content) + 1)])


RESTING: list[Callable[[Disturbed], None]] = [
    rename, copy, delete_the_study, cut_the_study, put_back_an_older_study, cut_a_record,
    cut_the_last_report,
    tear_a_checkpoint, swap_checkpoints,
]  # fmt: skip


OF_THE_STUDY = (delete_the_study, cut_the_study, put_back_an_older_study)


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_no_fault_changes_loses_or_repeats_a_trial_that_has_ended(tmp_path: Path) -> None:
    seed = int(os.environ.get("RANDOM_FAULTS_SEED") or random.randrange(1_000_000))
    print(f"RANDOM_FAULTS_SEED={seed}", flush=True)
    draw = random.Random(seed)
    result = run("tune_lstm.py", *SEARCH, "--name", "reference", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    reference = tmp_path / "runs" / "reference"
    counts: Counter[str] = Counter()
    number = 0
    while counts.total() < FAULTS:
        number += 1
        disturbed = Disturbed(tmp_path, f"run{number}", draw)
        while (fault := disturbed.disturb_running()) is not None:
            disturbed.said += [fault]
            if draw.random() < 0.5:
                disturbed.said += [disturbed.disturb_resting()]
            print(number, disturbed.said[-2:], len(disturbed.before), flush=True)
        counts.update(disturbed.said)
        disturbed.check_whole(reference)
        for folder in (tmp_path / "runs").iterdir():
            if folder != reference:
                shutil.rmtree(folder)
    print(dict(counts), flush=True)
