"""A small experiment and an empty run directory."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune

from records.objective import Goal, Objective
from records.run_directory import RunDirectory
from search_spaces.lstm import SPACES
from trainables.lstm.trainable import LSTMTrial
from tune_lstm import LSTMOptions
from tuning.engine.recorder import Recorder
from tuning.engine.tuner import TUNE_ENVIRONMENT
from tuning.task import Rungs, Task


@pytest.fixture
def task() -> Task:
    return Task(
        trainable=LSTMTrial,
        space=SPACES["lstm", "core"],
        settings={"model": "lstm", "input_length": 4, "max_steps": 1000},
        objectives=(Objective("mean_accuracy", "max"),),
        console_metrics=("accuracy", "mean_accuracy"),
        rungs=Rungs(grace_steps=100, reduction_factor=3),
        goal=Goal("test_accuracy", "least", 0.99),
    )


@pytest.fixture
def options(tmp_path: Path) -> LSTMOptions:
    return LSTMOptions(name="run", storage_path=str(tmp_path), seed=2)


@pytest.fixture
def directory(options: LSTMOptions) -> RunDirectory:
    run = RunDirectory.create(options.run_path())
    run.start_session(options.experiment, asdict(options))
    return run


@pytest.fixture
def local_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Starts Ray with so many CPUs, as a search does."""
    for name, value in TUNE_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def start(cpus: int) -> None:
        ray.init("local", num_cpus=cpus, include_dashboard=False, log_to_driver=False)

    yield start
    ray.shutdown()


def tune_run(
    trainable: Any, directory: RunDirectory, task: Task, callbacks: Any = (), **config: Any
) -> None:
    """Ray Tune's Tuner over ``trainable``, as ``tuning.search`` sets it up."""
    tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            num_samples=-1,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: f"trial_{trial.config['trial']:04d}",
            **config,
        ),
        run_config=tune.RunConfig(
            name=directory.path.name,
            storage_path=str(directory.path.parent),
            callbacks=[Recorder(directory, task.objective), *callbacks],
            failure_config=tune.FailureConfig(max_failures=0),
            verbose=0,
        ),
    ).fit()
