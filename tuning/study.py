"""The Optuna study of a search, through Ray Tune's OptunaSearch: which settings come next, and what each trial came to.

Ray's class tells Optuna every ended trial as COMPLETE with whatever value it had last. Here a trial is told as it ended:
COMPLETE where it used its budget or converged, PRUNED with its intermediate values where the scheduler stopped it, FAIL
where it diverged or broke. A trial keeps its number, seed and settings when a search is resumed: the study is the record
of what was asked for, and a trial that was cut off is handed out again before anything new is sampled.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import Trial, TrialState
from ray.tune.search.optuna import OptunaSearch

from command_line import BadOptions
from tuning.experiment import Experiment
from tuning.options import SearchOptions
from tuning.run_directory import COMPLETE, RunDirectory, TrialRecord
from tuning.seeds import trial_seed

STARTUP_TRIALS = 10
"""Trials drawn at random, or known beforehand, before a model-based sampler chooses."""

PRUNED = ("stopped early", "discriminator won", "generator collapsed")
"""How a trial ends before its budget with figures that still say how poor its settings are."""


def create_sampler(options: SearchOptions, trials_done: int = 0, conditional: bool = False) -> BaseSampler:
    """The sampler of ``--sampler``, its arguments pinned. A resumed search draws on from another seed than it began with.

    Over a ``conditional`` space TPE models the parameters in the groups that occur together.
    """
    seed = options.seed + trials_done
    match options.sampler:
        case "tpe":
            return TPESampler(
                seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=True, group=conditional
            )
        case "gp":
            return GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
        case "cmaes":
            return CmaEsSampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
        case "qmc":
            return QMCSampler(seed=options.seed, scramble=True)
        case "random":
            return RandomSampler(seed=seed)


def open_storage(options: SearchOptions, run: Path) -> RDBStorage:
    """The study's database: ``optuna.db`` in the run directory unless ``--optuna-storage`` names another.

    Raises BadOptions where it cannot be reached, or where a new run would go on with another run's study of its name.
    """
    url = options.optuna_storage or f"sqlite:///{run / 'optuna.db'}"
    try:
        storage = RDBStorage(url)
        taken = not options.resume and run.name in optuna.get_all_study_names(storage)
    except Exception as error:  # SQLAlchemy, its drivers and Optuna raise each their own
        reason = str(error).splitlines()[0]
        raise BadOptions(f"--optuna-storage {url} cannot be opened: {reason}") from None
    if taken:
        raise BadOptions(f"--optuna-storage {url} has a study named {run.name} already: choose another --name")
    return storage


class StudySearch(OptunaSearch):
    """Ray Tune's Optuna searcher over one run's study.

    A trial's config is its parameters, the space's and the command's fixed settings, its ``seed``, its number as ``trial``
    and, for settings known beforehand, their name as ``known``; for one that goes on, ``restore_from`` lists its
    checkpoints, the latest first.
    """

    def __init__(
        self, options: SearchOptions, experiment: Experiment, run: RunDirectory, storage: RDBStorage, trials_done: int
    ) -> None:
        super().__init__(
            space=experiment.space.distributions,
            metric=[objective.metric for objective in experiment.objectives],
            mode=[objective.mode for objective in experiment.objectives],
            sampler=create_sampler(options, trials_done, experiment.space.conditional),
            study_name=run.path.name,
            storage=storage,
        )
        self._space_searched = experiment.space
        self._search_seed = options.seed
        self._run = run
        self._fixed = {**experiment.space.fixed, **experiment.settings}
        for name, values in experiment.space.known.items():
            self.study.enqueue_trial(dict(values), user_attrs={"known": name}, skip_if_exists=True)
        self._reported: dict[int, int] = {}
        self._cut_off = self._reconcile()

    @property
    def study(self) -> optuna.Study:
        return cast(optuna.Study, self._ot_study)

    def _reconcile(self) -> list[Trial]:
        """Tell what ended without the study hearing of it; returns the trials that were cut off, to be handed out again."""
        cut_off = []
        for frozen in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            trial = Trial(self.study, frozen._trial_id)
            self._reported[trial.number] = max(frozen.intermediate_values, default=0)
            directory = self._run.trial(trial.number)
            record = directory.read()
            if record is None:  # cut off before it had settings
                self._tell(trial, "error", {})
            elif record.ended is not None:
                self._tell(trial, record.ended, (directory.rows() or [{}])[-1])
            else:
                cut_off.append(trial)
        return cut_off

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        if self._cut_off:
            trial = self._cut_off.pop(0)
            directory = self._run.trial(trial.number)
            checkpoints = [str(folder) for folder in directory.checkpoints()]
            record = directory.read()
            assert record is not None  # else it had not been cut off but lost
            config = {**directory.config(record), "restore_from": checkpoints}
        else:
            trial = self.study.ask()
            settings: dict[str, Any] = {}
            for name, parameter in self._space_searched.parameters.items():
                if parameter.applies(settings):
                    settings[name] = _suggest(trial, name, parameter.distribution)
            directory = self._run.trial(trial.number)
            seed = trial_seed(self._search_seed, trial.number)
            config = {**settings, **self._fixed, "seed": seed, "trial": trial.number}
            if "known" in trial.user_attrs:
                config["known"] = trial.user_attrs["known"]
            trial.set_user_attr("seed", seed)
            trial.set_user_attr("directory", directory.path.name)
            directory.write(TrialRecord(trial.number, config))
        trial.set_user_attr("tune_id", trial_id)
        self._ot_trials[trial_id] = trial
        return config

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._report(self._ot_trials[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        trial = self._ot_trials.pop(trial_id)
        result = result or {}
        ended = "error" if error or not result else result.get("ended") or "stopped early"
        self._tell(trial, ended, result)

    def close_running(self, ended: str) -> None:
        """Tell FAIL for the trials still in flight when the search was over: Ray Tune does not."""
        for frozen in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._tell(Trial(self.study, frozen._trial_id), ended, {})

    def _report(self, trial: Trial, result: Mapping[str, Any]) -> None:
        if result["step"] > self._reported.get(trial.number, 0):
            self._reported[trial.number] = result["step"]
            value = result.get(self.metric[0])
            if value is not None and len(self.metric) == 1:  # Optuna keeps no intermediate values of several objectives
                trial.report(value, step=result["step"])

    def _tell(self, trial: Trial, ended: str, result: Mapping[str, Any]) -> None:
        values = [value for metric in self.metric if (value := result.get(metric)) is not None and math.isfinite(value)]
        state = TrialState.FAIL
        if len(values) == len(self.metric):
            if ended in COMPLETE:
                state = TrialState.COMPLETE
            elif ended in PRUNED:
                state = TrialState.PRUNED
            self._report(trial, result)
        trial.set_user_attr("ended", ended)
        changes = self._run.trial(trial.number).schedule()
        if changes:  # the trial's parameters are what it began with
            schedule = [
                {"step": change.step, "from": change.donor, **self._space_searched.varied(change.settings)}
                for change in changes
            ]
            trial.set_user_attr("schedule", schedule)
        # Optuna takes a pruned trial's value from its last intermediate one.
        self.study.tell(trial, values if state == TrialState.COMPLETE else None, state=state)


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    """Ask the trial for a value of ``distribution``, through Optuna's define-by-run calls."""
    match distribution:
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(name, low, high, step=step, log=log)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(name, low, high, step=step, log=log)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
    raise TypeError(f"{name}: {distribution} is no distribution that a trial can be asked for")
