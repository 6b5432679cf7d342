"""A run directory as pandas tables, read lazily and never written to.

A run may be half finished, cut off, copied from elsewhere or missing files: what cannot be read is left out of the tables
and named in ``notes``.
"""

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from command_line import hide_in_command
from tuning.checks.evidence import Evidence, Reports
from tuning.run_directory import COMPLETE, FORMAT, RunDirectory, TrialDirectory, read_rows

RECORD_EVERY = 10
"""Training steps between two points of ``train_*`` in a row, as trials record them."""

PAUSE_S = 3.0
"""Seconds without a trial's being at work that are a pause: reports are timed to the second."""


class NotARun(ValueError):
    """The folder is not a run of this project; the message is one line."""


@dataclass
class Run:
    """One run directory.

    Attributes:
        search: ``search.json``.
        notes: What is missing or could not be read, a sentence each.
    """

    path: Path
    search: Mapping[str, Any]
    notes: list[str]

    @classmethod
    def open(cls, path: Path) -> "Run":
        """Raises NotARun where there is no readable ``search.json`` of ours."""
        try:
            search = json.loads((path / "search.json").read_bytes())
            if not isinstance(search.get("format", 0), int) or search.get("format", 0) > FORMAT:
                raise NotARun(f"{path} was written by a newer version (format {search['format']}): update to see it")
            if search["sessions"] and search["options"] and "space" not in search:
                raise NotARun(f"{path} is a search that is only being prepared: no trial has begun")
            _check(search)
        except NotARun:
            raise
        except FileNotFoundError:
            raise NotARun(f"{path} is not a run: it has no search.json") from None
        except OSError as error:
            raise NotARun(f"{path}/search.json cannot be read: {error.strerror}") from None
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
            raise NotARun(f"{path}/search.json is not one that this project wrote, or it is cut off") from None
        for session in search["sessions"]:  # a run that was recorded by an earlier version has it as it was typed
            session["command"] = hide_in_command(session["command"])
        return cls(path, search, [])

    @property
    def name(self) -> str:
        """The folder's name, to be read."""
        return readable(self.path.name)

    @property
    def objective(self) -> str:
        """The first of the figures that the search optimized."""
        return str(self.search["objectives"][0]["metric"])

    @property
    def cost(self) -> str:
        """The column that a trial's cost is counted in, and its rungs lie on."""
        return str(self.search.get("time_attr", "step"))

    @property
    def minimizes(self) -> bool:
        return bool(self.search["objectives"][0]["mode"] == "min")

    def reached(self, value: float | None) -> bool:
        """Whether a figure of the goal's metric reaches the goal."""
        goal = self.search["goal"]
        if value is None or pd.isna(value):
            return False
        return bool(value >= goal["bound"] if goal["at"] == "least" else value <= goal["bound"])

    @property
    def varied(self) -> list[str]:
        """The parameters that the search varied."""
        return list(self.search["space"])

    @property
    def title(self) -> str:
        """What was searched, such as ``LSTM, T = 20`` or ``GAN, mnist``."""
        fixed = self.search["fixed"]
        if self.search["experiment"] == "gan":
            return f"GAN, {fixed['dataset']}"
        return f"{str(fixed['model']).upper()}, T = {fixed['input_length']}"

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row a trial: number, ended, known, the settings it has now, seed, and the figures of its last report."""
        return self._tables[0]

    @cached_property
    def confirmations(self) -> pd.DataFrame:
        """The trials on fresh seeds, as in ``trials``; ``confirms`` is the number of the trial they repeat."""
        return self._read_trials(self.path / "confirmation")[0]

    @cached_property
    def histories(self) -> pd.DataFrame:
        """Every report of every trial, one row each, by ``number`` and ``step``, without the training curves they carry."""
        return self._tables[1]

    @cached_property
    def _tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        return self._read_trials(self.path)

    @cached_property
    def stretches(self) -> pd.DataFrame:
        """When trials were at work, one row a stretch without a pause: number, begin, end, in seconds since 1970."""
        timed: dict[Any, Any] = {}
        if {"timestamp", "time_this_iter_s"} <= set(self.histories):
            reports = self.histories.dropna(subset=["timestamp", "time_this_iter_s"])
            timed = {n: own[["timestamp", "time_this_iter_s"]].to_numpy(float).T for n, own in reports.groupby("number")}
        rows = []
        for number, began, finished in self.trials[["number", "started", "finished"]].astype(float).itertuples(index=False):
            ends, took = timed.get(number, (np.array([finished]), np.array([finished - began])))
            begins = ends - took
            paused = np.flatnonzero(begins[1:] - ends[:-1] > PAUSE_S)
            last = finished if finished - ends[-1] <= PAUSE_S else ends[-1]
            stretches = zip([began, *begins[paused + 1]], [*ends[paused], last], strict=True)
            rows += [(int(number), begin, end) for begin, end in stretches]
        return pd.DataFrame(rows, columns=["number", "begin", "end"]).dropna()

    @property
    def minutes(self) -> float:
        """Minutes of all sessions; of one that was killed, or still runs, until its last report."""
        sessions = self.search["sessions"]
        times = self.histories["timestamp"].dropna().to_numpy(float) if "timestamp" in self.histories else np.array([])
        total = 0.0
        for session, following in zip(sessions, [*sessions[1:], {"started": np.inf}], strict=True):
            within = times[(times >= session["started"]) & (times <= following["started"])]
            total += (session["ended"] or within.max(initial=session["started"])) - session["started"]
        return total / 60

    @cached_property
    def evidence(self) -> Evidence:
        """The run as the checks read it, from the tables that are here already."""
        reports = dict(iter(self.histories.groupby("number")))

        def read(directory: TrialDirectory) -> Reports:
            number = directory.path.name.removeprefix("trial_")
            if directory.path.parent != self.path or not number.isdigit() or int(number) not in reports:
                return Reports.of(directory.rows(), self.cost, self.objective)
            table = reports[int(number)]
            last = {str(name): None if pd.isna(value) else value for name, value in table.iloc[-1].items()}
            return Reports(table.reindex(columns=[self.cost, self.objective]).to_numpy(np.float64, na_value=np.nan), last)

        return Evidence(RunDirectory(self.path), read)

    @cached_property
    def checkpoints(self) -> pd.DataFrame:
        """Every checkpoint and file of weights that is there: trial (missing for those of no trial), file, bytes, saved."""
        rows = []
        for file in sorted([*self.path.glob("**/checkpoint_*/state.pt"), *self.path.glob("**/*.safetensors")]):
            trial = re.match(r"trial_(\d+)$", file.relative_to(self.path).parts[0])
            found = file.stat()
            place = str(file.relative_to(self.path))
            rows.append(
                {"trial": int(trial[1]) if trial else None, "file": place, "bytes": found.st_size, "saved": found.st_mtime}
            )
        return pd.DataFrame(rows, columns=["trial", "file", "bytes", "saved"])

    @cached_property
    def events(self) -> pd.DataFrame:
        """What happened when: sessions that began and ended, trials that did, in seconds since 1970."""
        rows = []
        for session in self.search["sessions"]:
            rows += [(session["started"], None, "session began"), (session["ended"], None, f"session {session['how']}")]
        for table, words in ((self.trials, "trial"), (self.confirmations, "fresh seed")):
            for _, one in table.iterrows():
                rows += [
                    (one["started"], one["number"], f"{words} began"),
                    (one["finished"], one["number"], f"{words}: {one['ended']}"),
                ]
        table = pd.DataFrame(rows, columns=["time", "number", "what"]).dropna(subset=["time"])
        return table.sort_values("time", kind="stable", ignore_index=True)

    @cached_property
    def schedules(self) -> pd.DataFrame:
        """Of population based training: the varied settings of each trial from ``step`` on, one row a change, by number and
        step. ``donor``: whose weights the trial took over there, missing in its first row. Empty where none did.
        """
        rows, changed = [], False
        for path in sorted(self.path.glob("trial_*")):
            record = self._read(path / "trial.json")
            if record and "config" in record:
                own = {"number": record["number"]}
                rows.append({**own, "step": 0, "donor": None, **self._settings(record["config"])})
                for change in self._changes(path):
                    changed = True
                    settings = self._settings(change["settings"])
                    rows.append({**own, "step": change["step"], "donor": change["donor"], **settings})
        return pd.DataFrame(rows if changed else [])

    @cached_property
    def best(self) -> int | None:
        """The number of the winner: the confirmed one, else the best by the objective of those that ended by themselves."""
        trials = set(self.trials["number"])
        confirmation = self._read(self.path / "best" / "confirmation.json") or {}
        tried = [one for one in confirmation.get("candidates", []) if one["trial"] in trials]
        for candidate in tried:
            figures = [row.get(self.search["goal"]["metric"]) for row in candidate["confirmed"]]
            if figures and all(self.reached(value) for value in figures):
                return int(candidate["trial"])
        if tried:
            return int(tried[0]["trial"])
        whole = self.trials[self.trials["ended"].isin(COMPLETE)].dropna(subset=[self.objective])
        return None if whole.empty else int(whole.sort_values(self.objective, ascending=self.minimizes).iloc[0]["number"])

    def reports(self, number: int) -> pd.DataFrame:
        """The trial's reports, one row each, in order of ``step``."""
        return self._rows(self.path / f"trial_{number:04d}")

    def confirmation_reports(self, number: int) -> pd.DataFrame:
        """The reports of a trial on a fresh seed, by its number among ``confirmations``."""
        return self._rows(self.path / "confirmation" / f"trial_{number:04d}")

    @property
    def confirmed(self) -> pd.DataFrame:
        """Of ``confirmations``, the winner's that have come to their end."""
        table = self.confirmations
        return table if table.empty else table[(table["confirms"] == self.best) & table["ended"].notna()]

    @property
    def final(self) -> Path:
        """The folder of the winner's final training."""
        return self.path / "final" / f"trial_{self.best or 0:04d}"

    @cached_property
    def final_reports(self) -> pd.DataFrame:
        """The reports of the winner's final training; empty where it has not come to its end."""
        record = self._read(self.final / "trial.json") or {}
        return self._rows(self.final) if record.get("ended") == "budget" else pd.DataFrame()

    def training_curve(self, number: int) -> pd.DataFrame:
        """``step``, ``train_loss``, ``train_accuracy`` and ``train_grad_norm``, one row every ten training steps."""
        return training_curve(self.reports(number))

    def lineage(self, number: int) -> list[tuple[int, int]]:
        """From which step on the weights that the trial has now were trained in which trial: (step, trial), from step 0."""
        legs: list[tuple[int, int]] = []
        end = float("inf")
        while True:
            mine = self.schedules[(self.schedules["number"] == number) & (self.schedules["step"] < end)]
            if mine.empty:
                return legs
            last = mine.iloc[-1]
            legs.insert(0, (int(last["step"]), number))
            if pd.isna(last["donor"]):
                return legs
            number, end = int(last["donor"]), last["step"]

    def _settings(self, config: Mapping[str, Any]) -> dict[str, Any]:
        return {name: config[name] for name in self.varied if name in config}

    def _changes(self, trial: Path) -> list[dict[str, Any]]:
        if not (trial / "schedule.json").exists():
            return []
        return [line for line in self._lines(trial / "schedule.json") if {"settings", "donor"} <= line.keys()]

    def _read_trials(self, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
        """``trials`` and ``histories`` of a folder of trials."""
        rows, histories = [], []
        for path in sorted(folder.glob("trial_*")):
            record = self._read(path / "trial.json")
            if not record or not isinstance(record.get("config"), dict) or not isinstance(record.get("number"), int):
                continue
            reports = self._columns(path, curves=False)
            reports.pop("ended", None)
            last = {name: values[-1] for name, values in reports.items()}
            own = {name: record["config"].get(name) for name in ("trial", "seed", "known")}
            settings = {
                **record["config"],
                **{n: v for _, change in record["config"].get("schedule", []) for n, v in change.items()},
            }
            for change in self._changes(path)[-1:]:
                settings = change["settings"]
            rows.append({**settings, **own, **last, **{name: record.get(name) for name in RECORD_FIELDS}})
            if reports:
                figures = {name: values for name, values in reports.items() if not isinstance(values[-1], list)}
                histories.append(pd.DataFrame({**figures, "number": record["number"]}))
        table = pd.DataFrame(rows)
        always = [*RECORD_FIELDS, *self.varied, "known", "seed", "step", self.objective, str(self.search["goal"]["metric"])]
        table = table.reindex(columns=list(dict.fromkeys([*table.columns, *always])))
        return table, pd.concat(histories, ignore_index=True) if histories else pd.DataFrame(columns=["number", "step"])

    def _rows(self, folder: Path) -> pd.DataFrame:
        return pd.DataFrame(self._columns(folder))

    def _columns(self, folder: Path, curves: bool = True) -> dict[str, list[Any]]:
        """A trial's reports by step, of a step reported twice the later one, with the training ``curves`` or without."""
        by_step = {row["step"]: row for row in self._lines(folder / "result.json")}
        rows = [by_step[step] for step in sorted(by_step)]
        names = dict.fromkeys([*rows[-1], *sorted(set().union(*rows))]) if rows else {}
        return {name: [row.get(name) for row in rows] for name in names if curves or not name.startswith("train_")}

    def _lines(self, file: Path) -> list[dict[str, Any]]:
        rows, unreadable = read_rows(file)
        for number in unreadable:
            self.note(f"{file.relative_to(self.path)}: line {number} cannot be read")
        return rows

    def _read(self, file: Path) -> dict[str, Any] | None:
        try:
            content = json.loads(file.read_bytes())
            return content if isinstance(content, dict) else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError):
            self.note(f"{file.relative_to(self.path)} cannot be read")
            return None

    def note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def _check(search: dict[str, Any]) -> None:
    """Raises one or another exception where ``search.json`` is not as a search writes it."""
    fixed, goal = search["fixed"], search["goal"]
    needed = {"lstm": ("model", "input_length"), "gan": ("dataset",)}[search["experiment"]]
    sound = (
        all(isinstance(fixed[name], str | int) for name in needed)
        and isinstance(search["options"], dict)
        and all(isinstance(one["distribution"], str) for one in search["space"].values())
        and bool(search["objectives"])
        and all(isinstance(one["metric"], str) and one["mode"] in ("min", "max") for one in search["objectives"])
        and isinstance(goal["metric"], str)
        and goal["at"] in ("least", "most")
        and math.isfinite(goal["bound"])
        and bool(search["sessions"])
    )
    for session in search["sessions"]:
        sound &= math.isfinite(session["started"]) and math.isfinite(session["ended"] or 0)
        session.setdefault("command", "")
        session.setdefault("how", "unknown")
        sound &= isinstance(session["command"], str)
    if not sound:
        raise ValueError("search.json")


