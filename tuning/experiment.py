"""What a script hands to a search: the trainable, its space, and which of its figures decide what."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from search_spaces import SearchSpace
from trainables.demand import Demand

if TYPE_CHECKING:  # the checks and the report read objectives and goals, and start no Ray
    from trainables.trial import Trial


@dataclass(frozen=True)
class Objective:
    """A figure in a trial's reports that the sampler wants large (``max``) or small (``min``).

    A row without the figure counts as ``otherwise``, where that says something, such as the whole budget where a trial has
    not converged.
    """

    metric: str
    mode: Literal["max", "min"]
    otherwise: float | None = None

    def value(self, row: Mapping[str, Any]) -> float | None:
        """The figure of a row, or None."""
        value: float | None = row.get(self.metric)
        return self.otherwise if value is None else value

    def loss(self, row: Mapping[str, Any]) -> float:
        """The figure as something to minimize, for sorting; infinite where the row has none."""
        value = self.value(row)
        return float("inf") if value is None else -value if self.mode == "max" else value

    def losses(self, figures: NDArray[np.float64]) -> NDArray[np.float64]:
        """``loss`` of many figures at once, shape (n,), not a number where there is none; infinite where it is not finite."""
        otherwise = math.nan if self.otherwise is None else self.otherwise
        figures = np.where(np.isnan(figures), otherwise, figures)
        return np.where(np.isfinite(figures), -figures if self.mode == "max" else figures, math.inf)


@dataclass(frozen=True)
class Rungs:
    """Where trials are compared and the poorer ones stopped early.

    The first rung is at ``grace_steps`` training steps (or units of the experiment's ``time_attr``), each next one
    ``reduction_factor`` times further; at each, a trial goes on if it is among the best 1/``reduction_factor`` seen there.
    """

    grace_steps: int
    reduction_factor: float

    def steps(self, max_steps: int) -> list[int]:
        """The rungs below the budget, in the budget's unit."""
        rungs, step = [], float(self.grace_steps)
        while step < max_steps:
            rungs.append(round(step))
            step *= self.reduction_factor
        return rungs


@dataclass(frozen=True)
class Goal:
    """What a confirmed trial must reach: ``metric`` in its last row, at least or at most ``bound``."""

    metric: str
    at: Literal["least", "most"]
    bound: float

    def reached(self, row: Mapping[str, Any]) -> bool:
        """Whether a trial's last row reaches the goal; a row without the figure does not."""
        value = row.get(self.metric)
        return value is not None and (value >= self.bound if self.at == "least" else value <= self.bound)

    def __str__(self) -> str:
        return f"{self.metric} {self.bound:g}" + (" or less" if self.at == "most" else "")


@dataclass(frozen=True)
class Prepared:
    """What is ready before Ray starts: ``shared`` is handed to every trial, ``about`` goes into ``search.json``."""

    shared: Any
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Experiment:
    """A training and the question asked of it.

    Args:
        settings: Config entries that are the same in every trial because the command line says so.
        objectives: What the sampler optimizes. The scheduler compares trials, and the console ranks them, by the first.
        shown: The figures of a finished trial that the console prints.
        confirming: Config entries that differ in trials on fresh seeds and in the final training.
        final_steps: Steps for which the winner is trained on before it is exported.
        checkpoint_every: Reports between two checkpoints of a trial, which is what a kill can cost.
        prepare: Makes ready what trials share. It is given a function to say what takes long, and the run directory, for
            what must be the same when the run is resumed. Raises BadOptions.
        time_attr: The entry of every report that says how much a trial has cost so far: the unit of ``rungs`` and of the
            study's intermediate values.
        max_t: The most that ``time_attr`` can come to in a trial; None: ``max_steps``.
        spare_known: Whether settings known beforehand are never stopped early, whatever that costs.
        demand: What a trial with these settings needs of a machine; None if nobody has said.
    """

    trainable: "type[Trial]"
    space: SearchSpace
    settings: Mapping[str, Any]
    objectives: tuple[Objective, ...]
    shown: tuple[str, ...]
    rungs: Rungs
    goal: Goal
    confirming: Mapping[str, Any] = field(default_factory=dict)
    final_steps: int = 0
    checkpoint_every: int = 5
    prepare: Callable[[Callable[[str], None], Path], Prepared] | None = None
    time_attr: str = "step"
    max_t: int | None = None
    spare_known: bool = True
    demand: Callable[[Mapping[str, Any]], Demand] | None = None

    @property
    def objective(self) -> Objective:
        """The first of the objectives."""
        return self.objectives[0]

    @property
    def budget(self) -> int:
        """A trial's whole budget in units of ``time_attr``."""
        return int(self.settings["max_steps"]) if self.max_t is None else self.max_t

    @property
    def largest_settings(self) -> dict[str, Any]:
        """The settings of a trial with every number as large as the space can give it."""
        return {**self.settings, **self.space.largest}
