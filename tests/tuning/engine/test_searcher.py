"""What the Optuna study is told and what it suggests, compared with Ray's own OptunaSearch."""

import dataclasses
import json
import math
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import TrialState, create_trial
from ray.tune.search import SearchGenerator
from ray.tune.search.optuna import OptunaSearch

from command_line import UsageError
from records.objective import Goal, Objective
from records.run_directory import RunDirectory
from search_spaces.gan import SPACES
from search_spaces.lstm import SPACES as LSTM_SPACES
from search_spaces.sobol import design_point
from tests.support.checkpoints import write_checkpoint
from tests.support.searched import open_study
from trainables.gan.trainable import GANTrial
from trainables.lstm.trainable import LSTMTrial
from tune_lstm import LSTMOptions
from tuning.engine.room import Room
from tuning.engine.samplers import create_sampler
from tuning.engine.searcher import StudySearch
from tuning.engine.start_up import STARTUP_TRIALS
from tuning.engine.storage import open_storage
from tuning.task import Rungs, Task

pytestmark = pytest.mark.ray  # a study in its database, trial by trial


def search(options: LSTMOptions, task: Task, directory: RunDirectory) -> StudySearch:
    if not (directory.read() or {}).get("id"):
        directory.start_session(options.experiment, asdict(options))
    options = dataclasses.replace(options, resume=True)  # the study may be there already
    return StudySearch(
        options,
        task,
        directory,
        open_study(options, task, directory),
        trials_done=0,
        room=Room(100),
    )


