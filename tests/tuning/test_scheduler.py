import dataclasses
from types import SimpleNamespace
from typing import Any, cast

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from tune_lstm import LSTMOptions
from tuning.experiment import Experiment, Rungs
from tuning.run_directory import RunDirectory, TrialRecord
from tuning.scheduler import create_scheduler


def ask(scheduler: TrialScheduler, name: str, value: float, step: int = 100, **config: Any) -> str:
    trial = cast(Any, SimpleNamespace(trial_id=name, config=config))
    scheduler.on_trial_add(cast(Any, None), trial)
    return str(scheduler.on_trial_result(cast(Any, None), trial, {"step": step, "mean_accuracy": value}))


def test_the_poorer_trials_stop_at_a_rung_and_known_settings_never(
    options: LSTMOptions, experiment: Experiment, directory: RunDirectory
) -> None:
    scheduler = create_scheduler(options, experiment, directory)
    decisions = [ask(scheduler, str(place), value) for place, value in enumerate((0.5, 0.6, 0.7, 0.8))]
    assert decisions == ["CONTINUE"] * 4
    assert ask(scheduler, "poor", 0.1) == "STOP"
    assert ask(scheduler, "by hand", 0.1, known="by hand, defaults") == "CONTINUE"
    assert ask(scheduler, "early", 0.1, step=90) == "CONTINUE"


def test_rungs_survive_a_resume(options: LSTMOptions, experiment: Experiment, directory: RunDirectory) -> None:
    for number, value in enumerate((0.5, 0.6, 0.7, 0.8)):
        trial = directory.trial(number)
        trial.write(TrialRecord(number, {}, ended="converged"))
        trial.append({"step": 100, "mean_accuracy": value})
    assert ask(create_scheduler(options, experiment, directory), "poor", 0.1) == "STOP"


def test_rungs_lie_below_the_budget_at_multiples_of_the_reduction_factor() -> None:
    assert Rungs(grace_steps=500, reduction_factor=3).steps(10_000) == [500, 1500, 4500]
    assert Rungs(grace_steps=500, reduction_factor=3).steps(500) == []


def test_no_rung_below_the_budget_means_no_early_stopping(
    options: LSTMOptions, experiment: Experiment, directory: RunDirectory
) -> None:
    short = dataclasses.replace(experiment, settings={"max_steps": 50})
    assert isinstance(create_scheduler(options, short, directory), FIFOScheduler)


def test_rungs_may_lie_on_another_cost_than_steps(
    options: LSTMOptions, experiment: Experiment, directory: RunDirectory
) -> None:
    by_work = dataclasses.replace(experiment, time_attr="work", max_t=100_000, rungs=Rungs(20_000, 3))
    for number, value in enumerate((0.5, 0.6, 0.7, 0.8)):
        directory.trial(number).write(TrialRecord(number, {}, ended="converged"))
        directory.trial(number).append({"step": 100, "work": 20_000.0, "mean_accuracy": value})
    scheduler = create_scheduler(options, by_work, directory)
    for work, decision in ((19_999.5, "CONTINUE"), (20_000.5, "STOP")):
        trial = cast(Any, SimpleNamespace(trial_id=str(work), config={}))
        scheduler.on_trial_add(cast(Any, None), trial)
        row = {"step": 9_000, "work": work, "mean_accuracy": 0.1}
        assert scheduler.on_trial_result(cast(Any, None), trial, row) == decision
