"""What the Optuna study is told, beside what Ray's own OptunaSearch would tell it."""

import dataclasses
import math
from pathlib import Path
from typing import Any, cast

import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.search.optuna import OptunaSearch

from command_line import BadOptions
from search_spaces.gan import SPACES
from tune_lstm import LSTMOptions
from tuning.experiment import Experiment, Goal, Objective
from tuning.run_directory import RunDirectory
from tuning.study import StudySearch, create_sampler, open_storage


def search(options: LSTMOptions, experiment: Experiment, directory: RunDirectory) -> StudySearch:
    options = dataclasses.replace(options, resume=True)  # the study may be there already
    return StudySearch(options, experiment, directory, open_storage(options, directory.path), trials_done=0)


def row(step: int, value: float, ended: str | None = None) -> dict[str, Any]:
    return {"step": step, "mean_accuracy": value, "ended": ended, "training_iteration": step // 100}


class TestStates:
    @pytest.fixture
    def ours(self, options: LSTMOptions, experiment: Experiment, directory: RunDirectory) -> StudySearch:
        return search(options, experiment, directory)

    def last(self, ours: StudySearch) -> optuna.trial.FrozenTrial:
        return ours.study.trials[0]  # the later ones are known settings in waiting

    def test_stopped_early_is_pruned_with_its_rung_value_where_rays_says_complete(
        self, ours: StudySearch, experiment: Experiment
    ) -> None:
        stock = OptunaSearch(experiment.space.distributions, metric="mean_accuracy", mode="max")
        for searcher in (ours, stock):
            searcher.suggest("a")
            searcher.on_trial_result("a", row(100, 0.2))
            searcher.on_trial_complete("a", row(200, 0.3))  # Tune skips on_trial_result where it stops
        assert self.last(ours).state == TrialState.PRUNED
        assert self.last(ours).intermediate_values == {100: 0.2, 200: 0.3}
        assert self.last(ours).user_attrs["ended"] == "stopped early"
        (theirs,) = cast(optuna.Study, stock._ot_study).trials
        assert theirs.state == TrialState.COMPLETE
        assert theirs.intermediate_values == {1: 0.2}

    @pytest.mark.parametrize("ended", ["converged", "budget"])
    def test_a_trial_that_ended_by_itself_is_complete(self, ours: StudySearch, ended: str) -> None:
        ours.suggest("a")
        ours.on_trial_complete("a", row(1000, 0.9, ended))
        assert (self.last(ours).state, self.last(ours).value) == (TrialState.COMPLETE, 0.9)

    @pytest.mark.parametrize(
        ("result", "error"),
        [
            (row(100, 0.1, "diverged"), False),
            (row(100, math.nan), False),
            (row(100, 0.5), True),
            (None, True),
            (None, False),
        ],
    )
    def test_diverged_broken_and_never_run_are_fail(
        self, ours: StudySearch, result: dict[str, Any] | None, error: bool
    ) -> None:
        ours.suggest("a")
        ours.on_trial_complete("a", result, error=error)
        assert self.last(ours).state == TrialState.FAIL
        assert TrialState.RUNNING not in {trial.state for trial in ours.study.trials}

    def test_what_the_time_budget_cut_off_is_closed(self, ours: StudySearch) -> None:
        ours.suggest("a")
        ours.on_trial_result("a", row(100, 0.2))
        ours.close_running("time budget")
        assert self.last(ours).state == TrialState.FAIL
        assert self.last(ours).user_attrs["ended"] == "time budget"


class TestSuggestions:
    def test_known_settings_first_then_new_ones_each_with_its_own_seed(
        self, options: LSTMOptions, experiment: Experiment, directory: RunDirectory
    ) -> None:
        ours = search(options, experiment, directory)
        configs = [ours.suggest(str(number)) for number in range(6)]
        known = list(experiment.space.known.items())
        for config, (name, settings) in zip(configs, known, strict=False):
            assert config is not None
            assert config["known"] == name
            assert {key: config[key] for key in settings} == settings
        assert all(config and "known" not in config for config in configs[3:])
        assert [config["seed"] for config in configs if config] == [2_000_000 + number for number in range(6)]
        assert all(config and config["model"] == "lstm" and config["hidden_dim"] == 128 for config in configs)

    @pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "qmc", "random"])
    def test_every_sampler_draws_inside_the_space_and_repeats_with_its_seed(
        self, sampler: Any, experiment: Experiment, tmp_path: Any
    ) -> None:
        drawn = []
        for name in ("one", "two"):
            options = LSTMOptions(name=name, storage_path=str(tmp_path), sampler=sampler, seed=4)
            ours = search(options, experiment, RunDirectory.create(options))
            values = []
            for number in range(14):
                config = ours.suggest(str(number))
                assert config is not None
                assert 1e-4 <= config["lr"] <= 1e-1
                assert 1e-3 <= config["max_norm"] <= 10
                values.append((config["lr"], config["max_norm"]))
                ours.on_trial_complete(str(number), row(1000, -abs(math.log10(config["lr"]) + 2), "budget"))
            drawn.append(values)
        assert drawn[0] == drawn[1]
        assert len(set(drawn[0])) == 14

    def test_tpe_finds_the_good_region(self, options: LSTMOptions, experiment: Experiment, directory: RunDirectory) -> None:
        ours = search(options, experiment, directory)
        distances = []
        for number in range(40):
            config = ours.suggest(str(number))
            assert config is not None
            distances.append(abs(math.log10(config["lr"]) + 2) + abs(math.log10(config["max_norm"]) + 1))
            ours.on_trial_complete(str(number), row(1000, -distances[-1], "converged"))
        assert sum(distances[-10:]) < 0.6 * sum(distances[3:13])


