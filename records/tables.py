"""A run as pandas tables. What cannot be read is left out and named in the run's notes."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from records.checkpoint import BOOKKEEPING_KEYS
from records.outcome import BUDGET
from records.run import Run
from records.store import read_rows
from records.trial_directory import TrialDirectory, TrialRecord, in_order

RECORD_EVERY = 10
"""Training steps between two points of ``train_*`` in a report, as trials record them."""

PAUSE_S = 3.0
"""Seconds without a report that count as a pause; the time of a report is in whole seconds."""

RECORD_FIELDS = ("number", "ended", "error", "started", "finished")

RESERVED = (*RECORD_FIELDS, *BOOKKEEPING_KEYS, "step", "confirms", "ablation")
"""Columns of a table of trials that are never settings or metrics."""


def read_trials(run: Run, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """``Run.trials`` and ``Run.histories`` of a folder of trials."""
    rows, histories = [], []
    for trial, record in _trials(run, folder):
        _lines(run, trial.path / "schedule.json")  # notes its unreadable lines
        config = trial.config(record)
        for _, change in config.get("schedule", []):
            config = {**config, **change}
        always = {name: config.get(name) for name in ("trial", "seed", "baseline")}
        reports = _columns(run, trial, curves=False)
        reports.pop("ended", None)
        last = {name: values[-1] for name, values in reports.items()}
        step = {"step": last.get("step")}
        fields = {name: getattr(record, name) for name in RECORD_FIELDS}
        metrics = {name: value for name, value in last.items() if not is_taken(run, name)}
        for name in last.keys() - metrics.keys() - {"step"}:
            run.note(f"the metric {name} is in the curves only: a setting or column has its name")
        rows.append({**config, **settings(run, config), **always, **step, **metrics, **fields})
        if reports:
            curves = {name: reports[name] for name in last if not isinstance(last[name], list)}
            histories.append(pd.DataFrame({**curves, "number": record.number}))
    table = pd.DataFrame(rows)
    metrics_of_all = ("step", run.metric, run.goal.metric)
    columns = [*table, *RECORD_FIELDS, *run.varied, "baseline", "seed", *metrics_of_all]
    table = table.reindex(columns=list(dict.fromkeys(columns)))
    empty = pd.DataFrame(columns=["number", "step"])
    every = pd.concat(histories, ignore_index=True).infer_objects() if histories else empty
    return table, every


def is_taken(run: Run, metric: str) -> bool:
    """Whether a setting, or a column that is in every table, has the name of this metric."""
    return metric in RESERVED or metric in run.fixed or metric in run.parameters


def settings(run: Run, config: Mapping[str, Any]) -> dict[str, Any]:
    """The varied settings of a config. pandas would take None, if it is a choice, for missing."""
    varied = {name: config[name] for name in run.varied if name in config}
    return {name: "None" if value is None else value for name, value in varied.items()}


def reports(run: Run, trial: TrialDirectory) -> pd.DataFrame:
    """A trial's reports, one row each, in order of ``step``."""
    return pd.DataFrame(_columns(run, trial))


def final_reports(run: Run) -> pd.DataFrame:
    """The reports of the winner's final training; empty if it has not used its whole budget."""
    trial = TrialDirectory(run.final)
    record = _record(run, trial)
    used_up = record is not None and record.ended == BUDGET.name
    return reports(run, trial) if used_up else pd.DataFrame()


def stretches(run: Run) -> pd.DataFrame:
    """When trials were at work, one row a stretch without a pause.

    The columns are number, begin and end, in seconds since 1970.
    """
    timed: dict[Any, Any] = {}
    columns = ["timestamp", "time_this_iter_s"]
    if {*columns} <= {*run.histories}:
        reports = run.histories.dropna(subset=columns)
        timed = {n: own[columns].to_numpy(float).T for n, own in reports.groupby("number")}
    rows: list[tuple[int, float, float]] = []
    trials = run.trials[["number", "started", "finished"]].astype(float)
    for number, began, finished in trials.itertuples(index=False):
        ends, took = timed.get(number, (np.array([finished]), np.array([finished - began])))
        begins = ends - took
        paused = np.flatnonzero(begins[1:] - ends[:-1] > PAUSE_S)
        last = finished if finished - ends[-1] <= PAUSE_S else ends[-1]
        stretches = zip([began, *begins[paused + 1]], [*ends[paused], last], strict=True)
        rows += [(int(number), begin, end) for begin, end in stretches]
    return pd.DataFrame(rows, columns=["number", "begin", "end"]).dropna()


