"""One search killed at ten random moments, from its first second to its final training, and gone on
with each time.

The moments follow from a seed that a failure prints: TEN_KILLS_SEED=7 python -m pytest -m slow
tests/faults/test_ten_kills.py
"""

import json
import os
import random
import time
from pathlib import Path
from typing import Literal, NamedTuple

import optuna
import pytest
from optuna.trial import TrialState

from tests.conftest import run, start
from tests.support.processes import alive, descendants, kill

TRIALS, SEEDS, STEPS = 14, 2, 252
SEARCH = (
    "--dataset", "digits", "--num-samples", TRIALS, "--confirm", SEEDS, "--finalists", 1,
    "--max-steps", STEPS, "--final-steps", STEPS,
    "--name", "killed", "--no-dashboard",
)  # fmt: skip

Snapshot = dict[Path, str]


class Moment(NamedTuple):
    """When to kill: ``delay`` seconds after a trial in this part of the run has reported or ended,
    or after the start."""

    delay: float
    part: str
    event: Literal["start", "report", "end"]


def draw_moments(draw: random.Random) -> list[Moment]:
    """Ten moments, in the order of a search. The second of its two starts may be at any place."""
    search = [
        Moment(2, "", "report"),
        Moment(2, "", "report"),
        Moment(0.1, "", "report"),
        Moment(0.05, "", "end"),
    ]
    draw.shuffle(search)
    later = [
        Moment(2, "confirmation", "report"),
        Moment(0.05, "confirmation", "end"),
        Moment(1, "final", "report"),
    ]
    moments = [Moment(6, "", "start"), *search, Moment(0.5, "", "end"), *later]
    moments.insert(draw.randint(1, len(moments)), Moment(12, "", "start"))
    return [moment._replace(delay=draw.uniform(0, moment.delay)) for moment in moments]


def reports(folder: Path) -> Snapshot:
    """All that the trials of this part of the run have reported."""
    return {file: file.read_text() for file in folder.glob("trial_*/result.json")}


def ended(folder: Path) -> Snapshot:
    """The record of every trial of this part of the run that has ended."""
    texts = {file: file.read_text() for file in folder.glob("trial_*/trial.json")}
    return {file: text for file, text in texts.items() if json.loads(text)["ended"]}


def finished(run: Path) -> Snapshot:
    """The record and the reports of every trial that has ended, as they stand on disk."""
    records = {
        file: text
        for part in ("", "confirmation", "final")
        for file, text in ended(run / part).items()
    }
    return {
        **records,
        **{
            file: file.read_text()
            for record in records
            for file in record.parent.glob("result.json")
        },
    }


def search_until(
    folder: Path, arguments: tuple[object, ...], moment: Moment, everything: bool
) -> set[int]:
    """Run the search up to the moment and kill it there: the driver alone, or everything at once as
    a reboot does.

    Returns the processes that it consisted of.
    """
    part = folder / "runs" / "killed" / moment.part
    look = {"start": lambda part: None, "report": reports, "end": ended}[moment.event]
    before = look(part)
    process = start("tune_gan.py", *arguments, cwd=folder)
    deadline = time.monotonic() + 200
    while moment.event != "start" and look(part) == before:
        assert process.poll() is None, f"over before the moment: {process.communicate()}"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(moment.delay)
    assert process.poll() is None, f"over before the moment: {process.communicate()}"
    family = {process.pid, *descendants(process.pid)}
    kill(family if everything else {process.pid})
    process.communicate()
    return family


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_kills_cost_no_finished_trial(tmp_path: Path) -> None:
    seed = int(os.environ.get("TEN_KILLS_SEED") or random.randrange(1_000_000))
    print(f"TEN_KILLS_SEED={seed}")
    draw = random.Random(seed)
    folder = tmp_path / "runs" / "killed"
    arguments: tuple[object, ...] = SEARCH
    before: Snapshot = {}
    killed: set[int] = set()
    for moment in draw_moments(draw):
        everything = draw.random() < 0.3
        print(moment, "everything" if everything else "the driver")
        killed |= search_until(tmp_path, arguments, moment, everything)
        now = finished(folder)
        assert {file: now.get(file) for file in before} == before
        before = now
        if (folder / "search.json").exists():  # else it was killed before it was a run
            arguments = ("--resume", "--name", "killed", "--no-dashboard")
    result = run("tune_gan.py", *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    now = finished(folder)
    assert {file: now.get(file) for file in before} == before
    check_whole(folder)
    deadline = time.monotonic() + 120  # workers go within seconds, Ray's own agents after a minute
    while left := {pid for pid in killed if alive(pid)}:
        assert time.monotonic() < deadline, (
            f"{len(left)} processes outlive the searches they belonged to"
        )
        time.sleep(1)


def check_whole(folder: Path) -> None:
    """The run is what one that nobody disturbed would have left: all trials, once each, and a study
    in order."""
    records = [json.loads(file.read_text()) for file in folder.glob("trial_*/trial.json")]
    assert sorted(record["number"] for record in records) == list(range(TRIALS))
    study = optuna.load_study(study_name="killed", storage=f"sqlite:///{folder}/optuna.db")
    assert [trial.number for trial in study.trials] == list(range(TRIALS))
    by_number = {record["number"]: record for record in records}
    for trial in study.trials:
        assert trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        assert trial.user_attrs["ended"] == by_number[trial.number]["ended"]
        assert trial.params.items() <= by_number[trial.number]["config"].items()
    for file in (*folder.glob("trial_*/result.json"), *folder.glob("confirmation/*/result.json")):
        steps = {json.loads(line)["step"] for line in file.read_text().splitlines()}
        assert steps == set(range(STEPS // 9, max(steps) + 1, STEPS // 9))
    confirmed = json.loads((folder / "best" / "confirmation.json").read_text())["candidates"]
    assert {len(finalist["confirmed"]) for finalist in confirmed} == {SEEDS}
    assert len(list(folder.glob("confirmation/trial_*"))) == SEEDS * len(confirmed)
    assert json.loads((folder / "best" / "metrics.json").read_text())["trained_on"]