def readable(name: str) -> str:
    """A file's name as text; what is no text in it becomes a replacement character."""
    return os.fsencode(name).decode("utf-8", "replace")


RECORD_FIELDS = ("number", "ended", "error", "started", "finished")


def training_curve(reports: pd.DataFrame) -> pd.DataFrame:
    """The training points that a trial's reports carry, one row every ten training steps."""
    if reports.empty:
        return pd.DataFrame()
    names = [name for name in reports if str(name).startswith("train_")]
    curve = reports[["step", *names]].explode(names, ignore_index=True)
    # The last point of a report lies at the last multiple before its end, but for a trial that is shorter than that.
    ends = curve["step"].where(curve["step"] < RECORD_EVERY, curve["step"] // RECORD_EVERY * RECORD_EVERY)
    place = curve.groupby("step").cumcount()
    count = curve.groupby("step")["step"].transform("size")
    curve["step"] = ends - RECORD_EVERY * (count - 1 - place)
    return curve.astype(float)


def find_runs(folder: Path) -> tuple[list[Run], list[str]]:
    """Every run directly under ``folder``, by the time it started; and of each folder that looks like one, why it is none."""
    runs, refused = [], []
    for path in sorted(folder.glob("*/search.json")):
        try:
            runs.append(Run.open(path.parent))
        except NotARun as error:
            refused.append(str(error))
    return sorted(runs, key=lambda run: run.search["sessions"][0]["started"]), refused
