"""A run as everyone reads it: the console's verdict, the checks and the report.

What is missing on disk is empty here. ``search.json`` is read at once, trials and tables when
somebody asks for them: the tables of every report (``records.tables``) need pandas. Nothing is
written.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from records.commands import Commands
from records.finished_trial import FinishedTrial
from records.objective import Goal, Objective
from records.outcome import CUT_OFF, ERROR, STOPPED_EARLY, Outcome, register
from records.places import shown
from records.run_directory import RunDirectory
from records.search_json import WRONG, NotARun, parameters_of, read_search
from records.store import read_json

if TYPE_CHECKING:
    import pandas as pd

NOT_ENDED = str(None)
NO_GOAL = {"metric": "objective", "at": "least", "bound": math.inf}


class Run:
    """One run.

    Attributes:
        search: ``search.json``.
        notes: What is missing or could not be read, a sentence each.
        options: The command line's options.
        experiment: The experiment's name.
        time_attr: The entry of a report in which the search counts cost, such as step. Its rungs
            are in the same unit.
        fixed: The settings that are the same in every trial.
        parameters: The parameters that the search varied, by name; ``varied`` are the names.
        objectives: All objectives; the search ranks its trials by the first, ``objective``. A run
            that was killed before it recorded them has a placeholder for it and for the ``goal``.
    """

    def __init__(self, path: Path, search: Mapping[str, Any] | None = None) -> None:
        self.path, self.directory = path, RunDirectory(path)
        self.search = self.directory.read() or {} if search is None else search
        self.notes: list[str] = []
        self.options: Mapping[str, Any] = self.search.get("options", {})
        self.experiment = str(self.search.get("experiment", ""))
        self.time_attr = str(self.search.get("time_attr", "step"))
        self.fixed: Mapping[str, Any] = self.search.get("fixed", {})
        self.parameters = parameters_of(self.search)
        self.varied = list(self.parameters)
        self.objectives = [Objective(**one) for one in self.search.get("objectives", [])]
        self.objective = (self.objectives or [Objective("objective", "max")])[0]
        self.metric, self.minimizes = self.objective.metric, self.objective.mode == "min"
        self.goal = Goal(**self.search.get("goal", NO_GOAL))
        register(*(Outcome(**one) for one in self.search.get("outcomes", [])))

    @classmethod
    def open(cls, path: Path) -> "Run":
        """The run in a folder. Raises NotARun if it has no readable ``search.json`` of ours."""
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

    @cached_property
    def commands(self) -> Commands:
        """The commands that follow from this run."""
        return Commands(self.search, self.path.name)

    @cached_property
    def finished(self) -> list[FinishedTrial]:
        """The trials that have ended, by number, without those that the search's end cut off."""
        return self._finished(self.directory)

    def _finished(self, directory: RunDirectory) -> list[FinishedTrial]:
        return [one for one in self._begun(directory) if one.ended not in (NOT_ENDED, *CUT_OFF)]

    def _trained(self, directory: RunDirectory) -> list[FinishedTrial]:
        """The trainings after the search that have ended; one that broke has no result, whatever
        it reported before."""
        return [
            replace(one, last={}, loss=math.inf) if one.ended == ERROR.name else one
            for one in self._finished(directory)
        ]

    def _begun(self, directory: RunDirectory) -> list[FinishedTrial]:
        return [
            FinishedTrial.read(trial, record, self.varied, self.time_attr, self.objective)
            for trial, record in directory.trials()
        ]

    def at_rung(self, rung: float) -> dict[int, float]:
        """The metric that each trial has on a rung, by number, as early stopping compares it.

        Trials that have not ended count; an audited trial counts up to the rung at which it would
        have been stopped.
        """
        return {
            one.number: self.value(loss)
            for one in self._begun(self.directory)
            if math.isfinite(loss := one.loss_at(rung))
            and (one.audited is None or rung <= one.audited)
        }

    @cached_property
    def complete(self) -> list[FinishedTrial]:
        """The trials whose metrics cover their whole budget, best first."""
        complete = [one for one in self.finished if one.complete]
        return sorted(complete, key=lambda one: (one.loss, one.number))

    @cached_property
    def ranked(self) -> list[FinishedTrial]:
        """``complete``, then the trials that were stopped early, those that got farther first."""
        stopped = [
            one
            for one in self.finished
            if one.ended == STOPPED_EARLY.name and math.isfinite(one.loss)
        ]
        stopped.sort(key=lambda one: (-one.last[self.time_attr], one.loss, one.number))
        return self.complete + stopped

    @cached_property
    def ranks(self) -> dict[int, int]:
        """The place of each trial among ``ranked``, by number; the best has 1."""
        return {one.number: place for place, one in enumerate(self.ranked, start=1)}

    @property
    def best_quarter(self) -> list[FinishedTrial]:
        """The first quarter of ``ranked``."""
        return self.ranked[: math.ceil(len(self.ranked) / 4)]

    @cached_property
    def winner(self) -> FinishedTrial | None:
        """The trial whose settings are in ``best/``, or else the best complete trial."""
        number = read_json(self.path / "best" / "metrics.json").get("trial")
        confirmed = [one for one in self.finished if one.number == number]
        return next(iter(confirmed + self.complete), None)

    @property
    def best(self) -> int | None:
        """The winner's number."""
        return None if self.winner is None else self.winner.number

    @cached_property
    def on_fresh_seeds(self) -> dict[int, dict[int, FinishedTrial]]:
        """By trial and seed: the trainings of its settings on fresh seeds that have ended."""
        found: dict[int, dict[int, FinishedTrial]] = {}
        for one in self._trained(self.directory.confirmation()):
            if {"confirms", "seed"} <= one.config.keys():  # else somebody edited the record
                found.setdefault(one.config["confirms"], {})[one.config["seed"]] = one
        return found

    @property
    def fresh_seeds(self) -> list[FinishedTrial]:
        """The winner's trials on fresh seeds that have ended."""
        return [] if self.best is None else [*self.on_fresh_seeds.get(self.best, {}).values()]

    @property
    def finalists(self) -> list[FinishedTrial]:
        """The trials whose settings were trained on fresh seeds, the best by the search first."""
        return [one for one in self.ranked if one.number in self.on_fresh_seeds]

    @cached_property
    def ablations(self) -> list[FinishedTrial]:
        """The trials between the hand-tuned settings and the winner's, in the path's order."""
        if self.winner is None:
            return []
        every = self._trained(self.directory.ablation(self.winner.number))
        path = [one for one in every if "ablation" in one.config]
        return sorted(path, key=lambda one: one.config["ablation"])

    def value(self, loss: float) -> float:
        """A loss as a value of the objective's metric."""
        return loss if self.minimizes else -loss

    def smaller_is_better(self, metric: str) -> bool:
        """Whether small values of the objective's or the goal's metric are good."""
        return self.minimizes if metric == self.metric else self.goal.at == "most"

    @property
    def more_samples(self) -> int:
        """A ``--num-samples`` for more trials: the run's own if it is unfinished, else half as many
        again."""
        ended, own = len(self.finished), int(self.options.get("num_samples", 0))
        return own if ended < own else ended + max(1, ended // 2)

    @property
    def more_trials(self) -> tuple[str, ...]:
        """Flags of ``--resume`` for more trials; an unfinished run needs none."""
        count = self.more_samples
        unfinished = count == self.options.get("num_samples")
        return () if unfinished else ("--num-samples", str(count))

    @cached_property
    def trials(self) -> "pd.DataFrame":
        """One row a trial: its record, the settings it has now, and its last report's metrics.

        A metric that has the name of a setting or of ``records.tables.RESERVED`` is in
        ``histories`` only. The choice None is the word None; a setting that does not apply is NaN.
        """
        return self._tables[0]

    @cached_property
    def histories(self) -> "pd.DataFrame":
        """Every report of every trial, by ``number`` and ``step``, without training curves."""
        return self._tables[1]

    @cached_property
    def _tables(self) -> "tuple[pd.DataFrame, pd.DataFrame]":
        from records.tables import read_trials

        return read_trials(self, self.path)

    @cached_property
    def confirmations(self) -> "pd.DataFrame":
        """The trials on fresh seeds, as in ``trials``; ``confirms`` is the trial they repeat."""
        from records.tables import read_trials

        return read_trials(self, self.path / "confirmation")[0]

    @property
    def confirmed(self) -> "pd.DataFrame":
        """The rows of ``confirmations`` that belong to the winner and have ended."""
        table = self.confirmations
        if table.empty:
            return table
        return table[(table["confirms"] == self.best) & table["ended"].notna()]

    @cached_property
    def schedules(self) -> "pd.DataFrame":
        """The settings of each trial over time; see ``records.tables.schedules``."""
        from records.tables import schedules

        return schedules(self)

    def reports(self, number: int) -> "pd.DataFrame":
        """A trial's reports, one row each, in order of ``step``."""
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

    def shown_path(self, *parts: str) -> str:
        """A path in the run directory, as one would type it in the current folder, or its URI."""
        return shown(self.path.joinpath(*parts))

    def note(self, note: str) -> None:
        """Add to ``notes``, once."""
        if note not in self.notes:
            self.notes.append(note)


def readable(name: str) -> str:
    """A file's name as text; bytes that are no text become a replacement character."""
    return os.fsencode(name).decode("utf-8", "replace")


def find_runs(folder: Path) -> tuple[list[Run], list[str]]:
    """The runs directly under ``folder`` in order of their start, and why others were refused."""
    runs, refused = [], []
    for path in sorted(folder.glob("*/search.json")):
        try:
            runs.append(Run.open(path.parent))
        except NotARun as error:
            refused.append(str(error))
    return sorted(runs, key=lambda run: run.search["sessions"][0]["started"]), refused
