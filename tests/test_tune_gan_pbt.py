"""Population based training through the real command, seen from all sides; and a population that
was killed half-way."""

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import TrialState

from records.heartbeat import FRESH_S
from records.remote import RemoteFolder
from records.run import Run
from records.run_directory import RunDirectory
from records.trial_directory import Change
from reports.figures.style import apply
from reports.pages import Site
from search_spaces.gan import SPACES
from tests.conftest import OneSearch, run, start
from tests.support.processes import descendants, kill, wait_for
from tests.support.s3 import S3, VARIABLES
from trainables.gan.images import load_images
from trainables.gan.shared import create_shared
from trainables.gan.trainable import GANTrial
from trainables.resumable import settings_at

pytestmark = pytest.mark.slow

SPACE = SPACES["core"]
TRIALS, STEPS, EVERY = 6, 45, 5
SEARCH = (
    "--dataset", "digits", "--space", "core", "--scheduler", "pbt", "--num-samples", TRIALS,
    "--max-steps", STEPS,
    "--final-steps", 5, "--no-dashboard", "--set", "lr_g=3e-4..2e-3:log",
)  # fmt: skip
"""The baselines lie outside that space: all six evolve."""


def check_population(path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, list[Change]]:
    """Every trial has ended, the study agrees, and recorded schedules train the same weights."""
    directory = RunDirectory(path)
    study = optuna.load_study(study_name=path.name, storage=f"sqlite:///{path}/optuna.db")
    trials = {record.number: (folder, record) for folder, record in directory.trials()}
    assert sorted(trials) == list(range(TRIALS)) == [trial.number for trial in study.trials]
    changes = {number: folder.schedule() for number, (folder, _) in trials.items()}
    for trial in study.trials:
        folder, record = trials[trial.number]
        rows = folder.rows()
        assert (record.ended, trial.state, trial.value) == (
            "budget",
            TrialState.COMPLETE,
            rows[-1]["fd"],
        )
        assert [row["step"] for row in rows] == list(range(EVERY, STEPS + 1, EVERY))
        assert record.config["seed"] == trial.number
        assert SPACE.varied(record.config) == trial.params
        told = [
            (line["step"], line["from"], line["lr_g"])
            for line in trial.user_attrs.get("schedule", [])
        ]
        assert told == [
            (change.step, change.donor, change.settings["lr_g"]) for change in changes[trial.number]
        ]
        for change in changes[trial.number]:
            assert change.step % EVERY == 0
            assert change.donor != trial.number
    taken_over = [number for number in changes if changes[number]]
    assert taken_over
    replayed = max(taken_over, key=lambda number: len(changes[number]))
    check_replay(directory, replayed, monkeypatch)
    return changes


