"""A study built anew from the records of a run, if the run's own study is lost or wrong."""

import itertools
import uuid
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from records.run_directory import RunDirectory
from records.trial_directory import TrialDirectory, TrialRecord
from tuning.engine.start_up import StartUp
from tuning.engine.storage import OWN_DATABASE, open_storage
from tuning.engine.study import create_study, intermediate_values, state_and_values
from tuning.options import SearchOptions
from tuning.task import Task

LOST = "lost"
"""What the study says of a trial if only its number is left."""


def rebuild(
    options: SearchOptions, task: Task, run: RunDirectory, storage: RDBStorage | None
) -> RDBStorage:
    """Build a new study from the trials on record; returns its storage.

    The run's own database is put aside; ``storage`` is None if it cannot be read. In a shared
    database the old study stays.
    """
    run_id = (run.read() or {}).get("id")
    if options.optuna_storage:
        run_id = uuid.uuid4().hex
    else:
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()
        _put_aside(run.path / OWN_DATABASE)
        storage = open_storage(options, run.path)
    assert storage is not None  # a shared database is always opened
    study = create_study(options, task, run, storage, run_id)
    start_up = StartUp(options, task, study.user_attrs["warm_start"])
    trials = {trial.number: (directory, trial) for directory, trial in run.trials()}
    # The number of a trial whose record is gone stays taken.
    gone = create_trial(state=TrialState.FAIL, user_attrs={"ended": LOST})
    for number in range(max(trials, default=-1) + 1):
        known = number in trials
        study.add_trial(_frozen(*trials[number], task, start_up) if known else gone)
    run.describe({"id": run_id})
    return storage


def unused(paths: Iterable[Path]) -> Path:
    """The first of the paths that does not exist."""
    return next(path for path in paths if not path.exists())


def _put_aside(database: Path) -> None:
    kept = unused(database.with_name(f"{database.name}.replaced-{n}") for n in itertools.count(1))
    if database.exists():
        database.rename(kept)
    for suffix in ("-journal", "-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)


def _frozen(
    directory: TrialDirectory, record: TrialRecord, task: Task, start_up: StartUp
) -> FrozenTrial:
    """The trial as the study would have it, from its record and its reports."""
    rows = directory.rows()
    params = task.space.varied(record.config)
    state, values = state_and_values(task, record.ended, rows[-1] if rows else {})
    attributes: dict[str, Any] = {
        **start_up.attributes(record.number),
        "seed": record.config["seed"],
        "directory": directory.path.name,
    }
    if record.ended:
        attributes["ended"] = record.ended
    if state == TrialState.FAIL and rows and rows[-1].get("ended"):
        rows = rows[:-1]  # the last report of a failed trial is not told
    reports = intermediate_values(task, rows)
    if state == TrialState.PRUNED and reports:
        values = [*reports.values()][-1:]
    trial = create_trial(
        state=state,
        values=values,
        params=params,
        distributions={name: task.space.parameters[name].distribution for name in params},
        user_attrs=attributes,
        intermediate_values=reports,
    )
    trial.datetime_start = datetime.fromtimestamp(record.started)
    if record.ended:
        trial.datetime_complete = datetime.fromtimestamp(record.finished or record.started)
    else:
        trial.datetime_complete = None
    return trial