class TestConditionsAndObjectives:
    """A space whose parameters apply beside a choice only, and figures that are to be small, or several at once."""

    @pytest.fixture
    def experiment(self, experiment: Experiment) -> Experiment:
        return dataclasses.replace(
            experiment,
            space=SPACES["extended"],
            settings={"max_steps": 1000},
            objectives=(Objective("fd", "min"),),
            goal=Goal("fd_ratio", "most", 2.0),
        )

    @pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "qmc", "random"])
    def test_every_sampler_draws_what_applies_and_nothing_else(
        self, sampler: Any, options: LSTMOptions, experiment: Experiment, directory: RunDirectory
    ) -> None:
        ours = search(dataclasses.replace(options, sampler=sampler), experiment, directory)
        parameters, losses = SPACES["extended"].parameters, set()
        for number in range(18):
            config = ours.suggest(str(number))
            assert config is not None
            assert {n for n in parameters if n in config} == {n for n, p in parameters.items() if p.applies(config)}
            losses.add(config["loss"])
            ours.on_trial_complete(str(number), {"step": 1000, "fd": config["lr_g"], "ended": "budget"})
        assert len(losses) > 1

    def test_tpe_finds_the_choice_and_the_parameter_that_only_it_has(
        self, options: LSTMOptions, experiment: Experiment, directory: RunDirectory
    ) -> None:
        ours = search(options, experiment, directory)
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

    @pytest.mark.parametrize("ended", ["discriminator won", "generator collapsed"])
    def test_a_trial_that_gave_up_is_pruned_with_its_figures(
        self, ended: str, options: LSTMOptions, experiment: Experiment, directory: RunDirectory
    ) -> None:
        ours = search(options, experiment, directory)
        ours.suggest("a")
        ours.on_trial_result("a", {"step": 100, "fd": 900.0, "ended": None})
        ours.on_trial_complete("a", {"step": 200, "fd": 800.0, "ended": ended})
        ours.suggest("b")
        ours.on_trial_complete("b", {"step": 100, "ended": "diverged"})
        pruned, failed = ours.study.trials[:2]
        assert (pruned.state, pruned.value, pruned.user_attrs["ended"]) == (TrialState.PRUNED, 800.0, ended)
        assert (failed.state, failed.value) == (TrialState.FAIL, None)

    def test_several_objectives_are_told_together_and_a_trial_stopped_early_has_none(
        self, options: LSTMOptions, experiment: Experiment, directory: RunDirectory
    ) -> None:
        two = dataclasses.replace(experiment, objectives=(Objective("fd", "min"), Objective("clean", "max")))
        ours = search(options, two, directory)
        for name, ended in (("a", "budget"), ("b", None), ("c", "budget")):
            ours.suggest(name)
            ours.on_trial_result(name, {"step": 100, "fd": 90.0, "clean": 0.3, "ended": None})
            ours.on_trial_complete(name, {"step": 200, "fd": 80.0, "clean": 0.4 + (name == "c"), "ended": ended})
        states = [trial.state for trial in ours.study.trials[:3]]
        assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.COMPLETE]
        assert [trial.number for trial in ours.study.best_trials] == [2]


class TestResume:
    def test_a_cut_off_trial_is_handed_out_again_with_its_settings_and_checkpoints(
        self, options: LSTMOptions, experiment: Experiment, directory: RunDirectory
    ) -> None:
        before = search(options, experiment, directory)
        configs = [before.suggest(name) for name in "abcd"]
        before.on_trial_complete("a", row(1000, 0.9, "converged"))
        checkpoint = directory.trial(1).path / "checkpoint_000002"
        checkpoint.mkdir()
        (checkpoint / "state.pt").write_bytes(b"")

        after = search(options, experiment, directory)
        again = [after.suggest(name) for name in "xyz"]
        assert [config and config["trial"] for config in again] == [1, 2, 3]
        assert again[0] == {**(configs[1] or {}), "restore_from": [str(checkpoint)]}
        assert again[1] == {**(configs[2] or {}), "restore_from": []}
        new = after.suggest("new")
        assert new is not None
        assert new["trial"] == 4
        assert "known" not in new

    def test_a_trial_that_ended_without_the_study_hearing_of_it_is_told_now(
        self, options: LSTMOptions, experiment: Experiment, directory: RunDirectory
    ) -> None:
        before = search(options, experiment, directory)
        before.suggest("a")
        trial = directory.trial(0)
        trial.append(row(100, 0.7, "converged"))
        record = trial.read()
        assert record is not None
        record.ended = "converged"
        trial.write(record)

        after = search(options, experiment, directory)
        assert (after.study.trials[0].state, after.study.trials[0].value) == (TrialState.COMPLETE, 0.7)

    def test_a_trial_asked_for_but_never_written_is_closed(
        self, options: LSTMOptions, experiment: Experiment, directory: RunDirectory
    ) -> None:
        before = search(options, experiment, directory)
        before.study.ask(fixed_distributions=experiment.space.distributions)
        after = search(options, experiment, directory)
        assert after.study.trials[0].state == TrialState.FAIL


def test_samplers_have_their_arguments_pinned() -> None:
    sampler = create_sampler(LSTMOptions())
    assert isinstance(sampler, optuna.samplers.TPESampler)
    assert (sampler._multivariate, sampler._constant_liar) == (True, True)


def test_a_new_run_never_goes_on_with_another_runs_study(options: LSTMOptions, tmp_path: Path) -> None:
    shared = dataclasses.replace(options, optuna_storage=f"sqlite:///{tmp_path}/shared.db")
    optuna.create_study(study_name="run", storage=open_storage(shared, tmp_path / "elsewhere" / "first"))
    with pytest.raises(BadOptions, match="has a study named run already"):
        open_storage(shared, tmp_path / "run")
