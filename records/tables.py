"""A run as pandas tables. What cannot be read is left out of them and named in the run's notes."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from records.outcome import BUDGET
from records.run import Run
from records.store import read_rows
from records.trial_directory import TrialDirectory

RECORD_EVERY = 10
"""Training steps between two points of ``train_*`` in a row, as trials record them."""

PAUSE_S = 3.0
"""Seconds without a trial's being at work that are a pause: reports are timed to the second."""


RECORD_FIELDS = ("number", "ended", "error", "started", "finished")


def read_trials(run: Run, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """``Run.trials`` and ``Run.histories`` of a folder of trials."""
    rows, histories = [], []
    for path in sorted(folder.glob("trial_*")):
        record = _read(run, path / "trial.json")
        if (
            not record
            or not isinstance(record.get("config"), dict)
            or not isinstance(record.get("number"), int)
        ):
            continue
        reports = _columns(run, path, curves=False)
        reports.pop("ended", None)
        last = {name: values[-1] for name, values in reports.items()}
        own = {name: record["config"].get(name) for name in ("trial", "seed", "baseline")}
        settings = {
            **record["config"],
            **{
                n: v
                for _, change in record["config"].get("schedule", [])
                for n, v in change.items()
            },
        }
        for change in _changes(run, path)[-1:]:
            settings = change["settings"]
        rows.append(
            {**settings, **own, **last, **{name: record.get(name) for name in RECORD_FIELDS}}
        )
        if reports:
            figures = {
                name: values for name, values in reports.items() if not isinstance(values[-1], list)
            }
            histories.append(pd.DataFrame({**figures, "number": record["number"]}))
    table = pd.DataFrame(rows)
    always = [
        *RECORD_FIELDS,
        *run.varied,
        "baseline",
        "seed",
        "step",
        run.metric,
        str(run.search["goal"]["metric"]),
    ]
    table = table.reindex(columns=list(dict.fromkeys([*table.columns, *always])))
    return table, pd.concat(histories, ignore_index=True) if histories else pd.DataFrame(
        columns=["number", "step"]
    )


def reports(run: Run, trial: TrialDirectory) -> pd.DataFrame:
    """A trial's reports, one row each, in order of ``step``."""
    return pd.DataFrame(_columns(run, trial.path))


def final_reports(run: Run) -> pd.DataFrame:
    """The reports of the winner's final training; empty if it has not come to its end."""
    record = _read(run, run.final / "trial.json") or {}
    return (
        reports(run, TrialDirectory(run.final))
        if record.get("ended") == BUDGET.name
        else pd.DataFrame()
    )


def stretches(run: Run) -> pd.DataFrame:
    """When trials were at work, one row a stretch without a pause: number, begin, end, in seconds since 1970."""
    timed: dict[Any, Any] = {}
    if {"timestamp", "time_this_iter_s"} <= set(run.histories):
        reports = run.histories.dropna(subset=["timestamp", "time_this_iter_s"])
        timed = {
            n: own[["timestamp", "time_this_iter_s"]].to_numpy(float).T
            for n, own in reports.groupby("number")
        }
    rows = []
    for number, began, finished in (
        run.trials[["number", "started", "finished"]].astype(float).itertuples(index=False)
    ):
        ends, took = timed.get(number, (np.array([finished]), np.array([finished - began])))
        begins = ends - took
        paused = np.flatnonzero(begins[1:] - ends[:-1] > PAUSE_S)
        last = finished if finished - ends[-1] <= PAUSE_S else ends[-1]
        stretches = zip([began, *begins[paused + 1]], [*ends[paused], last], strict=True)
        rows += [(int(number), begin, end) for begin, end in stretches]
    return pd.DataFrame(rows, columns=["number", "begin", "end"]).dropna()


def minutes(run: Run) -> float:
    """Minutes of all sessions; of one that was killed, or still runs, until its last report."""
    sessions = run.search["sessions"]
    times = (
        run.histories["timestamp"].dropna().to_numpy(float)
        if "timestamp" in run.histories
        else np.array([])
    )
    total = 0.0
    for session, following in zip(sessions, [*sessions[1:], {"started": np.inf}], strict=True):
        within = times[(times >= session["started"]) & (times <= following["started"])]
        total += (session["ended"] or within.max(initial=session["started"])) - session["started"]
    return total / 60


def checkpoints(run: Run) -> pd.DataFrame:
    """Every checkpoint and file of weights that is there: trial (missing for those of no trial), file, bytes, saved."""
    rows = []
    for file in sorted(
        [*run.path.glob("**/checkpoint_*/state.pt"), *run.path.glob("**/*.safetensors")]
    ):
        trial = re.match(r"trial_(\d+)$", file.relative_to(run.path).parts[0])
        found = file.stat()
        place = str(file.relative_to(run.path))
        rows.append(
            {
                "trial": int(trial[1]) if trial else None,
                "file": place,
                "bytes": found.st_size,
                "saved": found.st_mtime,
            }
        )
    return pd.DataFrame(rows, columns=["trial", "file", "bytes", "saved"])


def events(run: Run) -> pd.DataFrame:
    """What happened when: sessions that began and ended, trials that did, in seconds since 1970."""
    rows = []
    for session in run.search["sessions"]:
        rows += [
            (session["started"], None, "session began"),
            (session["ended"], None, f"session {session['how']}"),
        ]
    for table, words in ((run.trials, "trial"), (run.confirmations, "fresh seed")):
        for _, one in table.iterrows():
            rows += [
                (one["started"], one["number"], f"{words} began"),
                (one["finished"], one["number"], f"{words}: {one['ended']}"),
            ]
    table = pd.DataFrame(rows, columns=["time", "number", "what"]).dropna(subset=["time"])
    return table.sort_values("time", kind="stable", ignore_index=True)


def schedules(run: Run) -> pd.DataFrame:
    """Of population based training: the varied settings of each trial from ``step`` on, one row a
    change, by number and step. ``donor``: whose weights the trial took over there, missing in its
    first row. Empty where none did.
    """
    rows, changed = [], False
    for path in sorted(run.path.glob("trial_*")):
        record = _read(run, path / "trial.json")
        if record and "config" in record:
            own = {"number": record["number"]}
            rows.append({**own, "step": 0, "donor": None, **_settings(run, record["config"])})
            for change in _changes(run, path):
                changed = True
                settings = _settings(run, change["settings"])
                rows.append({**own, "step": change["step"], "donor": change["donor"], **settings})
    return pd.DataFrame(rows if changed else [])


def training_curve(reports: pd.DataFrame) -> pd.DataFrame:
    """The training points that a trial's reports carry, one row every ten training steps."""
    if reports.empty:
        return pd.DataFrame()
    names = [name for name in reports if str(name).startswith("train_")]
    curve = reports[["step", *names]].explode(names, ignore_index=True)
    # The last point of a report lies at the last multiple before its end, but for a trial that is
    # shorter than that.
    ends = curve["step"].where(
        curve["step"] < RECORD_EVERY, curve["step"] // RECORD_EVERY * RECORD_EVERY
    )
    place = curve.groupby("step").cumcount()
    count = curve.groupby("step")["step"].transform("size")
    curve["step"] = ends - RECORD_EVERY * (count - 1 - place)
    return curve.astype(float)


def _settings(run: Run, config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: config[name] for name in run.varied if name in config}


def _changes(run: Run, trial: Path) -> list[dict[str, Any]]:
    if not (trial / "schedule.json").exists():
        return []
    return [
        line
        for line in _lines(run, trial / "schedule.json")
        if {"settings", "donor"} <= line.keys()
    ]


def _columns(run: Run, folder: Path, curves: bool = True) -> dict[str, list[Any]]:
    """A trial's reports by step, of a step reported twice the later one, with the training ``curves`` or without."""
    by_step = {row["step"]: row for row in _lines(run, folder / "result.json")}
    rows = [by_step[step] for step in sorted(by_step)]
    names = dict.fromkeys([*rows[-1], *sorted(set().union(*rows))]) if rows else {}
    return {
        name: [row.get(name) for row in rows]
        for name in names
        if curves or not name.startswith("train_")
    }


def _lines(run: Run, file: Path) -> list[dict[str, Any]]:
    rows, unreadable = read_rows(file)
    for number in unreadable:
        run.note(f"{file.relative_to(run.path)}: line {number} cannot be read")
    return rows


def _read(run: Run, file: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(file.read_bytes())
        return content if isinstance(content, dict) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        run.note(f"{file.relative_to(run.path)} cannot be read")
        return None
