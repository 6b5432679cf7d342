"""A small experiment and an empty run directory."""

from pathlib import Path

import pytest

from search_spaces.lstm import SPACES
from trainables.lstm.trainable import LSTMTrial
from tune_lstm import LSTMOptions
from tuning.experiment import Experiment, Goal, Objective, Rungs
from tuning.run_directory import RunDirectory


@pytest.fixture
def experiment() -> Experiment:
    return Experiment(
        trainable=LSTMTrial,
        space=SPACES["lstm", "core"],
        settings={"model": "lstm", "input_length": 4, "max_steps": 1000},
        objectives=(Objective("mean_accuracy", "max"),),
        shown=("accuracy", "mean_accuracy"),
        rungs=Rungs(grace_steps=100, reduction_factor=3),
        goal=Goal("test_accuracy", "least", 0.99),
    )


@pytest.fixture
def options(tmp_path: Path) -> LSTMOptions:
    return LSTMOptions(name="run", storage_path=str(tmp_path), seed=2)


@pytest.fixture
def directory(options: LSTMOptions) -> RunDirectory:
    return RunDirectory.create(options)
