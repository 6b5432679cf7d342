"""What a search optimizes, and what a confirmed trial must reach. Both read a trial's reports."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Objective:
    """A metric in a trial's reports that the sampler maximizes (``max``) or minimizes (``min``).

    A report without the metric counts as ``default``, if there is one: a trial that has not
    converged, say, counts as one that needed its whole budget to converge.
    """

    metric: str
    mode: Literal["max", "min"]
    default: float | None = None

    def value(self, row: Mapping[str, Any]) -> float | None:
        """The metric in a report, or else ``default``."""
        value: float | None = row.get(self.metric)
        return self.default if value is None else value

    def loss(self, row: Mapping[str, Any]) -> float:
        """The metric as a number to minimize, for sorting; infinite if the report has none."""
        value = self.value(row)
        return math.inf if value is None else -value if self.mode == "max" else value

    def losses(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """``loss`` of many values, shape (n,): NaN is a missing one; no loss is NaN or -inf."""
        missing = math.nan if self.default is None else self.default
        values = np.where(np.isnan(values), missing, values)
        return np.where(np.isfinite(values), -values if self.mode == "max" else values, math.inf)


NEAR = 0.05
"""Fraction of the way from chance to a goal up to which nothing has been learned."""


@dataclass(frozen=True)
class Goal:
    """What a confirmed trial must reach: ``metric`` in its last report, compared with ``bound``.

    ``chance`` is the metric of a guess, if a guess has one.
    """

    metric: str
    at: Literal["least", "most"]
    bound: float
    chance: float | None = None

    def reached(self, row: Mapping[str, Any]) -> bool:
        """Whether a trial's last report reaches the goal; False if it lacks the metric."""
        value = row.get(self.metric)
        return value is not None and (
            value >= self.bound if self.at == "least" else value <= self.bound
        )

    def guessed(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Whether all of these last reports are hardly better than a guess: at most ``NEAR`` of the
        way from chance to the bound."""
        values = [float(row[self.metric]) for row in rows if row.get(self.metric) is not None]
        if self.chance is None or not values:
            return False
        near = self.chance + NEAR * (self.bound - self.chance)
        if self.at == "least":
            return max(values) <= near < self.bound
        return min(values) >= near > self.bound

    def __str__(self) -> str:
        return f"{self.metric} {self.bound:g}" + (" or less" if self.at == "most" else "")


def pareto_front(losses: NDArray[np.float64]) -> list[int]:
    """Rows of ``losses``, shape (trials, objectives), that no other row beats, lowest losses first.

    A row is beaten by one that is nowhere larger and somewhere smaller; equal rows all stay.
    """
    front = [
        row
        for row, own in enumerate(losses)
        if not ((losses <= own).all(axis=1) & (losses < own).any(axis=1)).any()
    ]
    return sorted(front, key=lambda row: tuple(losses[row]))