def minutes(run: Run) -> float:
    """Minutes of all sessions; one that was killed, or still runs, counts until its last report."""
    sessions = run.search["sessions"]
    times = run.histories.get("timestamp", pd.Series(dtype=float)).dropna().to_numpy(float)
    total = 0.0
    for session, following in zip(sessions, [*sessions[1:], {"started": np.inf}], strict=True):
        within = times[(times >= session["started"]) & (times <= following["started"])]
        total += (session["ended"] or within.max(initial=session["started"])) - session["started"]
    return total / 60


def checkpoints(run: Run) -> pd.DataFrame:
    """Every checkpoint and file of weights: trial (missing if it has none), file, bytes, saved."""
    files = [*run.path.glob("**/checkpoint_*/state.pt"), *run.path.glob("**/*.safetensors")]
    rows = []
    for file in sorted(files):
        place, found = file.relative_to(run.path), file.stat()
        trial = TrialDirectory(Path(place.parts[0])).number
        rows.append((trial, str(place), found.st_size, found.st_mtime))
    return pd.DataFrame(rows, columns=["trial", "file", "bytes", "saved"])


def events(run: Run) -> pd.DataFrame:
    """When sessions and trials began and ended: time in seconds since 1970, number, what."""
    rows: list[tuple[float, Any, str]] = []
    for session in run.search["sessions"]:
        rows.append((session["started"], None, "session began"))
        rows.append((session["ended"], None, f"session {session['how']}"))
    for table, words in ((run.trials, "trial"), (run.confirmations, "fresh seed")):
        for _, one in table.iterrows():
            rows.append((one["started"], one["number"], f"{words} began"))
            rows.append((one["finished"], one["number"], f"{words}: {one['ended']}"))
    table = pd.DataFrame(rows, columns=["time", "number", "what"]).dropna(subset=["time"])
    return table.sort_values("time", kind="stable", ignore_index=True)


def schedules(run: Run) -> pd.DataFrame:
    """The varied settings of each trial from ``step`` on, under population based training.

    One row a change, by number and step. ``donor`` is the trial whose weights were taken over, and
    is missing in a trial's first row. Empty if no trial took over any weights.
    """
    rows, changed = [], False
    for trial, record in _trials(run, run.path):
        began: tuple[int, int | None, dict[str, Any]] = (0, None, record.config)
        changes = [(one.step, one.donor, one.settings) for one in trial.schedule()]
        changed |= bool(changes)
        for step, donor, config in (began, *changes):
            now = {"number": record.number, "step": step, "donor": donor}
            rows.append({**settings(run, config), **now})
    return pd.DataFrame(rows if changed else [])


def training_curve(reports: pd.DataFrame) -> pd.DataFrame:
    """The training points in a trial's reports, one row every ``RECORD_EVERY`` steps."""
    names = [name for name in reports if _is_curve(str(name), reports[name])]
    if not names:
        return pd.DataFrame()
    curve = reports[["step", *names]].explode(names, ignore_index=True)
    # A report's last point lies at the last multiple before its end, unless it has fewer steps.
    short = curve["step"] < RECORD_EVERY
    ends = curve["step"].where(short, curve["step"] // RECORD_EVERY * RECORD_EVERY)
    place = curve.groupby("step").cumcount()
    count = curve.groupby("step")["step"].transform("size")
    curve["step"] = ends - RECORD_EVERY * (count - 1 - place)
    return curve.astype(float)


def _trials(run: Run, folder: Path) -> Iterator[tuple[TrialDirectory, TrialRecord]]:
    """The trials in a folder that have a readable record; the others are noted."""
    for trial in map(TrialDirectory, sorted(folder.glob("trial_*"))):
        if (record := _record(run, trial)) is not None:
            yield trial, record


def _record(run: Run, trial: TrialDirectory) -> TrialRecord | None:
    record, file = trial.read(), trial.path / "trial.json"
    if record is None and file.exists():
        run.note(f"{file.relative_to(run.path)} cannot be read")
    return record


def _columns(run: Run, trial: TrialDirectory, curves: bool = True) -> dict[str, list[Any]]:
    """A trial's reports in order of ``step``, with the training ``curves`` or without."""
    rows = in_order(_lines(run, trial.path / "result.json"))
    names = dict.fromkeys([*rows[-1], *sorted(set().union(*rows))]) if rows else {}
    columns = {name: [row.get(name) for row in rows] for name in names}
    return {
        name: values for name, values in columns.items() if curves or not _is_curve(name, values)
    }


def _is_curve(name: str, values: Iterable[Any]) -> bool:
    """Whether a column has training points: several a report, in a list."""
    return name.startswith("train_") and any(isinstance(value, list) for value in values)


def _lines(run: Run, file: Path) -> list[dict[str, Any]]:
    rows, unreadable = read_rows(file)
    for number in unreadable:
        run.note(f"{file.relative_to(run.path)}: line {number} cannot be read")
    return rows