def check_replay(directory: RunDirectory, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial's schedule, trained anew with the seed that its weights began with, ends bit for
    bit where the trial did."""
    shared = create_shared(
        load_images("digits", "nowhere"), lambda line: None, directory.path / "judges"
    )
    monkeypatch.setattr(GANTrial, "shared", shared)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as many as a trial of the search had
    try:
        config, lineage = directory.replay(number)
        assert lineage[-1] == number
        again = GANTrial({**config, "seed": lineage[0]})
        while (row := again.step())["ended"] is None:
            pass
    finally:
        torch.set_num_threads(threads)
    recorded = directory.trial(number).rows()[-1]
    assert {
        name: row[name] for name in ("step", "fd", "clean", "coverage", "train_d_loss", "epoch")
    } == {
        name: recorded[name]
        for name in ("step", "fd", "clean", "coverage", "train_d_loss", "epoch")
    }


@pytest.fixture(scope="module")
def population(common: Path) -> Any:
    search = OneSearch(
        common / "pbt", "pbt", "tune_gan.py", *SEARCH, "--confirm", 1, "--finalists", 1
    )
    assert search.result.returncode == 0, search.result.stderr
    return search.path, search.result


def test_a_population_of_six_on_what_room_there_is(
    population: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, result = population
    assert "population based training every 5 steps" in result.stderr
    assert result.stdout.startswith("6 trials: 6 used the whole budget")
    check_population(path, monkeypatch)


def test_the_winners_whole_schedule_is_confirmed_exported_and_said(population: Any) -> None:
    path, result = population
    config = json.loads((path / "best" / "config.json").read_text())
    (candidate, *_) = json.loads((path / "best" / "confirmation.json").read_text())["candidates"]
    directory = RunDirectory(path)
    trial = directory.trial(candidate["trial"])
    record = trial.read()
    assert record is not None
    assert SPACE.varied(settings_at(config, STEPS)) == SPACE.varied(trial.config(record))
    assert config == directory.replay(candidate["trial"])[0]
    confirmed = (record.config for _, record in directory.confirmation().trials())
    fresh = next(config for config in confirmed if config["confirms"] == candidate["trial"])
    (file,) = (path / "final").glob("trial_*/trial.json")
    for repeated in (fresh, json.loads(file.read_text())["config"]):
        assert {name: repeated[name] for name in config if name not in ("judge", "max_steps")} == {
            name: value for name, value in config.items() if name not in ("judge", "max_steps")
        }
    said = [line for line in result.stdout.splitlines() if line.startswith("schedule ")]
    assert len(said) == len(
        config.get("schedule", [])
    )  # none where the winner was the best from the first rung on


def test_the_report_draws_the_schedules(population: Any, tmp_path: Path) -> None:
    path, _ = population
    apply()
    Site([Run.open(path)], [], tmp_path / "site").write(lambda name: None)
    page = (tmp_path / "site" / "pbt" / "index.html").read_text()
    assert 'src="schedules.png"' in page
    assert (tmp_path / "site" / "pbt" / "schedules.png").stat().st_size > 10_000
    run_ = Run.open(path)
    assert run_.best is not None
    _, lineage = RunDirectory(path).replay(run_.best)
    assert [number for _, number in run_.directory.lineage(run_.best)] == lineage
    assert not re.search(r"\bnan\b", page)

    for file in path.glob("trial_*/schedule.json"):  # as of another scheduler
        file.rename(tmp_path / file.parent.name)
    try:
        Site([Run.open(path)], [], tmp_path / "other").write(lambda name: None)
    finally:
        for moved in tmp_path.glob("trial_*"):
            shutil.move(moved, path / moved.name / "schedule.json")
    assert "Schedules" not in (tmp_path / "other" / "pbt" / "index.html").read_text()


@pytest.mark.slow
def test_a_population_killed_half_way_goes_on_with_its_current_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "runs" / "cut"
    process = start("tune_gan.py", *SEARCH, "--confirm", 0, "--name", "cut", cwd=tmp_path)
    deadline = time.monotonic() + 200
    while len(list(path.glob("trial_*/schedule.json"))) < 2:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.kill()
    process.communicate()
    directory = RunDirectory(path)
    before = {number: directory.trial(number).schedule() for number in range(TRIALS)}
    assert any(record.ended is None for _, record in directory.trials())
    result = run("tune_gan.py", "--resume", "--name", "cut", "--no-dashboard", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    after = check_population(path, monkeypatch)
    for number, changes in before.items():
        assert after[number][: len(changes)] == changes
    assert any(len(after[number]) > len(before[number]) for number in after)


@pytest.mark.timeout(1200)
def test_a_population_at_a_uri_goes_on_on_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    server = S3()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    storage = ("--confirm", 0, "--storage-path", "s3://bucket/runs")
    there = RemoteFolder("s3://bucket/runs/pbt")
    first = {"XDG_CACHE_HOME": str(tmp_path / "first")}
    process = start(
        "tune_gan.py", *SEARCH, *storage, "--name", "pbt", cwd=tmp_path, variables=first
    )
    wait_for(
        lambda: sum("schedule.json" in path for path in there.files()) > 1, process, within=400
    )
    kill({process.pid, *descendants(process.pid)})
    process.communicate()
    shutil.rmtree(tmp_path / "first")
    time.sleep(FRESH_S)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    result = run("tune_gan.py", "--resume", *storage, "--no-dashboard", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (copy,) = (tmp_path / "second").glob("*/searches/s3/bucket/runs/pbt")
    check_population(copy, monkeypatch)
    server.end()