def row(step: int, value: float, ended: str | None = None) -> dict[str, Any]:
    return {"step": step, "mean_accuracy": value, "ended": ended, "training_iteration": step // 100}


def told(searcher: StudySearch | OptunaSearch) -> list[optuna.trial.FrozenTrial]:
    """The trials of the searcher's study that have been handed out."""
    ours = searcher.study if isinstance(searcher, StudySearch) else None
    study = ours or cast(optuna.Study, cast(OptunaSearch, searcher)._ot_study)
    return [trial for trial in study.trials if trial.state != TrialState.WAITING]


@pytest.fixture
def ours(options: LSTMOptions, task: Task, directory: RunDirectory) -> StudySearch:
    return search(options, task, directory)


@pytest.fixture
def stock(task: Task) -> OptunaSearch:
    """Ray's own class as a user would call it for the same space."""
    return OptunaSearch(
        task.space.distributions, metric="mean_accuracy", mode="max", storage=InMemoryStorage()
    )


class TestDefectsOfRaysOptunaSearch:
    """Twelve defects of ray 2.60: the same calls show each on Ray's class and not on ours."""

    def test_01_stopped_early_is_pruned_where_rays_says_complete(
        self, ours: StudySearch, stock: OptunaSearch
    ) -> None:
        for searcher in (ours, stock):
            searcher.suggest("a")
            searcher.on_trial_result("a", row(100, 0.2))
            searcher.on_trial_complete("a", row(200, 0.3))
        (mine,), (rays,) = told(ours), told(stock)
        assert (mine.state, mine.value, mine.user_attrs["ended"]) == (
            TrialState.PRUNED,
            0.3,
            "stopped early",
        )
        assert (rays.state, rays.value) == (TrialState.COMPLETE, 0.3)

    @pytest.mark.parametrize("ended", ["converged", "budget"])
    def test_01_a_trial_that_ended_by_itself_is_complete(
        self, ours: StudySearch, ended: str
    ) -> None:
        ours.suggest("a")
        ours.on_trial_complete("a", row(1000, 0.9, ended))
        assert [(trial.state, trial.value) for trial in told(ours)] == [(TrialState.COMPLETE, 0.9)]

    def test_02_the_value_a_trial_was_stopped_at_is_an_intermediate_value(
        self, ours: StudySearch, stock: OptunaSearch
    ) -> None:
        for searcher in (ours, stock):
            searcher.suggest("a")
            searcher.on_trial_result("a", row(100, 0.2))
            searcher.on_trial_complete(
                "a", row(200, 0.3)
            )  # Tune skips on_trial_result where it stops
        assert list(told(ours)[0].intermediate_values.values()) == [0.2, 0.3]
        assert list(told(stock)[0].intermediate_values.values()) == [0.2]

    @pytest.mark.parametrize("value", [math.nan])
    def test_03_nan_is_fail_where_rays_runs_for_ever(
        self, value: float, ours: StudySearch, stock: OptunaSearch
    ) -> None:
        for searcher in (ours, stock):
            searcher.suggest("a")
            searcher.on_trial_complete("a", row(100, value, "budget"))
        assert [trial.state for trial in told(ours)] == [TrialState.FAIL]
        assert [trial.state for trial in told(stock)] == [TrialState.RUNNING]

    @pytest.mark.parametrize("result", [row(100, math.inf), row(100, 0.1, "diverged")])
    def test_03_nothing_infinite_or_diverged_is_complete(
        self, result: dict[str, Any], ours: StudySearch
    ) -> None:
        ours.suggest("a")
        ours.on_trial_complete("a", result)
        assert [trial.state for trial in told(ours)] == [TrialState.FAIL]

    def test_04_one_of_several_metrics_missing_is_fail_where_rays_runs_for_ever(
        self, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        two = dataclasses.replace(
            task, objectives=(Objective("fd", "min"), Objective("clean", "max"))
        )
        ours = search(options, two, directory)
        stock = OptunaSearch(task.space.distributions, metric=["fd", "clean"], mode=["min", "max"])
        for searcher in (ours, stock):
            searcher.suggest("a")
            searcher.on_trial_complete(
                "a", {"step": 100, "fd": 80.0, "ended": "budget", "training_iteration": 1}
            )
        assert [trial.state for trial in told(ours)] == [TrialState.FAIL]
        assert [trial.state for trial in told(stock)] == [TrialState.RUNNING]

    def test_05_an_error_is_fail_whatever_was_reported_before(
        self, ours: StudySearch, stock: OptunaSearch
    ) -> None:
        for searcher in (ours, stock):
            searcher.suggest("a")
            searcher.on_trial_complete("a", row(100, 0.5), error=True)
        assert [(trial.state, trial.user_attrs["ended"]) for trial in told(ours)] == [
            (TrialState.FAIL, "error")
        ]
        assert [trial.state for trial in told(stock)] == [TrialState.COMPLETE]

    def test_06_a_trial_that_never_ran_is_fail_where_rays_is_pruned(
        self, ours: StudySearch, stock: OptunaSearch
    ) -> None:
        for searcher in (ours, stock):
            searcher.suggest("a")
            searcher.on_trial_complete("a", None)
        assert [trial.state for trial in told(ours)] == [TrialState.FAIL]
        assert [trial.state for trial in told(stock)] == [TrialState.PRUNED]

    def test_07_what_a_time_budget_cut_off_can_be_closed(
        self, ours: StudySearch, stock: OptunaSearch
    ) -> None:
        for searcher in (ours, stock):
            searcher.suggest("a")
            searcher.on_trial_result("a", row(100, 0.2))
            SearchGenerator(searcher).set_finished()  # all that Tune calls at its end
        assert [trial.state for trial in told(stock)] == [TrialState.RUNNING]
        ours.run_study.close_running("time budget")
        assert [(trial.state, trial.user_attrs["ended"]) for trial in told(ours)] == [
            (TrialState.FAIL, "time budget")
        ]

    def test_08_a_trial_may_go_on_under_a_new_id(
        self,
        ours: StudySearch,
        stock: OptunaSearch,
        options: LSTMOptions,
        task: Task,
        directory: RunDirectory,
    ) -> None:
        for searcher in (ours, stock):
            searcher.suggest("a")
        with pytest.raises(KeyError):
            stock.on_trial_complete("new id", row(1000, 0.9, "budget"))  # as after restart_errored
        again = search(options, task, directory)
        again.suggest("new id")
        again.on_trial_complete("new id", row(1000, 0.9, "budget"))
        assert [
            (trial.number, trial.state, trial.user_attrs["tune_id"]) for trial in told(again)
        ] == [(0, TrialState.COMPLETE, "new id")]

    def test_09_what_began_after_the_last_snapshot_is_not_lost(
        self,
        ours: StudySearch,
        stock: OptunaSearch,
        tmp_path: Path,
        options: LSTMOptions,
        task: Task,
        directory: RunDirectory,
    ) -> None:
        stock = OptunaSearch(
            task.space.distributions,
            metric="x",
            mode="max",
            storage=RDBStorage(f"sqlite:///{tmp_path}/stock.db"),
        )
        for searcher in (ours, stock):
            searcher.suggest("a")
            searcher.save(str(tmp_path / "snapshot"))
            searcher.suggest("b")
        stock.restore(str(tmp_path / "snapshot"))
        assert set(stock._ot_trials) == {"a"}
        assert [trial.state for trial in told(stock)] == [
            TrialState.RUNNING
        ] * 2  # and b will be for ever
        again = search(options, task, directory)
        for name in ("c", "d"):
            again.suggest(name)
            again.on_trial_complete(name, row(1000, 0.9, "budget"))
        assert [trial.state for trial in told(again)] == [TrialState.COMPLETE] * 2

    def test_10_studies_of_two_runs_stay_apart_and_nothing_is_enqueued_twice(
        self, options: LSTMOptions, task: Task, tmp_path: Path
    ) -> None:
        storage, space = InMemoryStorage(), task.space.distributions
        known = [dict(values) for values in task.space.baselines.values()]
        for _ in range(2):
            OptunaSearch(space, "mean_accuracy", "max", known, storage=storage)
        (merged,) = optuna.get_all_study_names(storage)
        assert len(optuna.load_study(study_name=merged, storage=storage).trials) == 2 * len(known)
        database = f"sqlite:///{tmp_path}/ours.db"
        for name in ("one", "two", "two"):
            mine = dataclasses.replace(options, name=name, optuna_storage=database)
            search(mine, task, RunDirectory(tmp_path / name))
        assert sorted(optuna.get_all_study_names(database)) == ["one", "two"]
        for name in ("one", "two"):
            waiting = optuna.load_study(study_name=name, storage=database).trials
            assert [trial.user_attrs.get("baseline") for trial in waiting[:3]] == list(
                task.space.baselines
            )
            assert len(waiting) == STARTUP_TRIALS

    @pytest.mark.parametrize("time_attr", ["step", "work"])
    def test_11_a_step_is_what_the_rungs_count(
        self,
        time_attr: str,
        options: LSTMOptions,
        task: Task,
        directory: RunDirectory,
        stock: OptunaSearch,
    ) -> None:
        ours = search(options, dataclasses.replace(task, time_attr=time_attr), directory)
        for searcher in (ours, stock):
            searcher.suggest("a")
            searcher.on_trial_result("a", {**row(100, 0.2), "work": 2000.4})
        assert told(ours)[0].intermediate_values == {{"step": 100, "work": 2000}[time_attr]: 0.2}
        assert told(stock)[0].intermediate_values == {1: 0.2}

    def test_12_the_study_says_which_of_tunes_trials_it_was(
        self, ours: StudySearch, stock: OptunaSearch
    ) -> None:
        for searcher in (ours, stock):
            searcher.suggest("a")
            searcher.on_trial_complete("a", row(1000, 0.9, "converged"))
        assert told(ours)[0].user_attrs == {
            "origin": "baseline", "baseline": "hand-tuned, defaults", "tune_id": "a",
            "seed": 2_000_000, "directory": "trial_0000", "ended": "converged",
        }  # fmt: skip
        assert told(stock)[0].user_attrs == {}


def test_the_study_says_what_it_is_of(ours: StudySearch) -> None:
    assert ours.study.metric_names == ["mean_accuracy"]
    about = ours.study.user_attrs
    assert (about["run"], about["experiment"]) == ("run", "lstm")
    assert about["command"].startswith("python ")


SAMPLERS = [
    "tpe",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("gp", "cmaes", "qmc", "random")),
]
"""The Gaussian process takes seconds for every draw."""


class TestSuggestions:
    def test_baselines_first_then_new_settings_each_with_its_own_seed(
        self, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        ours = search(options, task, directory)
        configs = [ours.suggest(str(number)) for number in range(6)]
        known = list(task.space.baselines.items())
        for config, (name, settings) in zip(configs, known, strict=False):
            assert config is not None
            assert config["baseline"] == name
            assert {key: config[key] for key in settings} == settings
        assert all(config and "baseline" not in config for config in configs[3:])
        assert [config["seed"] for config in configs if config] == [
            2_000_000 + number for number in range(6)
        ]
        assert all(
            config and config["model"] == "lstm" and config["hidden_dim"] == 128
            for config in configs
        )

    @pytest.mark.parametrize("sampler", SAMPLERS)
    def test_every_sampler_draws_inside_the_space_and_repeats_with_its_seed(
        self, sampler: Any, task: Task, tmp_path: Any
    ) -> None:
        drawn = []
        for name in ("one", "two"):
            options = LSTMOptions(name=name, storage_path=str(tmp_path), sampler=sampler, seed=4)
            ours = search(options, task, RunDirectory.create(options.run_path()))
            values = []
            for number in range(14):
                config = ours.suggest(str(number))
                assert config is not None
                assert 1e-4 <= config["lr"] <= 1e-1
                assert 1e-3 <= config["max_norm"] <= 10
                values.append((config["lr"], config["max_norm"]))
                ours.on_trial_complete(
                    str(number), row(1000, -abs(math.log10(config["lr"]) + 2), "budget")
                )
            drawn.append(values)
        assert drawn[0] == drawn[1]
        assert len(set(drawn[0])) == 14

    @pytest.mark.parametrize("scheduler", ["asha", "none"])
    def test_a_trial_of_several_seeds_has_a_block_of_them(
        self, scheduler: Any, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        several = dataclasses.replace(options, seeds_per_trial=3, scheduler=scheduler)
        ours = search(several, task, directory)
        for number in range(4):
            config = ours.suggest(str(number))
            assert config is not None
            assert (config["seed"], config["seeds_per_trial"]) == (2_000_000 + 3 * number, 3)
            assert config.get("first_seed_until") == (100 if scheduler == "asha" else None)

    @pytest.mark.slow
    def test_tpe_finds_the_good_region(
        self, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        ours = search(options, task, directory)
        distances = []
        for number in range(40):
            config = ours.suggest(str(number))
            assert config is not None
            distances.append(
                abs(math.log10(config["lr"]) + 2) + abs(math.log10(config["max_norm"]) + 1)
            )
            ours.on_trial_complete(str(number), row(1000, -distances[-1], "converged"))
        assert sum(distances[-10:]) / 10 < 0.75 * 1.83  # the mean of random settings


def evaluate(searcher: StudySearch, name: str, config: dict[str, Any] | None) -> None:
    """End the trial with a value that is best at lr = 0.01."""
    assert config is not None
    searcher.on_trial_complete(name, row(1000, -abs(math.log10(config["lr"]) + 2), "budget"))


class TestStartUp:
    def origins(self, searcher: StudySearch) -> list[str]:
        return [trial.user_attrs["origin"] for trial in searcher.study.trials]

    def test_baselines_then_a_design_wait_in_the_study_from_its_creation(
        self, ours: StudySearch, task: Task
    ) -> None:
        assert self.origins(ours) == ["baseline"] * 3 + ["start-up"] * 7
        for number in range(12):
            config = ours.suggest(str(number))
            evaluate(ours, str(number), config)
        assert self.origins(ours)[10:] == ["model"] * 2
        design = [trial.params for trial in ours.study.trials[3:10]]
        assert design == [design_point(task.space, 2, index) for index in range(7)]

    @pytest.mark.parametrize(("num_samples", "waiting"), [(2, 2), (5, 5), (50, 10)])
    def test_never_more_than_were_asked_for(
        self,
        num_samples: int,
        waiting: int,
        options: LSTMOptions,
        task: Task,
        directory: RunDirectory,
    ) -> None:
        ours = search(dataclasses.replace(options, num_samples=num_samples), task, directory)
        assert len(ours.study.trials) == waiting
        more = search(options, task, directory)  # resumed with a larger --num-samples
        assert self.origins(more) == ["baseline"] * 3 + ["start-up"] * 7

    def test_some_design_points_however_many_baselines_there_are(
        self, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        known = {str(number): {"lr": 0.001 * number, "max_norm": 1.0} for number in range(1, 10)}
        space = dataclasses.replace(task.space, baselines=known)
        ours = search(options, dataclasses.replace(task, space=space), directory)
        assert self.origins(ours) == ["baseline"] * 9 + ["start-up"] * 4

    @pytest.mark.parametrize("error", [False, True])
    def test_with_many_slots_it_is_released_whole_and_the_model_waits_for_half(
        self, error: bool, ours: StudySearch
    ) -> None:
        started = [ours.suggest(str(number)) for number in range(16)]
        assert [config is None for config in started] == [False] * 10 + [True] * 6
        for number in range(5):
            assert ours.suggest("too early") is None
            ours.on_trial_complete(
                str(number), None if error else row(1000, number / 10, "budget"), error=error
            )
        new = ours.suggest("now")
        assert new is not None
        assert new["trial"] == 10

    def test_as_many_are_out_as_there_are_slots_beside_those_that_wait(
        self, ours: StudySearch
    ) -> None:
        ours.room.holds = 2
        assert [ours.suggest(str(number)) is None for number in range(3)] == [False, False, True]
        ours.start_up.paused.append(cast(Any, "a trial that waits"))
        assert [ours.suggest(str(number)) is None for number in range(3, 5)] == [False, True]

    def test_only_those_that_will_be_handed_out_are_waited_for(
        self, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        ours = search(options, task, directory)
        for numbers in (range(10), range(10, 13)):
            for number in numbers:
                assert ours.suggest(str(number)) is not None
            for number in set(numbers) - {7, 8, 9}:
                ours.on_trial_complete(str(number), row(1000, number / 20, "budget"))
        fewer = dataclasses.replace(options, num_samples=12, resume=True)
        again = StudySearch(
            fewer, task, directory, open_study(fewer, task, directory), trials_done=10, room=Room(1)
        )
        assert again.start_up.cohort == {7, 8}
        assert [(again.suggest(name) or {}).get("trial") for name in ("a", "b")] == [7, None]

    def test_one_that_is_stopped_while_it_waits_is_pruned_with_its_last_value(
        self, ours: StudySearch
    ) -> None:
        ours.suggest("0")
        ours.on_trial_result("0", row(100, 0.4))
        ours.on_trial_complete("0")
        (trial,) = told(ours)[:1]
        assert (trial.state, trial.value) == (TrialState.PRUNED, 0.4)

    @pytest.mark.parametrize("sampler", ["qmc", "random"])
    def test_who_needs_no_model_waits_for_nothing(
        self, sampler: Any, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        ours = search(dataclasses.replace(options, sampler=sampler), task, directory)
        configs = [ours.suggest(str(number)) for number in range(16)]
        assert None not in configs
        assert (
            self.origins(ours)
            == ["baseline"] * 3 + ["design" if sampler == "qmc" else "random"] * 13
        )
        if sampler == "qmc":
            design = [trial.params for trial in ours.study.trials[3:]]
            assert design == [design_point(task.space, 2, index) for index in range(13)]

    def test_the_search_is_over_when_all_have_ended(
        self, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        ours = search(dataclasses.replace(options, num_samples=2), task, directory)
        configs = [ours.suggest(name) for name in "ab"]
        assert None not in configs
        assert ours.suggest("c") is None  # one of the two may be lost with its worker yet
        for name in "ab":
            ours.on_trial_complete(name, row(1000, 0.9, "budget"))
        assert ours.suggest("c") == "FINISHED"

    @pytest.mark.parametrize("sampler", SAMPLERS)
    def test_a_search_that_was_cut_off_draws_what_it_would_have_drawn(
        self, sampler: Any, options: LSTMOptions, task: Task, tmp_path: Path
    ) -> None:
        drawn = []
        for name, cuts in (("whole", ()), ("cut", (4, 11, 13))):
            mine = dataclasses.replace(options, name=name, sampler=sampler)
            directory = RunDirectory.create(mine.run_path())
            ours = search(mine, task, directory)
            for number in range(15):
                config = ours.suggest(str(number))
                if number in cuts:
                    ours = search(mine, task, directory)
                    config = ours.suggest(str(number))
                evaluate(ours, str(number), config)
            drawn.append([trial.params for trial in told(ours)])
        assert drawn[0] == drawn[1]
        assert len(drawn[0]) == 15


class TestConditionsAndObjectives:
    """A space with conditional parameters; metrics to minimize; several objectives."""

    @pytest.fixture
    def task(self, task: Task) -> Task:
        return dataclasses.replace(
            task,
            space=SPACES["extended"],
            settings={"max_steps": 1000},
            objectives=(Objective("fd", "min"),),
            goal=Goal("fd_ratio", "most", 2.0),
        )

    @pytest.mark.parametrize("sampler", SAMPLERS)
    def test_every_sampler_draws_what_applies_and_nothing_else(
        self, sampler: Any, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        ours = search(dataclasses.replace(options, sampler=sampler), task, directory)
        parameters, losses = SPACES["extended"].parameters, set()
        for number in range(18):
            config = ours.suggest(str(number))
            assert config is not None
            assert {n for n in parameters if n in config} == {
                n for n, p in parameters.items() if p.applies(config)
            }
            losses.add(config["loss"])
            ours.on_trial_complete(
                str(number), {"step": 1000, "fd": config["lr_g"], "ended": "budget"}
            )
        assert len(losses) > 1

    def test_tpe_finds_the_choice_and_the_parameter_that_only_it_has(
        self, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        ours = search(dataclasses.replace(options, num_samples=60), task, directory)
        found = []
        for number in range(60):
            config = ours.suggest(str(number))
            assert config is not None
            relativistic = config["loss"] == "relativistic"
            fd = 10 + abs(math.log10(config["penalty"])) if relativistic else 14
            found.append((relativistic, fd))
            ours.on_trial_complete(str(number), {"step": 1000, "fd": fd, "ended": "budget"})
        assert sum(relativistic for relativistic, _ in found[-15:]) >= 12
        assert sum(fd for _, fd in found[-15:]) / 15 < 11

    @pytest.mark.parametrize("ended", [one.name for one in GANTrial.outcomes])
    def test_a_trial_that_gave_up_is_pruned_with_its_values(
        self, ended: str, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        ours = search(options, task, directory)
        ours.suggest("a")
        ours.on_trial_result("a", {"step": 100, "fd": 900.0, "ended": None})
        ours.on_trial_complete("a", {"step": 200, "fd": 800.0, "ended": ended})
        ours.suggest("b")
        ours.on_trial_complete("b", {"step": 100, "ended": "diverged"})
        pruned, failed = ours.study.trials[:2]
        assert (pruned.state, pruned.value, pruned.user_attrs["ended"]) == (
            TrialState.PRUNED,
            800.0,
            ended,
        )
        assert (failed.state, failed.value) == (TrialState.FAIL, None)

    def test_several_objectives_are_told_together_and_a_trial_stopped_early_has_none(
        self, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        two = dataclasses.replace(
            task, objectives=(Objective("fd", "min"), Objective("clean", "max"))
        )
        ours = search(options, two, directory)
        for name, ended in (("a", "budget"), ("b", None), ("c", "budget")):
            ours.suggest(name)
            ours.on_trial_result(name, {"step": 100, "fd": 90.0, "clean": 0.3, "ended": None})
            ours.on_trial_complete(
                name, {"step": 200, "fd": 80.0, "clean": 0.4 + (name == "c"), "ended": ended}
            )
        states = [trial.state for trial in ours.study.trials[:3]]
        assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.COMPLETE]
        assert [trial.number for trial in ours.study.best_trials] == [2]


class TestResume:
    def test_a_cut_off_trial_is_handed_out_again_with_its_settings_and_checkpoints(
        self, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        before = search(options, task, directory)
        configs = [before.suggest(name) for name in "abcd"]
        before.on_trial_complete("a", row(1000, 0.9, "converged"))
        assert configs[1] is not None
        checkpoint = write_checkpoint(
            directory.trial(1).path / "checkpoint_000002", configs[1], 100
        )

        after = search(options, task, directory)
        again = [after.suggest(name) for name in "xyz"]
        assert [config and config["trial"] for config in again] == [1, 2, 3]
        assert again[0] == {**(configs[1] or {}), "restore_from": [str(checkpoint)]}
        assert again[1] == {**(configs[2] or {}), "restore_from": []}
        new = after.suggest("new")
        assert new is not None
        assert new["trial"] == 4
        assert "baseline" not in new

    def test_a_trial_that_ended_without_the_study_hearing_of_it_is_told_now(
        self, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        before = search(options, task, directory)
        before.suggest("a")
        trial = directory.trial(0)
        trial.append(row(100, 0.7, "converged"))
        record = trial.read()
        assert record is not None
        record.ended = "converged"
        trial.write(record)

        after = search(options, task, directory)
        assert (after.study.trials[0].state, after.study.trials[0].value) == (
            TrialState.COMPLETE,
            0.7,
        )

    def test_a_trial_asked_for_but_never_written_is_closed(
        self, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        before = search(options, task, directory)
        before.study.ask(fixed_distributions=task.space.distributions)
        after = search(options, task, directory)
        assert after.study.trials[0].state == TrialState.FAIL

    def test_a_kill_between_the_studys_word_and_the_directorys_counts_as_ended(
        self, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        before = search(options, task, directory)
        before.suggest("a")
        before.on_trial_complete(
            "a", row(1000, 0.9, "converged")
        )  # the recorder would write trial.json next
        after = search(options, task, directory)
        record = directory.trial(0).read()
        assert record is not None
        assert record.ended == "converged"
        assert record.finished is not None
        config = after.suggest("b")
        assert config is not None
        assert config["trial"] == 1

    def test_a_trial_stands_in_the_study_whole_or_not_at_all(
        self, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        before = search(options, task, directory)
        for name in "abc":  # the baselines
            before.suggest(name)
        blocked = directory.path / "trial_0003"
        blocked.write_text("a file where the trial's directory is to be")
        with pytest.raises(FileExistsError):
            before.suggest("d")
        blocked.unlink()

        after = search(options, task, directory)
        assert {trial.state for trial in after.study.trials[3:]} == {TrialState.WAITING}
        config = [after.suggest(name) for name in "abcd"][-1]
        assert config is not None
        trial = after.study.trials[3]
        assert trial.params == {name: config[name] for name in ("lr", "max_norm")}
        assert (
            trial.user_attrs.items()
            >= {"seed": 2_000_003, "directory": "trial_0003", "tune_id": "d"}.items()
        )


def draw(folder: str) -> dict[str, list[dict[str, Any]]]:
    """What every sampler draws from a space with conditions."""
    drawn = {}
    for sampler in ("tpe", "gp", "cmaes", "qmc", "random"):
        options = LSTMOptions(name=sampler, storage_path=folder, sampler=cast(Any, sampler), seed=5)
        task = Task(
            trainable=LSTMTrial, space=SPACES["extended"], settings={"max_steps": 1000},
            console_metrics=(), objectives=(Objective("fd", "min"),), rungs=Rungs(100, 3),
            goal=Goal("fd_ratio", "most", 2.0),
        )  # fmt: skip
        ours = search(options, task, RunDirectory.create(options.run_path()))
        for number in range(14):
            config = ours.suggest(str(number))
            assert config is not None
            ours.on_trial_complete(
                str(number), {"step": 1000, "fd": config["lr_g"], "ended": "budget"}
            )
        drawn[sampler] = [trial.params for trial in told(ours)]
    return drawn


@pytest.mark.ray
@pytest.mark.slow
def test_the_same_seed_gives_the_same_search_in_another_process(tmp_path: Path) -> None:
    code = (
        "from tests.tuning.engine.test_searcher import draw, json;"
        f"print(json.dumps(draw({str(tmp_path / 'there')!r})))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    command = [sys.executable, "-c", code]
    printed = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=200
    ).stdout
    here = draw(str(tmp_path / "here"))
    assert json.loads(printed.splitlines()[-1]) == here
    assert all(len(trials) == 14 for trials in here.values())


def test_samplers_have_their_arguments_pinned() -> None:
    sampler = create_sampler(LSTMOptions(), LSTM_SPACES["lstm", "core"])
    assert isinstance(sampler, optuna.samplers.TPESampler)
    assert (sampler._multivariate, sampler._constant_liar) == (True, True)


def test_over_the_extended_space_a_few_trials_do_not_draw_all_others_to_them(
    recwarn: pytest.WarningsRecorder,
) -> None:
    distributions: dict[str, BaseDistribution] = {
        f"x{place}": FloatDistribution(0, 1) for place in range(10)
    }
    tried = [
        create_trial(
            params=dict.fromkeys(distributions, n / 10), distributions=distributions, value=n / 10
        )
        for n in range(10)
    ]
    far = {}
    for name in ("core", "extended"):
        drawn = []
        for number in range(40):
            study = optuna.create_study(
                sampler=create_sampler(LSTMOptions(), LSTM_SPACES["lstm", name], number)
            )
            study.add_trials(tried)
            drawn.append(study.ask(distributions).params["x0"])
        far[name] = sum(value > 0.3 for value in drawn)
    assert far["extended"] > far["core"]
    assert not [warning for warning in recwarn if "prior_weight" in str(warning.message)]


def test_a_new_run_never_goes_on_with_another_runs_study(
    options: LSTMOptions, tmp_path: Path
) -> None:
    shared = dataclasses.replace(options, optuna_storage=f"sqlite:///{tmp_path}/shared.db")
    optuna.create_study(
        study_name="run", storage=open_storage(shared, tmp_path / "elsewhere" / "first")
    )
    with pytest.raises(UsageError, match="has a study named run already"):
        open_storage(shared, tmp_path / "run")
