"""A trial that has ended, as typed values that the checks, the verdict and the report read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from records.objective import Objective
from records.outcome import COMPLETE, CONVERGED, STOPPED_EARLY
from records.trial_directory import TrialDirectory, TrialRecord


@dataclass(frozen=True)
class FinishedTrial:
    """A trial that has ended.

    Attributes:
        config: Its config at the end, after all changes of its settings.
        started: When it began, in seconds since 1970.
        settings: The part of ``config`` that the search varied.
        last: Its last report, without the training curves; empty if there is no report.
        curve: Cost and loss at each report, shape (reports, 2).
        loss: The loss of the last report; infinite if there is no report.
        by_seed: The objective on each seed of a trial of several seeds; else empty.
        audited: The cost at which the scheduler would have stopped it, if it was audited.
    """

    number: int
    config: Mapping[str, Any]
    started: float
    settings: dict[str, Any]
    ended: str
    error: str | None
    last: dict[str, Any]
    curve: NDArray[np.float64]
    loss: float
    audited: float | None
    by_seed: tuple[float, ...] = ()

    @classmethod
    def read(
        cls,
        directory: TrialDirectory,
        record: TrialRecord,
        varied: Sequence[str],
        cost: str,
        objective: Objective,
    ) -> "FinishedTrial":
        """The trial in a directory; ``cost`` is the entry of a report that counts its cost."""
        config, rows = directory.config(record), directory.rows()
        numbers = [[row.get(cost), row.get(objective.metric)] for row in rows]
        costs, values = np.array(numbers, dtype=np.float64).reshape(-1, 2).T
        losses = objective.losses(values)
        last = rows[-1] if rows else {}
        return cls(
            number=record.number,
            config=config,
            started=record.started,
            settings={name: config[name] for name in varied if name in config},
            ended=str(record.ended),
            error=record.error,
            last={name: value for name, value in last.items() if not isinstance(value, list)},
            curve=np.column_stack([costs, losses]),
            loss=float(losses[-1]) if rows else math.inf,
            audited=record.audited,
            by_seed=tuple(
                value
                for one in last.get("seeds", ())
                if (value := objective.value(one)) is not None and math.isfinite(value)
            ),
        )

    @property
    def complete(self) -> bool:
        """Whether its metrics cover its whole budget."""
        return self.ended in COMPLETE and math.isfinite(self.loss)

    def stopped_at(self, cost: float) -> bool:
        """Whether it was stopped early with its first report at or beyond ``cost``, a rung."""
        reports = int((self.curve[:, 0] >= cost).sum())
        return self.ended == STOPPED_EARLY.name and reports == 1

    def loss_at(self, cost: float) -> float:
        """The loss by which early stopping compares it at a rung: that of the first report at or
        beyond ``cost``.

        A trial that converged before has its last loss there; one that ended otherwise before, an
        infinite one.
        """
        costs, losses = self.curve.T
        reached = losses[costs >= cost]
        if len(reached):
            return float(reached[0])
        return self.loss if self.ended == CONVERGED.name else math.inf
