"""What a search optimizes, and what a confirmed trial has to reach: both read a trial's reports."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Objective:
    """A figure in a trial's reports that the sampler wants large (``max``) or small (``min``).

    A row without the figure counts as ``default``, where that says something, such as the whole
    budget where a trial has not converged.
    """

    metric: str
    mode: Literal["max", "min"]
    default: float | None = None

    def value(self, row: Mapping[str, Any]) -> float | None:
        """The figure of a row, or None."""
        value: float | None = row.get(self.metric)
        return self.default if value is None else value

    def loss(self, row: Mapping[str, Any]) -> float:
        """The figure as something to minimize, for sorting; infinite where the row has none."""
        value = self.value(row)
        return float("inf") if value is None else -value if self.mode == "max" else value

    def losses(self, figures: NDArray[np.float64]) -> NDArray[np.float64]:
        """``loss`` of many figures at once, shape (n,), not a number where there is none; infinite where it is not finite."""
        otherwise = math.nan if self.default is None else self.default
        figures = np.where(np.isnan(figures), otherwise, figures)
        return np.where(np.isfinite(figures), -figures if self.mode == "max" else figures, math.inf)


@dataclass(frozen=True)
class Goal:
    """What a confirmed trial must reach: ``metric`` in its last row, at least or at most ``bound``."""

    metric: str
    at: Literal["least", "most"]
    bound: float

    def reached(self, row: Mapping[str, Any]) -> bool:
        """Whether a trial's last row reaches the goal; a row without the figure does not."""
        value = row.get(self.metric)
        return value is not None and (
            value >= self.bound if self.at == "least" else value <= self.bound
        )

    def __str__(self) -> str:
        return f"{self.metric} {self.bound:g}" + (" or less" if self.at == "most" else "")
