"""The Optuna study of a search, through Ray Tune's OptunaSearch: which settings come next, and what each trial came to.

Ray's class tells Optuna every ended trial as COMPLETE with whatever value it had last. Here a trial is told as it ended:
COMPLETE where it used its budget or converged, PRUNED with its intermediate values where the scheduler stopped it, FAIL
where it diverged or broke. A trial keeps its number, seed and settings when a search is resumed: the study is the record
of what was asked for, and a trial that was cut off is handed out again before anything new is sampled.
"""

import contextlib
import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, cast

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
from tuning.failure import Failure, config_again, find_trial, wait_for_storage
from tuning.options import STORAGE_VARIABLE, SearchOptions
from tuning.patience import Patience
from tuning.room import Room
from tuning.run_directory import COMPLETE, FORMAT, RunDirectory, TrialRecord, command
from tuning.seeds import trial_seed
from tuning.warm_start import WarmStart, read_warm_start

STARTUP_TRIALS = 10
"""Trials before a model-based sampler chooses: settings tried before, settings known beforehand, then a quasi-random design."""

DESIGN_POINTS = 4
"""Points of the design at least, however many settings come before them."""

MODEL_BASED = ("tpe", "gp", "cmaes")

SAME_ERRORS = 3
"""Trials that fail alike, before any other has worked, after which a search is over."""

Result = TypeVar("Result")

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

    Raises OSError if another process holds it; BadOptions if it cannot be reached, or if a new run would go on with another
    run's study of its name.
    """
    given = options.optuna_storage
    where = str(run / "optuna.db") if given is None else f"--optuna-storage {given}"
    try:
        url = _database_url(given, run).render_as_string(hide_password=False)
        storage = RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
        storage.url = given or storage.url  # all of the URL that Ray Tune's snapshots on disk may hold
        if storage.engine.dialect.name == "sqlite":
            event.listen(storage.engine, "connect", lambda connection, _: connection.execute("PRAGMA journal_mode=PERSIST"))
            storage.engine.dispose()  # the connections made so far
        taken = not options.resume and run.name in optuna.get_all_study_names(storage)
    except Exception as error:  # SQLAlchemy, its drivers and Optuna raise each their own
        if "database is locked" in str(error):
            raise OSError(f"{where}: the database is locked by another process") from None
        raise BadOptions(f"{where} cannot be opened: {_why_not(given, error)}") from None
    if taken:
        raise BadOptions(f"{where} has a study named {run.name} already: choose another --name")
    return storage


RUN_ID = "run_id"
"""The study's attribute with the id of its run, as ``search.json`` has it."""


def find_study(storage: RDBStorage, run_id: str | None) -> str | None:
    """The name of the study that carries this run's id, or None."""
    for summary in optuna.get_all_study_summaries(storage, include_best_trial=False):
        if run_id is not None and summary.user_attrs.get(RUN_ID) == run_id:
            return str(summary.study_name)
    return None


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

    Raises BadOptions if a run of ``--warm-start`` cannot be read.
    """
    run_id = (run.read() or {}).get("id")
    name = find_study(storage, run_id)
    study = None if name is None else optuna.load_study(study_name=name, storage=storage)
    if study is None or "warm_start" not in study.user_attrs:
        study = create_study(options, experiment, run, storage, run_id)
    start_up = StartUp(options, experiment, study)
    for number in range(len(study.get_trials(deepcopy=False)), min(start_up.count, options.num_samples)):
        start_up.enqueue(number)
    _mend_records(study, run)
    return study


def create_study(
    options: SearchOptions, experiment: Experiment, run: RunDirectory, storage: RDBStorage, run_id: str | None
) -> optuna.Study:
    """A new study under the run's name, or the first free one like it.

    Its ``user_attrs`` tell the run, the command that began it, and what of earlier runs is tried (``notes`` on that are for
    the user); ``search.json`` keeps the latter too, for a study that is built anew. Raises BadOptions if a run of
    ``--warm-start`` cannot be read.
    """
    kept = (run.read() or {}).get("warm_start")
    warm = read_warm_start(options, experiment) if kept is None else WarmStart([(settings, of) for settings, of in kept], [])
    taken = optuna.get_all_study_names(storage)
    name = next(name for place in itertools.count(1) if (name := run.path.name + f"-{place}" * (place > 1)) not in taken)
    of = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
    directions = [of[objective.mode] for objective in experiment.objectives]
    study = optuna.create_study(study_name=name, storage=storage, directions=directions)
    study.set_metric_names([objective.metric for objective in experiment.objectives])
    run.describe({"warm_start": warm.settings})
    about = {RUN_ID: run_id, "format": FORMAT, "run": name, "experiment": options.experiment, "command": command()}
    for key, value in (about | {"notes": warm.notes, "warm_start": warm.settings}).items():
        study.set_user_attr(key, value)
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
        self.endless, self._random = options.sampler == "qmc", options.sampler == "random"
        self._seed, self._space, self._study = options.seed, experiment.space, study
        warm = [(settings, {"origin": "warm start", "warm_start": of}) for settings, of in study.user_attrs["warm_start"]]
        known = [(dict(values), {"origin": "known", "known": name}) for name, values in experiment.space.known.items()]
        self._given = [*warm, *known]
        self.count = len(self._given)
        if options.sampler != "random":
            self.count = max(STARTUP_TRIALS, self.count + DESIGN_POINTS)

    def enqueue(self, number: int) -> None:
        """Make the settings of trial ``number`` the next ones in the study's queue."""
        place = number - len(self._given)
        settings = self._given[number][0] if place < 0 else design_point(self._space, self._seed, place)
        self._study.enqueue_trial(settings, user_attrs=self.attributes(number))

    def attributes(self, number: int) -> dict[str, Any]:
        """What the study says of where the settings of trial ``number`` came from."""
        if number < len(self._given):
            return dict(self._given[number][1])
        if self.endless:
            return {"origin": "design"}
        return {"origin": "start-up" if number < self.count else "random" if self._random else "model"}


