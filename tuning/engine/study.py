"""The Optuna study of a run: created, found again by the run's id, and told how trials ended."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import optuna
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import Trial, TrialState

from records.commands import command
from records.outcome import outcome_of
from records.run_directory import FORMAT, RunDirectory
from tuning.engine.start_up import StartUp
from tuning.options import SearchOptions
from tuning.task import Task
from tuning.warm_start import WarmStart, read_warm_start

RUN_ID = "run_id"
"""The study's attribute with the id of its run, as ``search.json`` has it."""


@dataclass(frozen=True)
class RunStudy:
    """The study of a run, in its database."""

    storage: RDBStorage
    study: optuna.Study

    @property
    def name(self) -> str:
        """The study's name in the database: the run's, with a number if that was taken."""
        return self.study.study_name

    @property
    def notes(self) -> list[str]:
        """What the user should know of the runs of ``--warm-start``, a line each."""
        return list(self.study.user_attrs["notes"])

    @property
    def warm_start(self) -> list[Any]:
        """Settings of earlier runs to try first, each with the run that it is from."""
        return list(self.study.user_attrs["warm_start"])

    def close_running(self, ended: str) -> None:
        """Tell FAIL for the trials still running when the search is over: Ray Tune does not."""
        for frozen in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            trial = Trial(self.study, frozen._trial_id)
            trial.set_user_attr("ended", ended)
            self.study.tell(trial, state=TrialState.FAIL)

    def delete(self) -> None:
        """Remove the study from the database."""
        optuna.delete_study(study_name=self.name, storage=self.storage)


def find_study(storage: RDBStorage, run_id: str | None) -> str | None:
    """The name of the study that carries this run's id, or None."""
    for summary in optuna.get_all_study_summaries(storage, include_best_trial=False):
        if run_id is not None and summary.user_attrs.get(RUN_ID) == run_id:
            return str(summary.study_name)
    return None


def open_study(
    options: SearchOptions, task: Task, run: RunDirectory, storage: RDBStorage
) -> RunStudy:
    """The run's study, with what is to be tried first waiting in it; one that is there already is
    left as it is.

    Raises UsageError if a run of ``--warm-start`` cannot be read.
    """
    run_id = (run.read() or {}).get("id")
    name = find_study(storage, run_id)
    study = None if name is None else optuna.load_study(study_name=name, storage=storage)
    if study is None or "warm_start" not in study.user_attrs:
        study = create_study(options, task, run, storage, run_id)
    start_up = StartUp(options, task, study.user_attrs["warm_start"])
    for number in range(
        len(study.get_trials(deepcopy=False)), min(start_up.count, options.num_samples)
    ):
        start_up.enqueue(study, number)
    _mend_records(study, run)
    return RunStudy(storage, study)


def create_study(
    options: SearchOptions, task: Task, run: RunDirectory, storage: RDBStorage, run_id: str | None
) -> optuna.Study:
    """A new study under the run's name, or the first free one like it.

    Its ``user_attrs`` tell the run, the command that began it, and what of earlier runs is tried
    (``notes`` on that are for the user); ``search.json`` keeps the latter too, for a study that is
    built anew. Raises UsageError if a run of ``--warm-start`` cannot be read.
    """
    kept = (run.read() or {}).get("warm_start")
    warm = (
        read_warm_start(options, task)
        if kept is None
        else WarmStart([(settings, of) for settings, of in kept], [])
    )
    taken = optuna.get_all_study_names(storage)
    name = next(
        name
        for place in itertools.count(1)
        if (name := run.path.name + f"-{place}" * (place > 1)) not in taken
    )
    of = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
    directions = [of[objective.mode] for objective in task.objectives]
    study = optuna.create_study(study_name=name, storage=storage, directions=directions)
    study.set_metric_names([objective.metric for objective in task.objectives])
    run.describe({"warm_start": warm.settings})
    about = {
        RUN_ID: run_id,
        "format": FORMAT,
        "run": name,
        "experiment": options.experiment,
        "command": command(),
    }
    for key, value in (about | {"notes": warm.notes, "warm_start": warm.settings}).items():
        study.set_user_attr(key, value)
    return study


def _mend_records(study: optuna.Study, run: RunDirectory) -> None:
    """A kill may fall between the study's word that a trial has ended and the run directory's: the study's then counts."""
    finished = {
        trial.number: trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state.is_finished()
    }
    for directory, record in run.trials():
        if record.ended is None and record.number in finished:
            record.ended = finished[record.number].user_attrs["ended"]
            record.finished = cast(datetime, finished[record.number].datetime_complete).timestamp()
            directory.write(record)


def outcome(
    task: Task, ended: str | None, result: Mapping[str, Any]
) -> tuple[TrialState, list[float] | None]:
    """The state in which a trial stands in the study, and the values of a complete one."""
    if ended is None:
        return TrialState.RUNNING, None
    values = [
        v
        for one in task.objectives
        if result and (v := one.value(result)) is not None and math.isfinite(v)
    ]
    if len(values) == len(task.objectives):
        if outcome_of(ended).kind == "complete":
            return TrialState.COMPLETE, values
        if outcome_of(ended).kind == "stopped":
            return TrialState.PRUNED, None
    return TrialState.FAIL, None


def intermediate_values(task: Task, rows: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """What the study keeps of a trial's reports: the objective by cost; nothing if there are several objectives."""
    if len(task.objectives) > 1:
        return {}
    metric = task.objective.metric
    return {round(row[task.time_attr]): row[metric] for row in rows if row.get(metric) is not None}
