"""A run as everyone reads it: the console's verdict, the checks and the report. What is missing on
disk is empty here.

Typed records are read at once; tables of every report (``records.tables``) when somebody asks for
one. Nothing is written.
"""

import math
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from command_line import from_here, hide_in_command
from records.commands import resume_command, split_command
from records.objective import Goal, Objective
from records.outcome import COMPLETE, CUT_OFF, STOPPED_EARLY, Outcome, register
from records.run_directory import RunDirectory
from records.search_json import WRONG, NotARun, parameters_of, read_search
from records.store import read_json
from records.trial_directory import TrialDirectory, TrialRecord

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]


@dataclass(frozen=True)
class FinishedTrial:
    """A trial that has ended.

    Attributes:
        config, settings: As it ended; ``settings`` of the parameters that the search varied.
        last: Its last report, without the training curves; empty where there is none.
        curve: Cost and loss at each report, shape (reports, 2): what a large run can hold a million
            of.
        loss: The objective of the last report as something to minimize; infinite where there is
            none.
        audited: The step at which the scheduler would have stopped it, had it not been let run on
            to see.
    """

    number: int
    config: Mapping[str, Any]
    settings: dict[str, Any]
    ended: str
    error: str | None
    last: Row
    curve: NDArray[np.float64]
    loss: float
    audited: float | None

    @property
    def complete(self) -> bool:
        """Whether its metrics cover its whole budget."""
        return self.ended in COMPLETE and math.isfinite(self.loss)


