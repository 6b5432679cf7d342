"""What a new search takes from an earlier run: its best different settings, and nothing else."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import FloatDistribution, distribution_to_json

from command_line import UsageError
from records.objective import Objective
from records.run_directory import RunDirectory
from records.store import write_json
from records.trial_directory import TrialRecord
from tests.support.searched import open_study
from tune_lstm import LSTMOptions
from tuning.engine.room import Room
from tuning.engine.searcher import StudySearch
from tuning.task import Task
from tuning.warm_start import read_warm_start

RANGE = {"distribution": distribution_to_json(FloatDistribution(0.0, 10.0)), "reason": "."}


class Earlier:
    """A run that has been: five settings and how well each did."""

    def __init__(self, folder: Path, experiment: str = "lstm") -> None:
        self.run = RunDirectory(folder)
        self.search = {
            "experiment": experiment,
            "space": {"lr": RANGE, "max_norm": RANGE},
            "fixed": {"input_length": 20, "model": "lstm"},
            "objectives": [{"metric": "mean_accuracy", "mode": "max"}],
            "goal": {"metric": "test_accuracy", "at": "least", "bound": 0.99},
            "options": {},
            "sessions": [{"started": 0.0, "ended": None}],
        }
        write_json(folder / "search.json", self.search)
        self.add(0, 0.9, lr=0.01, max_norm=1.0)
        self.add(1, 0.8, lr=0.0101, max_norm=1.01)  # nearly the same
        self.add(2, 0.7, lr=0.05, max_norm=0.01)
        self.add(3, 0.6, lr=0.5, max_norm=0.1)  # outside of the range
        self.add(4, 0.95, "stopped early", lr=0.02, max_norm=0.02)

    def add(self, number: int, value: float, ended: str = "budget", **settings: Any) -> None:
        trial = self.run.trial(number)
        trial.write(TrialRecord(number, {**settings, "trial": number, "seed": number}, ended=ended))
        trial.append({"step": 1000, "mean_accuracy": value})


@pytest.fixture
def earlier(tmp_path: Path) -> Earlier:
    return Earlier(tmp_path / "earlier")


@pytest.fixture
def options(options: LSTMOptions) -> LSTMOptions:
    return dataclasses.replace(options, warm_start=("earlier",))


def test_the_best_different_settings_that_ended_by_themselves(
    earlier: Earlier, options: LSTMOptions, task: Task
) -> None:
    warm = read_warm_start(options, task)
    assert warm.settings == [
        ({"lr": 0.01, "max_norm": 1.0}, "earlier trial 0"),
        ({"lr": 0.05, "max_norm": 0.01}, "earlier trial 2"),
    ]
    assert warm.notes == [
        "warm start: 2 earlier settings are tried first",
        "warm start from earlier: 1 of 4 trials lie outside this search's space and are left out",
        "warm start from earlier: input_length 20 there, 4 here",
    ]


def test_the_confirmed_winner_comes_before_a_luckier_trial(
    earlier: Earlier, options: LSTMOptions, task: Task
) -> None:
    write_json(earlier.run.path / "best" / "metrics.json", {"trial": 2})
    assert [source for _, source in read_warm_start(options, task).settings] == [
        "earlier trial 2",
        "earlier trial 0",
    ]


def test_five_at_most_and_of_several_runs_in_turn(
    earlier: Earlier, tmp_path: Path, options: LSTMOptions, task: Task
) -> None:
    other = Earlier(tmp_path / "elsewhere" / "other")
    for number in range(5, 11):
        other.add(number, 1 - number / 100, lr=0.1 / 2 ** (number - 4), max_norm=5.0)
    both = dataclasses.replace(options, warm_start=("earlier", str(other.run.path)))
    settings = read_warm_start(both, task).settings
    assert [source for _, source in settings] == [
        "earlier trial 0", "other trial 5", "other trial 6", "earlier trial 2", "other trial 7",
    ]  # fmt: skip


def test_values_of_another_objective_rank_nothing(
    earlier: Earlier, options: LSTMOptions, task: Task
) -> None:
    write_json(earlier.run.path / "best" / "metrics.json", {"trial": 2})
    by_clean = dataclasses.replace(task, objectives=(Objective("clean", "max"),))
    earlier.run.trial(3).append({"step": 1100, "mean_accuracy": 0.6, "clean": 0.5})
    earlier.run.trial(1).append({"step": 1100, "mean_accuracy": 0.6, "clean": 0.4})
    warm = read_warm_start(options, by_clean)
    assert [source for _, source in warm.settings] == ["earlier trial 1"]
    assert (
        "warm start from earlier: it optimized mean_accuracy; here its trials are ranked by clean"
        in warm.notes
    )
    assert "warm start from earlier: 2 of 4 trials have no clean and are left out" in warm.notes


def test_what_was_varied_there_and_is_fixed_here_must_agree(
    earlier: Earlier, options: LSTMOptions, task: Task
) -> None:
    write_json(
        earlier.run.path / "search.json",
        {**earlier.search, "space": dict.fromkeys(("lr", "max_norm", "hidden_dim"), RANGE)},
    )
    earlier.add(5, 0.99, lr=0.003, max_norm=3.0, hidden_dim=64)
    earlier.add(6, 0.98, lr=0.001, max_norm=3.0, hidden_dim=128)
    sources = [source for _, source in read_warm_start(options, task).settings]
    assert sources == ["earlier trial 6", "earlier trial 0", "earlier trial 2"]


@pytest.mark.parametrize("name", ["missing", "of the gan"])
def test_a_run_that_is_not_there_or_of_another_experiment_is_refused(
    name: str, tmp_path: Path, options: LSTMOptions, task: Task
) -> None:
    Earlier(tmp_path / "of the gan", experiment="gan")
    with pytest.raises(
        UsageError, match=r"--warm-start: (there is no run missing|of the gan is a run of gan)"
    ):
        read_warm_start(dataclasses.replace(options, warm_start=(name,)), task)


class TestInTheStudy:
    def search(self, options: LSTMOptions, task: Task, directory: RunDirectory) -> StudySearch:
        options = dataclasses.replace(options, resume=True)
        return StudySearch(
            options,
            task,
            directory,
            open_study(options, task, directory),
            trials_done=0,
            room=Room(100),
        )

    def test_they_are_the_first_trials_and_no_value_of_theirs_is_known(
        self, earlier: Earlier, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        before = {file: file.stat().st_mtime_ns for file in earlier.run.path.rglob("*")}
        ours = self.search(options, task, directory)
        trials = ours.study.trials
        assert [trial.user_attrs["origin"] for trial in trials] == ["warm start"] * 2 + [
            "baseline"
        ] * 3 + ["start-up"] * 5
        assert [trial.user_attrs.get("warm_start") for trial in trials[:3]] == [
            "earlier trial 0",
            "earlier trial 2",
            None,
        ]
        config = ours.suggest("a")
        assert config is not None
        assert (config["trial"], config["lr"], config["max_norm"]) == (0, 0.01, 1.0)
        assert "baseline" not in config
        assert not any(trial.values for trial in ours.study.trials)
        assert {file: file.stat().st_mtime_ns for file in earlier.run.path.rglob("*")} == before

    def test_a_resumed_search_keeps_them_without_the_earlier_run(
        self, earlier: Earlier, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        self.search(dataclasses.replace(options, num_samples=1), task, directory)
        shutil.rmtree(earlier.run.path)
        again = self.search(options, task, directory)
        assert [trial.user_attrs["origin"] for trial in again.study.trials][:3] == [
            "warm start"
        ] * 2 + ["baseline"]
        assert (
            again.study.user_attrs["notes"][0] == "warm start: 2 earlier settings are tried first"
        )
