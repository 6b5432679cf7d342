"""One run, told twice: by the records in its directory and by its study. Before a run goes on, the
two are compared.

The study is found by the run's id, never by its name, so a folder can be renamed or moved. The
records are the truth: if the study has lost trials, says something else or is gone, it is built
anew from them. A record that cannot be read is written again from the study. What neither of the
two can tell is refused. The number and the files of a trial that has ended are never used again.
"""

import contextlib
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from command_line import UsageError
from records.outcome import COMPLETE
from records.run_directory import DAMAGED, FORMAT, RunDirectory
from records.store import read_json, write_json
from records.trial_directory import TrialDirectory, TrialRecord
from tuning.engine.patience import Patience
from tuning.engine.start_up import StartUp
from tuning.engine.storage import open_storage
from tuning.engine.study import (
    RUN_ID,
    RunStudy,
    create_study,
    find_study,
    intermediate_values,
    open_study,
    outcome,
)
from tuning.options import SearchOptions
from tuning.task import Task

OWN_DATABASE = "optuna.db"
LOST = "lost"
"""How the study says that a trial ended of which nothing is left but its number."""


def open_run(
    options: SearchOptions, task: Task, run: RunDirectory, patience: Patience
) -> tuple[RunStudy, list[str]]:
    """The study of a new run, or of a run that goes on, with what the user should know, a line each.

    Raises UsageError if the database cannot be opened, or if the run cannot go on as it is.
    """
    own = not options.optuna_storage
    storage: RDBStorage | None = None
    notes: list[str] = []
    if options.resume:
        check_format(run)
        if not own or _is_database(run.path / OWN_DATABASE):
            storage = patience("the study's database", lambda: open_storage(options, run.path))
        storage, notes = agree(options, task, run, storage)
    else:
        storage = patience("the study's database", lambda: open_storage(options, run.path))
    study = open_study(options, task, run, storage)
    return study, [*notes, *study.notes]