class Run:
    """One run.

    Attributes:
        search: ``search.json``.
        notes: What is missing or could not be read, a sentence each.
        parameters: What the search varied, by name.
        objectives, goal: None, or empty, where ``search.json`` does not name them.
    """

    def __init__(self, path: Path, search: Mapping[str, Any] | None = None) -> None:
        self.path, self.directory = path, RunDirectory(path)
        self.search = self.directory.read() or {} if search is None else search
        self.notes: list[str] = []
        self.options: Mapping[str, Any] = self.search.get("options", {})
        self.parameters = parameters_of(self.search)
        self.objectives = [Objective(**one) for one in self.search.get("objectives", [])]
        self.goal = Goal(**self.search["goal"]) if self.search.get("goal") else None
        register(*(Outcome(**one) for one in self.search.get("outcomes", [])))

    @classmethod
    def open(cls, path: Path) -> "Run":
        """Raises NotARun if there is no readable ``search.json`` of ours."""
        try:
            return cls(path, read_search(path))
        except NotARun:
            raise
        except WRONG:
            raise NotARun(
                f"{path}/search.json is not one that this project wrote, or it is cut off"
            ) from None

    @property
    def name(self) -> str:
        """The folder's name, to be read."""
        return readable(self.path.name)

    @property
    def experiment(self) -> str:
        return str(self.search.get("experiment", ""))

    @property
    def fixed(self) -> Mapping[str, Any]:
        """The settings that are the same in every trial."""
        found: Mapping[str, Any] = self.search.get("fixed", {})
        return found

    @property
    def varied(self) -> list[str]:
        """The parameters that the search varied."""
        return list(self.parameters)

    @property
    def objective(self) -> Objective | None:
        """The first of the objectives."""
        return self.objectives[0] if self.objectives else None

    @property
    def metric(self) -> str:
        """The objective's metric."""
        return self.objective.metric if self.objective else "objective"

    @property
    def minimizes(self) -> bool:
        return self.objective is not None and self.objective.mode == "min"

    @property
    def time_attr(self) -> str:
        """The entry of a report in which the search counts cost, such as step; its rungs are in the same unit."""
        return str(self.search.get("time_attr", "step"))

    @cached_property
    def finished(self) -> list[FinishedTrial]:
        """The trials that have ended, by number; not those that the end of the search cut off."""
        return self._finished(self.directory)

    def _finished(self, directory: RunDirectory) -> list[FinishedTrial]:
        return [
            self._trial(replace(record, config=trial.config(record)), *self._reports(trial))
            for trial, record in directory.trials()
            if record.ended not in (None, *CUT_OFF)
        ]

    def _reports(self, trial: TrialDirectory) -> tuple[NDArray[np.float64], Row]:
        """Cost and objective of each of a trial's reports, (n, 2), not a number if there is none;
        and the whole last report.

        From the tables if they have been read already.
        """
        columns = [self.time_attr, self.metric]
        if "histories_by_trial" in self.__dict__ and trial.path.parent == self.path:
            table = self.histories_by_trial.get(-1 if trial.number is None else trial.number)
            if table is not None:
                last = {
                    str(name): None if value != value else value
                    for name, value in table.iloc[-1].items()
                }
                return table.reindex(columns=columns).to_numpy(np.float64, na_value=np.nan), last
        rows = trial.rows()
        numbers = [
            [math.nan if row.get(name) is None else row[name] for name in columns] for row in rows
        ]
        return np.array(numbers, dtype=np.float64).reshape(-1, 2), rows[-1] if rows else {}

    def _trial(self, record: TrialRecord, reports: NDArray[np.float64], last: Row) -> FinishedTrial:
        costs, values = reports.T
        losses = self.objective.losses(values) if self.objective else np.full_like(costs, math.inf)
        curve = np.column_stack([costs, losses])
        return FinishedTrial(
            number=record.number,
            config=record.config,
            settings={
                name: record.config[name] for name in self.parameters if name in record.config
            },
            ended=str(record.ended),
            error=record.error,
            last={name: value for name, value in last.items() if not isinstance(value, list)},
            curve=curve,
            loss=float(curve[-1, 1]) if len(curve) else math.inf,
            audited=getattr(record, "audited", None),
        )

    @cached_property
    def complete(self) -> list[FinishedTrial]:
        """The trials whose metrics cover their whole budget, best first."""
        return sorted(
            (one for one in self.finished if one.complete), key=lambda one: (one.loss, one.number)
        )

    @cached_property
    def ranked(self) -> list[FinishedTrial]:
        """``complete``, then the trials that were stopped early, those that came farther first."""
        stopped = [
            one
            for one in self.finished
            if one.ended == STOPPED_EARLY.name and math.isfinite(one.loss)
        ]
        return self.complete + sorted(
            stopped, key=lambda one: (-one.last[self.time_attr], one.loss, one.number)
        )

    @property
    def best_quarter(self) -> list[FinishedTrial]:
        """The first quarter of ``ranked``."""
        return self.ranked[: math.ceil(len(self.ranked) / 4)]

    @cached_property
    def winner(self) -> FinishedTrial | None:
        """The trial whose settings are in ``best/``, else the best of those that used their budget."""
        number = read_json(self.path / "best" / "metrics.json").get("trial")
        return next(
            (one for one in self.finished if one.number == number),
            self.complete[0] if self.complete else None,
        )

    @property
    def best(self) -> int | None:
        """The winner's number."""
        return None if self.winner is None else self.winner.number

    @cached_property
    def fresh_seeds(self) -> list[FinishedTrial]:
        """The winner's trials on fresh seeds that have ended."""
        if self.winner is None:
            return []
        every = self._finished(self.directory.confirmation())
        return [one for one in every if one.config.get("confirms") == self.winner.number]

    @cached_property
    def ablations(self) -> list[FinishedTrial]:
        """The trials on the path from the hand-tuned settings to the winner, in its order."""
        if self.winner is None:
            return []
        every = [
            one
            for one in self._finished(self.directory.ablation(self.winner.number))
            if "ablation" in one.config
        ]
        return sorted(every, key=lambda one: one.config["ablation"])

    def value(self, loss: float) -> float:
        """A loss as the objective's own metric."""
        return -loss if self.objective is not None and self.objective.mode == "max" else loss

    def reached(self, value: float | None) -> bool:
        """Whether a value of the goal's metric reaches the goal."""
        return (
            self.goal is not None
            and value is not None
            and value == value
            and self.goal.reached({self.goal.metric: value})
        )

    @cached_property
    def trials(self) -> "pd.DataFrame":
        """One row a trial: number, ended, baseline, the settings it has now, seed, and the metrics of its last report."""
        return self._tables[0]

    @cached_property
    def histories(self) -> "pd.DataFrame":
        """Every report of every trial, one row each, by ``number`` and ``step``, without the training curves they carry."""
        return self._tables[1]

    @cached_property
    def histories_by_trial(self) -> "dict[int, pd.DataFrame]":
        """``histories`` of each trial, by its number."""
        return {int(str(number)): table for number, table in self.histories.groupby("number")}

    @cached_property
    def _tables(self) -> "tuple[pd.DataFrame, pd.DataFrame]":
        from records.tables import read_trials

        return read_trials(self, self.path)

    @cached_property
    def confirmations(self) -> "pd.DataFrame":
        """The trials on fresh seeds, as in ``trials``; ``confirms`` is the number of the trial they repeat."""
        from records.tables import read_trials

        return read_trials(self, self.path / "confirmation")[0]

    @property
    def confirmed(self) -> "pd.DataFrame":
        """The rows of ``confirmations`` that belong to the winner and have ended."""
        table = self.confirmations
        return (
            table
            if table.empty
            else table[(table["confirms"] == self.best) & table["ended"].notna()]
        )

    @cached_property
    def schedules(self) -> "pd.DataFrame":
        from records.tables import schedules

        return schedules(self)

    def reports(self, number: int) -> "pd.DataFrame":
        """The trial's reports, one row each, in order of ``step``."""
        from records.tables import reports

        return reports(self, self.directory.trial(number))

    def confirmation_reports(self, number: int) -> "pd.DataFrame":
        """The reports of a trial on a fresh seed, by its number among ``confirmations``."""
        from records.tables import reports

        return reports(self, self.directory.confirmation().trial(number))

    @property
    def final(self) -> Path:
        """The folder of the winner's final training."""
        return self.directory.final().trial(self.best or 0).path

    @cached_property
    def final_reports(self) -> "pd.DataFrame":
        """The reports of the winner's final training; empty if it has not ended."""
        from records.tables import final_reports

        return final_reports(self)

    @property
    def half_as_many_again(self) -> int:
        """A ``--num-samples`` that goes on with half as many trials as there are."""
        return len(self.finished) + max(1, len(self.finished) // 2)

    def resume(self, *flags: str) -> str:
        """The command that goes on with this run."""
        return resume_command(
            self.script, self.path.name, str(self.options.get("storage_path", "runs")), *flags
        )

    def again(self, *changes: str, flags: tuple[str, ...] = (), less: tuple[str, ...] = ()) -> str:
        """The command of a new search like this one, with ``changes`` to its space, each as
        ``--set`` takes it; ``flags`` take the place of its own, and those of ``less`` are left
        out."""
        options, own_changes = split_command(
            self._command[2:], {"--set", "--name", "--resume", *flags, *less}
        )
        kept = () if "--set" in less else own_changes
        renamed = {change.partition("=")[0]: change for change in (*kept, *changes)}
        given = ["--set", *renamed.values()] if renamed else []
        return shlex.join(["python", self.script, *options, *given, *flags])

    def shown_path(self, *parts: str) -> str:
        """A path in the run directory, as one would type it here."""
        return from_here(self.path.joinpath(*parts))

    def note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    @property
    def _command(self) -> list[str]:
        sessions = self.search.get("sessions") or [{}]
        try:
            return shlex.split(hide_in_command(str(sessions[0].get("command", ""))))
        except ValueError:  # a quote that is never closed: the file was changed by hand
            return []

    @property
    def script(self) -> str:
        """The script that searched, as one would type it here."""
        return next((word for word in self._command[1:2]), f"tune_{self.experiment}.py")


def readable(name: str) -> str:
    """A file's name as text; what is no text in it becomes a replacement character."""
    return os.fsencode(name).decode("utf-8", "replace")


def find_runs(folder: Path) -> tuple[list[Run], list[str]]:
    """Every run directly under ``folder``, by the time it started; and of each folder that looks like one, why it is none."""
    runs, refused = [], []
    for path in sorted(folder.glob("*/search.json")):
        try:
            runs.append(Run.open(path.parent))
        except NotARun as error:
            refused.append(str(error))
    return sorted(runs, key=lambda run: run.search["sessions"][0]["started"]), refused
