"""The Optuna study of a search, through Ray Tune's OptunaSearch: which settings come next, and what each trial came to.

Ray's class tells Optuna every ended trial as COMPLETE with whatever value it had last. Here a trial is told as it ended:
COMPLETE where it used its budget or converged, PRUNED with its intermediate values where the scheduler stopped it, FAIL
where it diverged or broke. A trial keeps its number, seed and settings when a search is resumed: the study is the record
of what was asked for, and a trial that was cut off is handed out again before anything new is sampled.
"""

import contextlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import Trial, TrialState
from ray.tune import experiment as tune_experiment
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch
from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError

from command_line import HIDDEN, BadOptions, hide_secrets, reveal
from search_spaces import SearchSpace
from tuning.design import design_point
from tuning.experiment import Experiment
from tuning.failure import lost_config
from tuning.options import STORAGE_VARIABLE, SearchOptions
from tuning.run_directory import COMPLETE, RunDirectory, TrialRecord, command
from tuning.seeds import trial_seed
from tuning.warm_start import read_warm_start

STARTUP_TRIALS = 10
"""Trials before a model-based sampler chooses: settings tried before, settings known beforehand, then a quasi-random design."""

DESIGN_POINTS = 4
"""Points of the design at least, however many settings come before them."""

MODEL_BASED = ("tpe", "gp", "cmaes")

PRUNED = ("stopped early", "discriminator won", "generator collapsed")
"""How a trial ends before its budget with figures that still say how poor its settings are."""


def create_sampler(
    options: SearchOptions, space: SearchSpace, number: int = 0, x0: dict[str, Any] | None = None
) -> BaseSampler:
    """The sampler of ``--sampler`` for the search's trial ``number``, its arguments pinned.

    Its random numbers follow from the search's seed and the trial's number alone, so that a search which is cut off and
    gone on with draws what it would have drawn. A model-based sampler models from its first call: the start-up is not its
    own. Over a conditional space TPE models the parameters in the groups that occur together. CMA-ES starts from ``x0``.
    """
    seed = int(np.random.SeedSequence((options.seed, number)).generate_state(1)[0])
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # Optuna 6 is to drop prior_weight and x0
        match options.sampler:
            case "tpe":
                return TPESampler(
                    seed=seed,
                    n_startup_trials=1,
                    multivariate=True,
                    constant_liar=True,
                    group=space.conditional,
                    prior_weight=space.prior_weight,
                )
            case "gp":
                return GPSampler(seed=seed, n_startup_trials=1)
            case "cmaes":
                return CmaEsSampler(x0=x0, seed=seed, n_startup_trials=1)
            case "qmc" | "random":  # of qmc: what an earlier run's settings leave open
                return RandomSampler(seed=seed)


def open_storage(options: SearchOptions, run: Path) -> RDBStorage:
    """The study's database: ``optuna.db`` in the run directory unless ``--optuna-storage`` names another.

    SQLite's journal is overwritten rather than deleted at every commit, which is as safe and costs a fraction of the time.

    Raises BadOptions where it cannot be reached, or where a new run would go on with another run's study of its name.
    """
    given = options.optuna_storage
    where = str(run / "optuna.db") if given is None else f"--optuna-storage {given}"
    try:
        storage = RDBStorage(_database_url(given, run).render_as_string(hide_password=False))
        storage.url = given or storage.url  # all of the URL that Ray Tune's snapshots on disk may hold
        if storage.engine.dialect.name == "sqlite":
            event.listen(storage.engine, "connect", lambda connection, _: connection.execute("PRAGMA journal_mode=PERSIST"))
            storage.engine.dispose()  # the connections made so far
        taken = not options.resume and run.name in optuna.get_all_study_names(storage)
    except Exception as error:  # SQLAlchemy, its drivers and Optuna raise each their own
        raise BadOptions(f"{where} cannot be opened: {_why_not(given, error)}") from None
    if taken:
        raise BadOptions(f"{where} has a study named {run.name} already: choose another --name")
    return storage


def _database_url(given: str | None, run: Path) -> URL:
    """The URL to connect to. Of one that was recorded without its secrets, what is left: .pgpass or peer may do without."""
    if given is None:
        return URL.create("sqlite", database=str(run / "optuna.db"))
    url = make_url(reveal(given))
    password = None if url.password == HIDDEN else url.password
    query = {name: value for name, value in url.query.items() if value != HIDDEN}
    return URL.create(url.drivername, url.username, password, url.host, url.port, url.database, query)


