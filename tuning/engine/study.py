"""The Optuna study of a run: created, found again by the run's id, and told how trials ended."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

import optuna
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from records.commands import command
from records.outcome import ERROR, outcome_of
from records.run_directory import FORMAT, RunDirectory
from tuning.engine.patience import Patience
from tuning.engine.start_up import StartUp
from tuning.engine.storage import one_transaction
from tuning.options import SearchOptions
from tuning.task import Task
from tuning.warm_start import WarmStart, read_warm_start

RUN_ID = "run_id"
"""The study's attribute with the id of its run, as ``search.json`` has it."""

Result = TypeVar("Result")


class RunStudy:
    """The study of a run, in its database. It knows trials by their numbers.

    Attributes:
        storage: The database.
        study: Optuna's object, which is loaded anew after the database has failed.
    """

    def __init__(
        self, storage: RDBStorage, study: optuna.Study, task: Task, run: RunDirectory
    ) -> None:
        self.storage, self.study = storage, study
        self._task, self._run = task, run
        self._read_reported()

    @property
    def name(self) -> str:
        """The study's name in the database: the run's, with a number if that was taken."""
        return self.study.study_name

    @property
    def notes(self) -> list[str]:
        """What the user should know of the runs of ``--warm-start``, one line each."""
        return list(self.study.user_attrs["notes"])

    @property
    def warm_start(self) -> list[Any]:
        """Settings of earlier runs to try first, each with the run that it is from."""
        return list(self.study.user_attrs["warm_start"])

    def running(self) -> list[FrozenTrial]:
        """The trials that have been handed out and have not ended."""
        return self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _read_reported(self) -> None:
        """Read up to which step each running trial has reported."""
        self._reported = {
            trial.number: max(trial.intermediate_values, default=0) for trial in self.running()
        }

    def committed(self, patience: Patience, action: Callable[[], Result]) -> Result:
        """``action()`` in one transaction, repeated while the database fails.

        After a failure Optuna's cache may hold what was rolled back, so ``study`` is loaded anew.
        """
        attempts = itertools.count()

        def attempt() -> Result:
            if next(attempts):
                self.storage.engine.dispose()  # a restarted server has forgotten its connections
                self.study = optuna.load_study(study_name=self.name, storage=self.storage)
                self._read_reported()
            with one_transaction(self.storage):
                return action()

        return patience("the study's database", attempt)

    def set(self, number: int, attribute: str, value: Any) -> None:
        """Set a user attribute of a trial."""
        self.study._storage.set_trial_user_attr(self._trial_id(number), attribute, value)

    def report(self, number: int, result: Mapping[str, Any]) -> None:
        """Tell what a trial reports, unless it had already come further.

        Optuna keeps no intermediate values if there are several objectives.
        """
        step = round(result[self._task.time_attr])
        if step > self._reported.get(number, 0):
            for value in intermediate_values(self._task, [result]).values():
                self.study._storage.set_trial_intermediate_value(
                    self._trial_id(number), step, float(value)
                )
            self._reported[number] = step

    def tell(self, number: int, ended: str, result: Mapping[str, Any]) -> None:
        """Tell how a trial ended and what it reported last.

        If the database had kept an earlier transaction that seemed to fail, nothing is told.
        """
        if self.study._storage.get_trial(self._trial_id(number)).state.is_finished():
            return
        state, values = state_and_values(self._task, ended, result)
        if state != TrialState.FAIL:
            self.report(number, result)
        self.set(number, "ended", ended)
        if changes := self._run.trial(number).schedule():  # its parameters are what it began with
            space = self._task.space
            schedule = [
                {"step": change.step, "from": change.donor, **space.varied(change.settings)}
                for change in changes
            ]
            self.set(number, "schedule", schedule)
        # Optuna takes a pruned trial's value from its last intermediate value.
        self.study.tell(number, values, state=state)

    def tell_unheard(self) -> list[int]:
        """Tell the ends of trials that are on record only; returns the trials that were cut off."""
        cut_off = []
        for number in [trial.number for trial in self.running()]:
            directory = self._run.trial(number)
            record = directory.read()
            if record is None:  # cut off before it had settings
                self.tell(number, ERROR.name, {})
            elif record.ended is not None:
                self.tell(number, record.ended, (directory.rows() or [{}])[-1])
            else:
                cut_off.append(number)
        return cut_off

    def close_running(self, ended: str) -> None:
        """Tell FAIL for the trials still running when the search is over: Ray Tune does not."""
        for trial in self.running():
            self.set(trial.number, "ended", ended)
            self.study.tell(trial.number, state=TrialState.FAIL)

    def delete(self) -> None:
        """Remove the study from the database."""
        optuna.delete_study(study_name=self.name, storage=self.storage)

    def _trial_id(self, number: int) -> int:
        study = self.study
        return study._storage.get_trial_id_from_study_id_trial_number(study._study_id, number)