def _is_database(file: Path) -> bool:
    """Whether a file is a whole SQLite database, or none is there yet."""
    with contextlib.closing(sqlite3.connect(file)) as database:
        try:
            return bool(database.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
        except sqlite3.OperationalError:  # locked, say: what is wrong is not in the file
            return True
        except sqlite3.DatabaseError:
            return False


def check_format(run: RunDirectory) -> None:
    """Refuse a run that another version of this project wrote. Raises UsageError."""
    record = run.read() or {}
    found = record.get("format", 0)
    if found != FORMAT or not isinstance(record.get("id"), str):
        older = isinstance(found, int) and found < FORMAT
        raise UsageError(
            f"run {run.path.name} has format {found}, this version goes on with format {FORMAT}: "
            + (
                "the report still shows it; start a new search, with --warm-start to use what it found"
                if older
                else "update"
            )
        )


def agree(
    options: SearchOptions, task: Task, run: RunDirectory, storage: RDBStorage | None
) -> tuple[RDBStorage, list[str]]:
    """Make the study and the records of a run that goes on agree.

    ``storage`` is None if the run's own database is no database any more. Returns the storage to go
    on with and what the user should know, a line each. Raises UsageError if something is lost that
    neither of the two can tell.
    """
    study = None if storage is None else _load(options, storage, run)
    known = {} if study is None else _known_records(study, run, task)
    for directory in run.unreadable():
        if directory.path.name not in known:
            raise UsageError(
                f"{directory.path / 'trial.json'} cannot be read or is another trial's, and the study does not know that trial:"
                f" put the file back from a copy, or move the folder {directory.path.name} out of the run, then resume"
            )
    notes = [*_moved(run), *_write_records(run, known), *_set_aside(run)]
    study = (
        None if storage is None else _load(options, storage, run)
    )  # of a copy, which has another id now, another one
    _forget_unbegun(study, run)
    why = "there is none of this run" if study is None else _disagreement(study, run, task)
    if why is None:
        assert storage is not None
        return storage, notes
    records = [record for _, record in run.trials()]
    storage = _rebuild(options, task, run, storage)
    if records:
        notes.append(f"the study was rebuilt from the records of {len(records)} trials: {why}")
    return storage, notes


def _load(options: SearchOptions, storage: RDBStorage, run: RunDirectory) -> optuna.Study | None:
    """The run's study. In the run's own database a copied run has that of the run it was copied from, and takes it over."""
    record = run.read() or {}
    name = find_study(storage, record["id"])
    if name is None and not options.optuna_storage and "copied_id" in record:
        name = find_study(storage, record["copied_id"])
    study = None if name is None else optuna.load_study(study_name=name, storage=storage)
    if study is None or "warm_start" not in study.user_attrs:  # killed while it was created
        return None
    study.set_user_attr(RUN_ID, record["id"])
    return study


def _moved(run: RunDirectory) -> Iterator[str]:
    """A folder that was moved is the same run. A copy is another one from now on, with an id of its own."""
    record = run.read() or {}
    before = Path(str(record.get("path", "")))
    if not record.get("path") or before == run.path.absolute():
        return
    with contextlib.suppress(
        OSError
    ):  # nothing is there any more, or nothing that may be looked at
        if before.samefile(run.path):
            return
    if read_json(before / "search.json").get("id") == record["id"]:
        write_json(
            run.path / "search.json", {**record, "id": uuid.uuid4().hex, "copied_id": record["id"]}
        )
        yield f"this is a copy of {before}, and from now on a run of its own"
    else:
        yield f"the run was at {before} before"


def _set_aside(run: RunDirectory) -> Iterator[str]:
    """Trainings after the search whose record cannot be read are kept under another name, and done again."""
    for part in (run.confirmation(), run.final()):
        for directory in part.unreadable():
            yield _rename(directory.path)
    for path in sorted((run.path / "ablation").glob("trial_*")):
        if RunDirectory(path).unreadable():
            yield _rename(path)


def _rename(folder: Path) -> str:
    names = (folder.with_name(f"{DAMAGED}{number}_{folder.name}") for number in range(1, 1000))
    kept = folder.rename(next(name for name in names if not name.exists()))
    return f"{folder.parent.name}/{folder.name} has a record that cannot be read: kept as {kept.name}, and done again"


def _known_records(study: optuna.Study, run: RunDirectory, task: Task) -> dict[str, TrialRecord]:
    """The records that cannot be read, by the name of their folder, as far as the study knows what was in them."""
    unreadable = {one.path.name: one for one in run.unreadable()}
    known = {}
    for frozen in study.get_trials(deepcopy=False):
        directory = unreadable.get(run.trial(frozen.number).path.name)
        if (
            directory is not None
            and "seed" in frozen.user_attrs
            and _knows(frozen, directory, task)
        ):
            known[directory.path.name] = _record(frozen, task)
    return known


def _write_records(run: RunDirectory, known: Mapping[str, TrialRecord]) -> Iterator[str]:
    for name, record in known.items():
        run.trial(record.number).write(record)
        yield f"{name}/trial.json could not be read: written again from the study"


def _knows(frozen: FrozenTrial, directory: TrialDirectory, task: Task) -> bool:
    """Whether the reports in the directory can be those of the study's trial. Not all need agree: some are made twice."""
    reports = intermediate_values(task, directory.rows())
    common = frozen.intermediate_values.keys() & reports.keys()
    return not common or any(frozen.intermediate_values[step] == reports[step] for step in common)


def _record(frozen: FrozenTrial, task: Task) -> TrialRecord:
    known = {"baseline": frozen.user_attrs["baseline"]} if "baseline" in frozen.user_attrs else {}
    own = {"seed": frozen.user_attrs["seed"], "trial": frozen.number, **known}
    record = TrialRecord(
        frozen.number, {**frozen.params, **task.space.fixed, **task.settings, **own}
    )
    if frozen.datetime_start:
        record.started = frozen.datetime_start.timestamp()
    if frozen.datetime_complete:
        record.finished, record.ended = (
            frozen.datetime_complete.timestamp(),
            frozen.user_attrs["ended"],
        )
    return record


def _forget_unbegun(study: optuna.Study | None, run: RunDirectory) -> None:
    """A kill between a trial's record and the study's word leaves a record of a trial that has not begun: it is asked anew."""
    begun = (
        []
        if study is None
        else [
            one.number
            for one in study.get_trials(deepcopy=False)
            if one.state != TrialState.WAITING
        ]
    )
    last = max(
        [
            *begun,
            *(
                record.number
                for directory, record in run.trials()
                if record.ended or directory.rows()
            ),
        ],
        default=-1,
    )
    for directory, record in run.trials():
        if record.number > last:
            (directory.path / "trial.json").unlink()


def _disagreement(study: optuna.Study, run: RunDirectory, task: Task) -> str | None:
    """What the study does not know, or says otherwise, of the trials on record; None if nothing."""
    trials = study.get_trials(deepcopy=False)
    for directory, record in run.trials():
        if record.number >= len(trials) or trials[record.number].state == TrialState.WAITING:
            return f"it had no trial {record.number}"
        frozen = trials[record.number]
        if (
            frozen.params != task.space.varied(record.config)
            or frozen.user_attrs.get("seed") != record.config["seed"]
        ):
            return f"its trial {record.number} had other settings"
        if (
            record.ended
            and frozen.state.is_finished()
            and frozen.user_attrs.get("ended") != record.ended
        ):
            return f"its trial {record.number} ended otherwise"
        if (
            record.ended in COMPLETE
            and frozen.state == TrialState.COMPLETE
            and (rows := directory.rows())
        ):
            _, values = outcome(task, record.ended, rows[-1])
            if rows[-1].get("ended") == record.ended and values != frozen.values:
                return f"its trial {record.number} came to another figure"
    return None


def _rebuild(
    options: SearchOptions, task: Task, run: RunDirectory, storage: RDBStorage | None
) -> RDBStorage:
    """A new study of the trials on record. The run's own database is put aside; in a shared one the old study stays."""
    record = run.read() or {}
    if not options.optuna_storage:
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()
        _put_aside(run.path / OWN_DATABASE)
        storage = open_storage(options, run.path)
    else:
        record["id"] = uuid.uuid4().hex
    assert storage is not None
    study = create_study(options, task, run, storage, record["id"])
    start_up = StartUp(options, task, study.user_attrs["warm_start"])
    records = {trial.number: (directory, trial) for directory, trial in run.trials()}
    for number in range(max(records, default=-1) + 1):
        study.add_trial(
            _frozen(*records[number], task, start_up) if number in records else _placeholder()
        )
    write_json(run.path / "search.json", record)
    return storage


def _put_aside(database: Path) -> None:
    for number in range(1, 1000):
        kept = database.with_name(f"{database.name}.replaced-{number}")
        if not kept.exists():
            with contextlib.suppress(FileNotFoundError):
                database.rename(kept)
            for suffix in ("-journal", "-wal", "-shm"):
                database.with_name(database.name + suffix).unlink(missing_ok=True)
            return


def _placeholder() -> FrozenTrial:
    """A number of which nothing is left: it is taken all the same."""
    return create_trial(state=TrialState.FAIL, user_attrs={"ended": LOST})


def _frozen(
    directory: TrialDirectory, record: TrialRecord, task: Task, start_up: StartUp
) -> FrozenTrial:
    """The trial as the study would have it, from its record and its reports."""
    rows = directory.rows()
    params = task.space.varied(record.config)
    state, values = outcome(task, record.ended, rows[-1] if rows else {})
    attributes: dict[str, Any] = {
        **start_up.attributes(record.number),
        "seed": record.config["seed"],
        "directory": directory.path.name,
        **({"ended": record.ended} if record.ended else {}),
    }
    last_is_none = (
        state == TrialState.FAIL and rows and rows[-1].get("ended")
    )  # a failed trial's last report has no value
    reports = intermediate_values(task, rows[:-1] if last_is_none else rows)
    trial = create_trial(
        state=state,
        values=list(reports.values())[-1:] if state == TrialState.PRUNED and reports else values,
        params=params,
        distributions={name: task.space.parameters[name].distribution for name in params},
        user_attrs=attributes,
        intermediate_values=reports,
    )
    trial.datetime_start = datetime.fromtimestamp(record.started)
    trial.datetime_complete = (
        datetime.fromtimestamp(record.finished or record.started) if record.ended else None
    )
    return trial