def _why_not(given: str | None, error: Exception) -> str:
    """In one line. No driver speaks of a URL that was cut in the middle of its password: it would print the rest of it."""
    real = reveal(given or "")
    if given is not None and (isinstance(error, ValueError | ArgumentError) or real.count("@") > 1):
        return (
            "it must be a URL such as postgresql://user@host/db, with @ : / ? # and spaces in a password percent-encoded (%40)"
        )
    reason = hide_secrets((str(error).splitlines() or [type(error).__name__])[0])
    if HIDDEN in real:
        return f"the run's record leaves out its secrets; set {STORAGE_VARIABLE} to the whole URL ({reason})"
    return reason


def open_study(options: SearchOptions, experiment: Experiment, run: RunDirectory, storage: RDBStorage) -> optuna.Study:
    """The run's study, with what is to be tried first waiting in it; one that is there already is left as it is.

    Its ``user_attrs`` tell the run, the command that began it, and what of earlier runs is tried (``notes`` on that are for
    the user). Raises BadOptions where a run of ``--warm-start`` cannot be read.
    """
    name = run.path.name
    begun = name in optuna.get_all_study_names(storage)
    study = optuna.load_study(study_name=name, storage=storage) if begun else None
    if study is None or "warm_start" not in study.user_attrs:
        warm = read_warm_start(options, experiment)
        of = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
        directions = [of[objective.mode] for objective in experiment.objectives]
        study = optuna.create_study(study_name=name, storage=storage, directions=directions, load_if_exists=True)
        study.set_metric_names([objective.metric for objective in experiment.objectives])
        about = {"run": name, "experiment": options.experiment, "command": command(), "notes": warm.notes}
        for key, value in (about | {"warm_start": warm.settings}).items():
            study.set_user_attr(key, value)
    start_up = StartUp(options, experiment, study)
    for number in range(len(study.get_trials(deepcopy=False)), min(start_up.count, options.num_samples)):
        start_up.enqueue(number)
    _mend_records(study, run)
    return study


def _mend_records(study: optuna.Study, run: RunDirectory) -> None:
    """A kill may fall between the study's word that a trial has ended and the run directory's: the study's then counts."""
    finished = {trial.number: trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()}
    for directory, record in run.trials():
        if record.ended is None and record.number in finished:
            record.ended = finished[record.number].user_attrs["ended"]
            record.finished = cast(datetime, finished[record.number].datetime_complete).timestamp()
            directory.write(record)


class StartUp:
    """The first trials of a search: settings of earlier runs, settings known beforehand, then points of a design.

    Which one a trial is follows from its number, so that a run resumed with more trials goes on where it was. With
    ``--sampler qmc`` the design never ends, with ``random`` there is none.
    """

    def __init__(self, options: SearchOptions, experiment: Experiment, study: optuna.Study) -> None:
        self.endless = options.sampler == "qmc"
        self._seed, self._space, self._study = options.seed, experiment.space, study
        warm = [(settings, {"origin": "warm start", "warm_start": of}) for settings, of in study.user_attrs["warm_start"]]
        known = [(dict(values), {"origin": "known", "known": name}) for name, values in experiment.space.known.items()]
        self._given = [*warm, *known]
        self.count = len(self._given)
        if options.sampler != "random":
            self.count = max(STARTUP_TRIALS, self.count + DESIGN_POINTS)

    def enqueue(self, number: int) -> None:
        """Make the settings of trial ``number`` the next ones in the study's queue."""
        if number < len(self._given):
            settings, attributes = self._given[number]
        else:
            settings = design_point(self._space, self._seed, number - len(self._given))
            attributes = {"origin": "design" if self.endless else "start-up"}
        self._study.enqueue_trial(settings, user_attrs=attributes)


