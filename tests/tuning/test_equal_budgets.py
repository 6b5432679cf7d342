"""Early stopping compares trials at equal work, and the page's rungs are those that it used."""

import itertools
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from records.checks.what_mattered import at_budgets
from records.run import Run
from records.run_directory import RunDirectory
from records.trial_directory import TrialRecord
from reports.experiments import page_of
from reports.explore import Explorer
from tests.support.searched import described
from trainables.lstm.trainable import LSTMTrial, next_report
from tune_lstm import LSTMOptions, lstm_task
from tuning.engine.asha import RungScheduler, create_scheduler

pytestmark = pytest.mark.training

KINDS: list[dict[str, Any]] = [
    {"batch_size": 512},
    {"batch_size": 32},
    {"batch_size": 128, "curriculum": "growing", "start_length": 2, "length_growth": 1.3},
]


@pytest.mark.parametrize("length", [2, 5, 20, 50, 200, 1000])
def test_a_report_lies_on_every_rung_below_the_usual_distance(length: int) -> None:
    task = lstm_task(LSTMOptions(space="extended", input_length=length))
    first, every = task.settings["first_report"], task.settings["report_every"] * length
    due, last = [], 0
    while last < 5 * every:
        last = next_report(last, first, every)
        due.append(last)
    rungs = task.rungs.steps(task.budget)
    assert {rung for rung in rungs if rung < every} <= set(due)
    steps = itertools.pairwise([0, *due])
    passed = [sum(before < rung <= now for rung in rungs) for before, now in steps]
    assert max(passed) == 1
    assert [one for one in due if one >= every] == list(range(every, last + 1, every))


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDirectory, RungScheduler]:
    """Trained trials of unlike batches and lengths, with what the scheduler said to each."""
    options = LSTMOptions(
        space="extended", input_length=6, max_steps=100, name="run", num_samples=24,
        storage_path=str(tmp_path_factory.mktemp("runs")), audit=0.2,
    )  # fmt: skip
    task = lstm_task(options)
    directory = RunDirectory.create(options.run_path())
    directory.start_session("lstm", {"scheduler": "asha"})
    about = {"time_attr": task.time_attr, "rungs": task.rungs.steps(task.budget)}
    directory.describe({**described(task), **about})
    scheduler = cast(RungScheduler, create_scheduler(options, task, directory))
    scheduler._start_up.cohort.clear()  # one trial at a time waits for no other
    draws = np.random.default_rng(0)
    for number in range(options.num_samples):
        design = task.space.choose(lambda name, kind: at_random(kind, draws))
        own = {"hidden_dim": 16, "seed": number, "trial": number}
        config = {**design, **task.space.fixed, **task.settings, **KINDS[number % 3], **own}
        if "length_threshold" not in config:
            config["length_threshold"] = 0.6
        record = TrialRecord(number, config)
        directory.trial(number).write(record)
        trial = cast(Any, SimpleNamespace(trial_id=str(number), config=config))
        training = LSTMTrial(config)
        scheduler.on_trial_add(cast(Any, None), trial)
        said = "CONTINUE"
        while training.last_row["ended"] is None and said == "CONTINUE":
            row = training.step()
            directory.trial(number).append(row)
            if row["ended"] is None:
                said = scheduler.on_trial_result(cast(Any, None), trial, row)
        record = directory.trial(number).read() or record
        record.ended = row["ended"] or "stopped early"
        directory.trial(number).write(record)
        if row["ended"]:
            scheduler.on_trial_complete(cast(Any, None), trial, row)
    return directory, scheduler


def at_random(kind: Any, draws: np.random.Generator) -> Any:
    if hasattr(kind, "choices"):
        return kind.choices[int(draws.integers(len(kind.choices)))]
    low, high = kind.low, kind.high
    value = (
        np.exp(draws.uniform(np.log(low), np.log(high))) if kind.log else draws.uniform(low, high)
    )
    return round(value) if isinstance(low, int) else float(value)


def on_rungs(scheduler: Any) -> dict[int, dict[int, float]]:
    """The loss of each trial on each rung, by its number."""
    return {
        int(rung): {int(number): -value for number, value in values.items()}
        for rung, values in scheduler._brackets[0]._rungs
    }


def test_trials_are_compared_at_equal_work(
    searched: tuple[RunDirectory, RungScheduler],
) -> None:
    directory, scheduler = searched
    run = Run(directory.path)
    for rung, values in on_rungs(scheduler).items():
        for one in run.finished:
            costs = one.curve[:, 0][one.curve[:, 0] >= rung]
            if one.number in values and len(costs):
                step = 6 * float(one.config["batch_size"]) / 128
                every = 6 * float(one.config["report_every"])
                due = rung if rung < every else np.ceil(rung / every) * every
                assert due <= costs[0] < due + step


def test_the_pages_rungs_and_importances_are_of_the_trials_that_were_compared_there(
    searched: tuple[RunDirectory, RungScheduler], tmp_path: Path
) -> None:
    directory, scheduler = searched
    run, compared = Run(directory.path), on_rungs(scheduler)
    assert len(compared) >= 3
    assert any(one.ended == "stopped early" for one in run.finished)
    assert any(one.audited is not None for one in run.finished)
    for rung, values in compared.items():
        assert run.at_rung(rung) == pytest.approx({n: run.value(v) for n, v in values.items()})
    Explorer(run, page_of(run)).write(tmp_path)
    drawn = (tmp_path / "figures" / "rungs-0.js").read_text()
    counts = [
        int(count)
        for count in re.findall(r"(?:went on, or ended|was stopped there) \((\d+)\)", drawn)
    ]
    assert sum(counts) == sum(map(len, compared.values()))
    stopped = sum(one.ended == "stopped early" for one in run.finished)
    assert counts[-1] == stopped
    for one in at_budgets(run):
        if one.importances and (found := re.fullmatch(r"work ([\d,]+)", one.budget)):
            audited = {one.number for one in run.finished if one.audited is not None}
            there = compared[int(found[1].replace(",", ""))].keys() | audited
            assert one.trials <= len(there)