@contextlib.contextmanager
def one_transaction(storage: RDBStorage) -> Iterator[None]:
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
    checkpoints, the latest first, and ``lost`` counts the times that the machine failed under it.

    Give Ray Tune no bound on the number of trials, nor on those at once: this one ends the search, since a trial can be
    handed out twice, and has at most ``room.slots`` trials out beside those that the scheduler has ``held`` back.

    What it asks of the database goes through ``patience``. Each call is one transaction, and what is remembered of it here is
    set when it is committed, so that it can be repeated whole.
    """

    def __init__(
        self,
        options: SearchOptions,
        experiment: Experiment,
        run: RunDirectory,
        storage: RDBStorage,
        trials_done: int,
        slots: int,
        patience: Patience | None = None,
    ) -> None:
        study = open_study(options, experiment, run, storage)
        super().__init__(
            space=experiment.space.distributions,
            metric=[objective.metric for objective in experiment.objectives],
            mode=[objective.mode for objective in experiment.objectives],
            sampler=create_sampler(options, experiment.space),
            study_name=study.study_name,
            storage=storage,
        )
        self._options, self._experiment, self._run, self._database = options, experiment, run, storage
        self._fixed = {**experiment.space.fixed, **experiment.settings}
        self._start_up = StartUp(options, experiment, study)
        self._left = options.num_samples - trials_done
        self._patience = patience or Patience()
        self.room = Room(slots, self._patience.say)
        self.held: Sequence[tune_experiment.Trial] = ()
        """Trials that wait for others; the scheduler's own list."""
        self.tune_trials: Sequence[tune_experiment.Trial] = ()
        self._reported: dict[int, int] = {}
        self._latest: dict[str, dict[str, Any]] = {}
        self._same_errors: list[str] = []
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

    def _committed(self, action: Callable[[], Result]) -> Result:
        """``action()`` in one transaction, again and again if the database fails.

        After a failure Optuna's cache may hold what was rolled back, so the study is loaded anew.
        """
        failed = False

        def attempt() -> Result:
            nonlocal failed
            try:
                if failed:
                    self._load_anew()
                with one_transaction(self._database):
                    return action()
            except BaseException:
                failed = True
                raise

        return self._patience("the study's database", attempt)

    def _load_anew(self) -> None:
        self._database.engine.dispose()  # connections that a restarted server has forgotten
        self._ot_study: Any = optuna.load_study(study_name=self.study.study_name, storage=self._database)
        self._ot_trials = {name: Trial(self.study, trial._trial_id) for name, trial in self._ot_trials.items()}
        self._cut_off = [(Trial(self.study, trial._trial_id), lost) for trial, lost in self._cut_off]
        self._start_up = StartUp(self._options, self._experiment, self.study)
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        self._reported = {trial.number: max(trial.intermediate_values, default=0) for trial in running}

    def suggest(self, trial_id: str) -> Any:
        """The next trial's config; None where it is too early to say; ``Searcher.FINISHED`` once all have ended."""
        if self._left < 1:
            return None if self._ot_trials else Searcher.FINISHED
        if len(self._ot_trials) - len(self.held) >= self.room.slots or (not self._cut_off and self._waits()):
            return None
        again = bool(self._cut_off)

        def hand_out() -> tuple[Trial, dict[str, Any]]:
            if committed := self._already_out(trial_id):
                return committed
            trial, config = self._handed_out_again() if again else self._new_trial()
            trial.set_user_attr("tune_id", trial_id)
            return trial, config

        trial, config = self._committed(hand_out)
        if again:
            self._cut_off.pop(0)
        else:
            self._asked += 1
            self._numbered = max(self._numbered, self._asked)
        self._left -= 1
        self._ot_trials[trial_id] = trial
        return config

    def _already_out(self, trial_id: str) -> tuple[Trial, dict[str, Any]] | None:
        """The trial that was handed out under this id by a transaction that the database kept, although it seemed to fail."""
        for frozen in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if frozen.user_attrs.get("tune_id") == trial_id and (record := self._run.trial(frozen.number).read()):
                return Trial(self.study, frozen._trial_id), record.config
        return None

    def _handed_out_again(self) -> tuple[Trial, dict[str, Any]]:
        trial, lost = self._cut_off[0]
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
        directory = self._run.trial(trial.number)
        if (directory.has_files() and directory.read() is None) or directory.rows():
            raise self._patience.give_up(f"{directory.path} holds files of a trial that the study does not know")
        settings: dict[str, Any] = {}
        for name, parameter in space.parameters.items():
            if parameter.applies(settings):
                settings[name] = _suggest(trial, name, parameter.distribution)
        seed = trial_seed(self._options.seed, trial.number)
        config = {**settings, **self._fixed, "seed": seed, "trial": trial.number}
        if "known" in trial.user_attrs:
            config["known"] = trial.user_attrs["known"]
        if drawn and not self._start_up.endless:
            trial.set_user_attr("origin", self._start_up.attributes(number)["origin"])
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
        if round(result[self._experiment.time_attr]) > self._reported.get(self._ot_trials[trial_id].number, 0):
            self._committed(lambda: self._report(self._ot_trials[trial_id], result))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        result = result or self._latest.get(trial_id, {})  # Ray Tune hands none over for a trial that it stops in a pause
        ended = result.get("ended") or "stopped early" if result else "error"
        if error:
            failed = find_trial(self.tune_trials, trial_id)
            failure = None if failed is None else Failure.of(failed)
            if failed is not None and failure is not None and failure.again:
                self._hand_out_again(trial_id, config_again(failed), failure)
                return
            ended = "error"
            if failed is not None and failure is not None and failure.outcome:
                ended, result = failure.outcome, failed.last_result
            self._refuse_to_repeat(failure, result)
        self._committed(lambda: self._tell(self._ot_trials[trial_id], ended, result))
        self._first_ended += self._ot_trials[trial_id].number < self._start_up.count
        del self._ot_trials[trial_id]
        self._latest.pop(trial_id, None)

    def _hand_out_again(self, trial_id: str, config: dict[str, Any], failure: Failure) -> None:
        """Put a trial that the machine has failed back in the queue, with fewer trials at once if memory was short."""
        if failure.blame == "memory":
            self.room.shrink()
        if failure.blame == "storage":
            wait_for_storage(self._run, config, failure, self._patience)
        self._cut_off.append((self._ot_trials.pop(trial_id), {"lost": config["lost"]}))
        self._latest.pop(trial_id, None)
        self._left += 1

    def _refuse_to_repeat(self, failure: Failure | None, result: Mapping[str, Any]) -> None:
        """End a search in which the first trials all fail alike before they report anything: the others would, too."""
        if failure is None or result:
            return
        self._same_errors.append(failure.line)
        if len(self._same_errors) == SAME_ERRORS and len(set(self._same_errors)) == 1 and self._none_has_worked():
            raise self._patience.give_up(f"the first {SAME_ERRORS} trials all failed: {failure.line}")

    def _none_has_worked(self) -> bool:
        return not self._latest and all(record.ended in (None, "error") for _, record in self._run.trials())

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a resumed search reads the study and the run directory, which no snapshot could keep up with."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, as nothing was saved."""

    def _report(self, trial: Trial, result: Mapping[str, Any]) -> None:
        step = round(result[self._experiment.time_attr])
        if step > self._reported.get(trial.number, 0):
            value = result.get(self.metric[0])
            if value is not None and len(self.metric) == 1:  # Optuna keeps no intermediate values of several objectives
                trial.report(value, step=step)
            self._reported[trial.number] = step

    def _tell(self, trial: Trial, ended: str, result: Mapping[str, Any]) -> None:
        if trial.storage.get_trial(trial._trial_id).state.is_finished():
            return  # the database kept the transaction, although it seemed to fail
        state, values = outcome(self._experiment, ended, result)
        if state != TrialState.FAIL:
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
        self.study.tell(trial, values, state=state)


def outcome(experiment: Experiment, ended: str | None, result: Mapping[str, Any]) -> tuple[TrialState, list[float] | None]:
    """The state in which a trial stands in the study, and the values of a complete one."""
    if ended is None:
        return TrialState.RUNNING, None
    values = [v for one in experiment.objectives if result and (v := one.value(result)) is not None and math.isfinite(v)]
    if len(values) == len(experiment.objectives):
        if ended in COMPLETE:
            return TrialState.COMPLETE, values
        if ended in PRUNED:
            return TrialState.PRUNED, None
    return TrialState.FAIL, None


def intermediate_values(experiment: Experiment, rows: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """What the study keeps of a trial's reports: the objective by cost; nothing if there are several objectives."""
    if len(experiment.objectives) > 1:
        return {}
    metric = experiment.objective.metric
    return {round(row[experiment.time_attr]): row[metric] for row in rows if row.get(metric) is not None}


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
