"""What the checks look at: a run directory read once, without Ray, whatever state it is in."""

import ast
import math
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from command_line import HIDDEN, from_here, hide_in_command
from search_spaces import Parameter
from tuning.experiment import Goal, Objective
from tuning.run_directory import COMPLETE, CUT_OFF, RunDirectory, TrialDirectory, TrialRecord, read_json, resume_command

Row = dict[str, Any]


@dataclass(frozen=True)
class Tried:
    """A trial that has ended.

    Attributes:
        config, settings: As it ended; ``settings`` of the parameters that the search varied.
        last: Its last report, without the training curves; empty where there is none.
        curve: Cost and loss at each report, shape (reports, 2): what a large run can hold a million of.
        loss: The objective of the last report as something to minimize; infinite where there is none.
        audited: The step at which the scheduler would have stopped it, had it not been let run on to see.
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
        """Whether its figure covers its whole budget."""
        return self.ended in COMPLETE and math.isfinite(self.loss)


class Reports(NamedTuple):
    """A trial's reports as the checks need them.

    Attributes:
        columns: Cost and objective of each, not a number where there is none; (n, 2).
        last: The whole of the last one.
    """

    columns: NDArray[np.float64]
    last: Row

    @classmethod
    def of(cls, rows: list[Row], cost: str, metric: str) -> "Reports":
        columns = [[math.nan if row.get(name) is None else row[name] for name in (cost, metric)] for row in rows]
        return cls(np.array(columns, dtype=np.float64).reshape(-1, 2), rows[-1] if rows else {})


class Evidence:
    """A run as the checks read it. What is missing on disk is empty here.

    ``read`` gives a trial's reports, where they have been read already.

    Attributes:
        parameters: What the search varied, by name.
        objective, goal: None where ``search.json`` does not name them.
        trials: Those that have ended, by number; not those that the end of the search cut off.
    """

    def __init__(self, run: RunDirectory, read: Callable[[TrialDirectory], Reports] | None = None) -> None:
        self.run = run
        self._read = read or (lambda directory: Reports.of(directory.rows(), self.time_attr, self.metric))
        self.search = run.read() or {}
        self.options: Mapping[str, Any] = self.search.get("options", {})
        self.parameters = {
            name: Parameter(
                _distribution(one["distribution"]), one["reason"], tuple(one["only_if"]) if one.get("only_if") else None
            )
            for name, one in self.search.get("space", {}).items()
        }
        self.objective = Objective(**self.search["objectives"][0]) if self.search.get("objectives") else None
        self.goal = Goal(**self.search["goal"]) if self.search.get("goal") else None
        self.trials = self._ended(run)

    def _ended(self, run: RunDirectory) -> list[Tried]:
        return [
            self._tried(replace(record, config=directory.config(record)), self._read(directory))
            for directory, record in run.trials()
            if record.ended not in (None, *CUT_OFF)
        ]

    def _tried(self, record: TrialRecord, reports: Reports) -> Tried:
        costs, figures = reports.columns.T
        losses = self.objective.losses(figures) if self.objective else np.full_like(costs, math.inf)
        curve = np.column_stack([costs, losses])
        return Tried(
            number=record.number,
            config=record.config,
            settings={name: record.config[name] for name in self.parameters if name in record.config},
            ended=str(record.ended),
            error=record.error,
            last={name: value for name, value in reports.last.items() if not isinstance(value, list)},
            curve=curve,
            loss=float(curve[-1, 1]) if len(curve) else math.inf,
            audited=getattr(record, "audited", None),
        )

    @cached_property
    def complete(self) -> list[Tried]:
        """The trials whose figures cover their whole budget, best first."""
        return sorted((one for one in self.trials if one.complete), key=lambda one: (one.loss, one.number))

    @cached_property
    def ranked(self) -> list[Tried]:
        """``complete``, then the trials that were stopped early, those that came farther first."""
        stopped = [one for one in self.trials if one.ended == "stopped early" and math.isfinite(one.loss)]
        return self.complete + sorted(stopped, key=lambda one: (-one.last[self.time_attr], one.loss, one.number))

    @property
    def best_quarter(self) -> list[Tried]:
        """Of ``ranked``."""
        return self.ranked[: math.ceil(len(self.ranked) / 4)]

    @cached_property
    def winner(self) -> Tried | None:
        """The trial whose settings are in ``best/``, else the best of those that used their budget."""
        number = read_json(self.run.path / "best" / "metrics.json").get("trial")
        return next((one for one in self.trials if one.number == number), self.complete[0] if self.complete else None)

    @cached_property
    def confirmations(self) -> list[Tried]:
        """The winner's trials on fresh seeds that have come to their end."""
        if self.winner is None:
            return []
        every = self._ended(self.run.confirmation())
        return [one for one in every if one.config.get("confirms") == self.winner.number]

    @cached_property
    def ablations(self) -> list[Tried]:
        """The trials on the path from the hand-tuned settings to the winner, in its order."""
        if self.winner is None:
            return []
        every = [one for one in self._ended(self.run.ablation(self.winner.number)) if "ablation" in one.config]
        return sorted(every, key=lambda one: one.config["ablation"])

    def value(self, loss: float) -> float:
        """A loss as the objective's own figure."""
        return -loss if self.objective is not None and self.objective.mode == "max" else loss

    @property
    def time_attr(self) -> str:
        """The entry of a report in which the search counts cost: step or work."""
        return str(self.search.get("time_attr", "step"))

    @property
    def metric(self) -> str:
        """The objective's name."""
        return self.objective.metric if self.objective else "objective"

    @property
    def half_as_many_again(self) -> int:
        """A ``--num-samples`` that goes on with half as many trials as there are."""
        return len(self.trials) + max(1, len(self.trials) // 2)

    def resume(self, *flags: str) -> str:
        """The command that goes on with this run."""
        return resume_command(self._script, self.run.path.name, str(self.options.get("storage_path", "runs")), *flags)

    def again(self, *changes: str, flags: tuple[str, ...] = (), less: tuple[str, ...] = ()) -> str:
        """The command of a new search like this one, with ``changes`` to its space, each as ``--set`` takes it; ``flags`` take
        the place of its own, and those of ``less`` are left out."""
        options, own_changes = _split_command(self._command[2:], {"--set", "--name", "--resume", *flags, *less})
        renamed = {change.partition("=")[0]: change for change in (*own_changes, *changes)}
        given = ["--set", *renamed.values()] if renamed else []
        return shlex.join(["python", self._script, *options, *given, *flags])

    def path(self, *parts: str) -> str:
        """A path in the run directory, as one would type it here."""
        return from_here(self.run.path.joinpath(*parts))

    @property
    def _command(self) -> list[str]:
        sessions = self.search.get("sessions") or [{}]
        try:
            return shlex.split(hide_in_command(str(sessions[0].get("command", ""))))
        except ValueError:  # a quote that is never closed: the file was changed by hand
            return []

    @property
    def _script(self) -> str:
        return next((word for word in self._command[1:2]), f"tune_{self.search.get('experiment', 'lstm')}.py")


def _distribution(text: str) -> BaseDistribution:
    """A distribution from its text in ``search.json``: FloatDistribution(high=0.1, log=True, low=0.0001, step=None)."""
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    classes = {one.__name__: one for one in (CategoricalDistribution, FloatDistribution, IntDistribution)}
    arguments = {str(one.arg): ast.literal_eval(one.value) for one in call.keywords}
    return classes[call.func.id](**arguments)


def _split_command(words: list[str], dropped: set[str]) -> tuple[list[str], list[str]]:
    """A command's options without those ``dropped``, and the arguments of its ``--set``."""
    kept: list[str] = []
    changes: list[str] = []
    option = ""
    if any(HIDDEN in word for word in words):  # of a database's URL only, which is read from the environment as well
        dropped = {*dropped, "--optuna-storage"}
    for word in words:
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            if option == "--set" and equals:
                changes.append(value)
        elif option == "--set":
            changes.append(word)
        if option not in dropped:
            kept.append(word)
    return kept, changes