@contextlib.contextmanager
def _one_transaction(storage: RDBStorage) -> Iterator[None]:
    """All that Optuna writes meanwhile is committed at once, or not at all; by itself it commits every single value.

    A trial's settings and attributes then cost one wait for the disk instead of a dozen.
    Source: https://docs.sqlalchemy.org/en/20/orm/session_transaction.html#joining-a-session-into-an-external-transaction-such-as-for-test-suites
    """
    sessions = storage.scoped_session
    sessions.remove()
    with storage.engine.begin() as connection:
        sessions.configure(bind=connection, join_transaction_mode="rollback_only")
        try:
            yield
        finally:
            sessions.remove()
            sessions.configure(bind=storage.engine, join_transaction_mode="conditional_savepoint")


class StudySearch(OptunaSearch):
    """Ray Tune's Optuna searcher over one run's study.

    A trial's config is its parameters, the space's and the command's fixed settings, its ``seed``, its number as ``trial``
    and, for settings known beforehand, their name as ``known``; for one that goes on, ``restore_from`` lists its
    checkpoints, the latest first, and ``lost`` counts the workers that died under it.

    Give Ray Tune no bound on the number of trials, nor on those at once: this one ends the search, since a trial can be
    handed out twice, and has at most ``slots`` trials out beside those that the scheduler has ``held`` back.
    """

    def __init__(
        self,
        options: SearchOptions,
        experiment: Experiment,
        run: RunDirectory,
        storage: RDBStorage,
        trials_done: int,
        slots: int,
    ) -> None:
        study = open_study(options, experiment, run, storage)
        super().__init__(
            space=experiment.space.distributions,
            metric=[objective.metric for objective in experiment.objectives],
            mode=[objective.mode for objective in experiment.objectives],
            sampler=create_sampler(options, experiment.space),
            study_name=run.path.name,
            storage=storage,
        )
        self._options, self._experiment, self._run, self._database = options, experiment, run, storage
        self._fixed = {**experiment.space.fixed, **experiment.settings}
        self._start_up = StartUp(options, experiment, study)
        self._left = options.num_samples - trials_done
        self._slots = slots
        self.held: Sequence[tune_experiment.Trial] = ()
        """Trials that wait for others; the scheduler's own list."""
        self.tune_trials: Sequence[tune_experiment.Trial] = ()
        self._reported: dict[int, int] = {}
        self._latest: dict[str, dict[str, Any]] = {}
        self._first_ended = 0
        self._cut_off: list[tuple[Trial, dict[str, Any]]] = [(trial, {}) for trial in self._reconcile()]
        trials = self.study.get_trials(deepcopy=False)
        self._numbered = len(trials)  # those that wait among them
        self._asked = sum(trial.state != TrialState.WAITING for trial in trials)
        self._first_ended = sum(trial.state.is_finished() for trial in trials[: self._start_up.count])

    @property
    def start_up(self) -> set[int]:
        """The numbers of the start-up's trials that have not ended, of those that are still to be handed out."""
        trials = self.study.get_trials(deepcopy=False)[: self._start_up.count]
        return {trial.number for trial in [one for one in trials if not one.state.is_finished()][: max(0, self._left)]}

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

    def suggest(self, trial_id: str) -> Any:
        """The next trial's config; None where it is too early to say; ``Searcher.FINISHED`` once all have ended."""
        if self._left < 1:
            return None if self._ot_trials else Searcher.FINISHED
        if len(self._ot_trials) - len(self.held) >= self._slots or (not self._cut_off and self._waits()):
            return None
        with _one_transaction(self._database):
            trial, config = self._handed_out_again() if self._cut_off else self._new_trial()
            trial.set_user_attr("tune_id", trial_id)
        self._left -= 1
        self._ot_trials[trial_id] = trial
        return config

    def _handed_out_again(self) -> tuple[Trial, dict[str, Any]]:
        trial, lost = self._cut_off.pop(0)
        directory = self._run.trial(trial.number)
        record = directory.read()
        assert record is not None  # written before the trial was first handed out
        restored = [str(folder) for folder in directory.checkpoints()]
        return trial, {**directory.config(record), **lost, "restore_from": restored}

    def _waits(self) -> bool:
        """Whether the model has too little to go by yet: until half of the start-up has ended, and while some of it runs.

        A population trains together: none of it has ended before all of it is there.
        """
        models = (
            self._options.sampler in MODEL_BASED and self._options.scheduler != "pbt" and self._asked >= self._start_up.count
        )
        return models and 2 * self._first_ended < self._start_up.count and bool(self._ot_trials)

    def _new_trial(self) -> tuple[Trial, dict[str, Any]]:
        number, space = self._asked, self._experiment.space
        drawn = number >= self._start_up.count
        if number == self._numbered and (self._start_up.endless or not drawn):
            self._start_up.enqueue(number)  # beyond what waited: the design goes on, or what the end of a search had cut off
        # What waits in the queue has its settings: a model would compute in vain, and CMA-ES count the trial as its own.
        options = self._options if drawn else replace(self._options, sampler="random")
        self.study.sampler = create_sampler(options, space, number, self._best_of_start_up())
        trial = self.study.ask()
        self._asked += 1
        self._numbered = max(self._numbered, self._asked)
        settings: dict[str, Any] = {}
        for name, parameter in space.parameters.items():
            if parameter.applies(settings):
                settings[name] = _suggest(trial, name, parameter.distribution)
        seed = trial_seed(self._options.seed, trial.number)
        config = {**settings, **self._fixed, "seed": seed, "trial": trial.number}
        if "known" in trial.user_attrs:
            config["known"] = trial.user_attrs["known"]
        if drawn and not self._start_up.endless:
            trial.set_user_attr("origin", "random" if options.sampler == "random" else "model")
        directory = self._run.trial(trial.number)
        trial.set_user_attr("seed", seed)
        trial.set_user_attr("directory", directory.path.name)
        directory.write(TrialRecord(trial.number, config))
        return trial, config

    def _best_of_start_up(self) -> dict[str, Any] | None:
        """The settings from which CMA-ES starts; None where no trial of the start-up is complete."""
        if self._options.sampler != "cmaes":
            return None
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        objective = self._experiment.objective
        started = [trial for trial in complete if trial.number < self._start_up.count]
        return min(started, key=lambda trial: objective.loss({objective.metric: trial.value})).params if started else None

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._latest[trial_id] = result
        self._report(self._ot_trials[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        trial = self._ot_trials.pop(trial_id)
        latest = self._latest.pop(trial_id, {})
        if error and (config := lost_config(self.tune_trials, trial_id)):
            self._cut_off.append((trial, {"lost": config["lost"]}))
            self._left += 1
            return
        result = result or latest  # Ray Tune hands none over for a trial that it stops in a pause
        ended = "error" if error or not result else result.get("ended") or "stopped early"
        with _one_transaction(self._database):
            self._tell(trial, ended, result)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a resumed search reads the study and the run directory, which no snapshot could keep up with."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, as nothing was saved."""

    def _report(self, trial: Trial, result: Mapping[str, Any]) -> None:
        step = round(result[self._experiment.time_attr])
        if step > self._reported.get(trial.number, 0):
            self._reported[trial.number] = step
            value = result.get(self.metric[0])
            if value is not None and len(self.metric) == 1:  # Optuna keeps no intermediate values of several objectives
                trial.report(value, step=step)

    def _tell(self, trial: Trial, ended: str, result: Mapping[str, Any]) -> None:
        objectives = self._experiment.objectives
        values = [v for one in objectives if result and (v := one.value(result)) is not None and math.isfinite(v)]
        state = TrialState.FAIL
        if len(values) == len(objectives):
            if ended in COMPLETE:
                state = TrialState.COMPLETE
            elif ended in PRUNED:
                state = TrialState.PRUNED
            self._report(trial, result)
        trial.set_user_attr("ended", ended)
        changes = self._run.trial(trial.number).schedule()
        if changes:  # the trial's parameters are what it began with
            schedule = [
                {"step": change.step, "from": change.donor, **self._experiment.space.varied(change.settings)}
                for change in changes
            ]
            trial.set_user_attr("schedule", schedule)
        # Optuna takes a pruned trial's value from its last intermediate one.
        self.study.tell(trial, values if state == TrialState.COMPLETE else None, state=state)
        self._first_ended += trial.number < self._start_up.count


def close_running(study: optuna.Study, ended: str) -> None:
    """Tell FAIL for the trials still in flight when the search was over: Ray Tune does not."""
    for frozen in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        trial = Trial(study, frozen._trial_id)
        trial.set_user_attr("ended", ended)
        study.tell(trial, state=TrialState.FAIL)


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
