"""A run is recorded twice, in its directory and in its Optuna study. Before a run goes on, the two
are compared.

The study is found by the run's id, so a folder can be renamed or moved. The records are the truth:
if the study is lost, lacks trials or differs, it is built anew from them. A record that cannot be
read is written again from the study. What neither of the two knows is refused. The number and the
files of an ended trial are never used again.
"""

import contextlib
import itertools
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from command_line import UsageError
from records.outcome import COMPLETE
from records.places import place_of
from records.run_directory import DAMAGED, FORMAT, RunDirectory
from records.store import read_json, write_json
from records.trial_directory import TrialDirectory, TrialRecord
from tuning.engine.patience import Patience
from tuning.engine.rebuild import rebuild, unused
from tuning.engine.storage import OWN_DATABASE, open_storage
from tuning.engine.study import (
    RUN_ID,
    RunStudy,
    find_study,
    intermediate_values,
    open_study,
    state_and_values,
)
from tuning.options import SearchOptions
from tuning.task import Task


def open_run(
    options: SearchOptions, task: Task, run: RunDirectory, patience: Patience
) -> tuple[RunStudy, list[str]]:
    """The study of a run that is new or goes on, and lines that the user should read.

    Raises UsageError if the database cannot be opened, or if the run cannot go on as it is.
    """
    storage: RDBStorage | None = None
    if options.resume:
        check_format(run)
    own = options.resume and not options.optuna_storage
    if not own or _is_database(run.path / OWN_DATABASE):
        storage = patience("the study's database", lambda: open_storage(options, run.path))
    notes: list[str] = []
    if options.resume:
        storage, notes = agree(options, task, run, storage)
    assert storage is not None  # opened above, or rebuilt
    study = open_study(options, task, run, storage)
    return study, [*notes, *study.notes]