def find_study(storage: RDBStorage, run_id: str | None) -> optuna.Study | None:
    """The study of the run with this id, or None. One that a kill left half made does not count."""
    for summary in optuna.get_all_study_summaries(storage, include_best_trial=False):
        about = summary.user_attrs
        if run_id is not None and about.get(RUN_ID) == run_id and "warm_start" in about:
            return optuna.load_study(study_name=summary.study_name, storage=storage)
    return None


def open_study(
    options: SearchOptions, task: Task, run: RunDirectory, storage: RDBStorage
) -> RunStudy:
    """The run's study, created if there is none, with the start-up's trials waiting in it.

    Raises UsageError if a run of ``--warm-start`` cannot be read.
    """
    run_id = (run.read() or {}).get("id")
    study = find_study(storage, run_id) or create_study(options, task, run, storage, run_id)
    start_up = StartUp(options, task, study.user_attrs["warm_start"])
    there = len(study.get_trials(deepcopy=False))
    for number in range(there, min(start_up.count, options.num_samples)):
        start_up.enqueue(study, number)
    _mend_records(study, run)
    return RunStudy(storage, study, task, run)


def create_study(
    options: SearchOptions, task: Task, run: RunDirectory, storage: RDBStorage, run_id: str | None
) -> optuna.Study:
    """A new study under the run's name, or under the first free name like it.

    Its ``user_attrs`` tell the run, its command, the settings of earlier runs to try and ``notes``
    on them. ``search.json`` keeps these settings too, in case the study is lost. Raises UsageError
    if a run of ``--warm-start`` cannot be read.
    """
    kept = (run.read() or {}).get("warm_start")
    warm = WarmStart([(settings, of) for settings, of in kept or ()], [])
    if kept is None:
        warm = read_warm_start(options, task)
    taken, plain = optuna.get_all_study_names(storage), run.path.name
    names = itertools.chain([plain], (f"{plain}-{place}" for place in itertools.count(2)))
    name = next(name for name in names if name not in taken)
    of = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
    directions = [of[objective.mode] for objective in task.objectives]
    study = optuna.create_study(study_name=name, storage=storage, directions=directions)
    study.set_metric_names([objective.metric for objective in task.objectives])
    run.describe({"warm_start": warm.settings})
    about = {
        RUN_ID: run_id,
        "format": FORMAT,
        "run": plain,
        "experiment": options.experiment,
        "command": command(),
        "notes": warm.notes,
        "warm_start": warm.settings,
    }
    for key, value in about.items():
        study.set_user_attr(key, value)
    return study


def _mend_records(study: optuna.Study, run: RunDirectory) -> None:
    """Write into the records which trials have ended, if a kill let only the study hear of it."""
    trials = study.get_trials(deepcopy=False)
    finished = {trial.number: trial for trial in trials if trial.state.is_finished()}
    for directory, record in run.trials():
        if record.ended is None and record.number in finished:
            trial = finished[record.number]
            record.ended = trial.user_attrs["ended"]
            record.finished = cast(datetime, trial.datetime_complete).timestamp()
            directory.write(record)


def state_and_values(
    task: Task, ended: str | None, result: Mapping[str, Any]
) -> tuple[TrialState, list[float] | None]:
    """The state that a trial has in the study, and its values if it is complete.

    Args:
        ended: The trial's outcome; None if it has not ended.
        result: The trial's last report.
    """
    if ended is None:
        return TrialState.RUNNING, None
    values = [objective.value(result) for objective in task.objectives] if result else [None]
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if len(finite) == len(task.objectives):
        if outcome_of(ended).kind == "complete":
            return TrialState.COMPLETE, finite
        if outcome_of(ended).kind == "stopped":
            return TrialState.PRUNED, None
    return TrialState.FAIL, None


def intermediate_values(task: Task, rows: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """What the study keeps of a trial's reports: the objective by cost, or nothing if there are
    several objectives."""
    if len(task.objectives) > 1:
        return {}
    metric = task.objective.metric
    return {round(row[task.time_attr]): row[metric] for row in rows if row.get(metric) is not None}