def _is_database(file: Path) -> bool:
    """Whether the file is a whole SQLite database, or there is no file yet."""
    with contextlib.closing(sqlite3.connect(file)) as database:
        try:
            return bool(database.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
        except sqlite3.OperationalError:  # such as a lock: the file itself may be well
            return True
        except sqlite3.DatabaseError:
            return False


def check_format(run: RunDirectory) -> None:
    """Refuse a run that another version of this project wrote. Raises UsageError."""
    record = run.read() or {}
    found = record.get("format", 0)
    if found != FORMAT or not isinstance(record.get("id"), str):
        remedy = "update this project"
        if isinstance(found, int) and found < FORMAT:
            remedy = (
                f"start a new search, with --warm-start {run.path.name} to use its results;"
                " the report still shows it"
            )
        raise UsageError(
            f"run {run.path.name} has format {found}, and this version resumes only format"
            f" {FORMAT}: {remedy}"
        )


def agree(
    options: SearchOptions, task: Task, run: RunDirectory, storage: RDBStorage | None
) -> tuple[RDBStorage, list[str]]:
    """Make the study and the records of a run that goes on agree.

    Returns the storage to go on with, and lines that the user should read. ``storage`` is None if
    the run's own database cannot be read. Raises UsageError if something is lost for good.
    """
    study = _load(options, storage, run)
    known = {} if study is None else _known_records(study, run, task)
    for directory in run.unreadable():
        if directory.path.name not in known:
            raise UsageError(
                f"{directory.path / 'trial.json'} cannot be read or is another trial's, and the"
                " study does not know that trial: put the file back from a copy, or move the folder"
                f" {directory.path.name} out of the run, then resume"
            )
    notes = [*_moved(run)]
    for name, record in known.items():
        run.trial(record.number).write(record)
        notes.append(f"{name}/trial.json could not be read: written again from the study")
    notes += _set_aside(run)
    study = _load(options, storage, run)  # if the run is a copy, it has another id now
    _forget_unbegun(study, run)
    why = "there is none of this run" if study is None else _disagreement(study, run, task)
    if why is None:
        assert storage is not None  # it has a study
        return storage, notes
    if trials := len(list(run.trials())):
        notes.append(f"the study was rebuilt from the records of {trials} trials: {why}")
    return rebuild(options, task, run, storage), notes


def _load(
    options: SearchOptions, storage: RDBStorage | None, run: RunDirectory
) -> optuna.Study | None:
    """The run's study. A copied run takes over the study in its own copy of the database."""
    if storage is None:
        return None
    record = run.read() or {}
    study = find_study(storage, record["id"])
    if study is None and not options.optuna_storage:
        study = find_study(storage, record.get("copied_id"))
    if study is not None:
        study.set_user_attr(RUN_ID, record["id"])
    return study


def _moved(run: RunDirectory) -> Iterator[str]:
    """A moved folder is the same run. A copy is from now on another run, with an id of its own."""
    record = run.read() or {}
    last = str(record.get("path", ""))
    if last in ("", place_of(run.path.absolute())):
        return
    before = Path(last)
    with contextlib.suppress(OSError):  # nothing is there, or nothing that may be looked at
        if before.samefile(run.path):
            return
    if read_json(before / "search.json").get("id") == record["id"]:
        own = {"id": uuid.uuid4().hex, "copied_id": record["id"]}
        write_json(run.path / "search.json", {**record, **own})
        yield f"this is a copy of {before}, and from now on a run of its own"
    else:
        yield f"the run was at {last} before"


def _set_aside(run: RunDirectory) -> Iterator[str]:
    """Rename trainings after the search whose record cannot be read: they are done again."""
    parts = [run.confirmation(), run.final()]
    damaged = [directory.path for part in parts for directory in part.unreadable()]
    ablations = sorted((run.path / "ablation").glob("trial_*"))
    damaged += [path for path in ablations if RunDirectory(path).unreadable()]
    for folder in damaged:
        name = folder.name
        kept = folder.rename(
            unused(folder.with_name(f"{DAMAGED}{n}_{name}") for n in itertools.count(1))
        )
        yield (
            f"{folder.parent.name}/{name} has a record that cannot be read: kept as {kept.name},"
            " and done again"
        )


def _known_records(study: optuna.Study, run: RunDirectory, task: Task) -> dict[str, TrialRecord]:
    """The unreadable records that the study can tell, by the names of their folders."""
    unreadable = {directory.path.name: directory for directory in run.unreadable()}
    known = {}
    for frozen in study.get_trials(deepcopy=False):
        directory = unreadable.get(run.trial(frozen.number).path.name)
        if directory and "seed" in frozen.user_attrs and _knows(frozen, directory, task):
            known[directory.path.name] = _record(frozen, task)
    return known


def _knows(frozen: FrozenTrial, directory: TrialDirectory, task: Task) -> bool:
    """Whether the reports in the directory can be those of the study's trial.

    Not all of them need agree, since a trial that goes on makes some reports twice.
    """
    reports = intermediate_values(task, directory.rows())
    common = frozen.intermediate_values.keys() & reports.keys()
    return not common or any(frozen.intermediate_values[step] == reports[step] for step in common)


def _record(frozen: FrozenTrial, task: Task) -> TrialRecord:
    """The record of the study's trial."""
    attributes = frozen.user_attrs
    own = {"seed": attributes["seed"], "trial": frozen.number}
    if "baseline" in attributes:
        own["baseline"] = attributes["baseline"]
    config = {**frozen.params, **task.space.fixed, **task.settings, **own}
    record = TrialRecord(frozen.number, config)
    if frozen.datetime_start:
        record.started = frozen.datetime_start.timestamp()
    if frozen.datetime_complete:
        record.finished = frozen.datetime_complete.timestamp()
        record.ended = attributes["ended"]
    return record


def _forget_unbegun(study: optuna.Study | None, run: RunDirectory) -> None:
    """Remove the records of trials that have not begun: they are asked for anew.

    Such a record is left if a kill falls between writing it and telling the study.
    """
    asked = study.get_trials(deepcopy=False) if study else []
    last = max((trial.number for trial in asked if trial.state != TrialState.WAITING), default=-1)
    for directory, record in sorted(run.trials(), key=lambda trial: -trial[1].number):
        if record.number <= last or record.ended or directory.rows():
            return
        (directory.path / "trial.json").unlink()


def _disagreement(study: optuna.Study, run: RunDirectory, task: Task) -> str | None:
    """What the study does not know of the trials on record, or says otherwise; None if nothing."""
    trials = study.get_trials(deepcopy=False)
    for directory, record in run.trials():
        number, ended = record.number, record.ended
        if number >= len(trials) or trials[number].state == TrialState.WAITING:
            return f"it had no trial {number}"
        frozen = trials[number]
        told = frozen.user_attrs
        same = frozen.params == task.space.varied(record.config)
        if not same or told.get("seed") != record.config["seed"]:
            return f"its trial {number} had other settings"
        if ended and frozen.state.is_finished() and told.get("ended") != ended:
            return f"its trial {number} ended otherwise"
        if ended in COMPLETE and frozen.state == TrialState.COMPLETE and (rows := directory.rows()):
            _, values = state_and_values(task, ended, rows[-1])
            if rows[-1].get("ended") == ended and values != frozen.values:
                return f"its trial {number} had another value"
    return None
