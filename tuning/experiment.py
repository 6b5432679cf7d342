"""What a script hands to a search: the trainable, its space, and which of its figures decide what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from search_spaces import SearchSpace

if TYPE_CHECKING:  # the checks and the report read objectives and goals, and start no Ray
    from trainables.trial import Trial


@dataclass(frozen=True)
class Objective:
    """A figure, in every report, that the sampler wants large (``max``) or small (``min``)."""

    metric: str
    mode: Literal["max", "min"]

    def loss(self, row: Mapping[str, Any]) -> float:
        """The figure as something to minimize, for sorting; infinite where the row has none."""
        value = row.get(self.metric)
        return float("inf") if value is None else -value if self.mode == "max" else value


@dataclass(frozen=True)
class Rungs:
    """Where trials are compared and the poorer ones stopped early.

    The first rung is at ``grace_steps`` training steps, each next one ``reduction_factor`` times further; at each, a trial
    goes on if it is among the best 1/``reduction_factor`` seen there.
    """

    grace_steps: int
    reduction_factor: float

    def steps(self, max_steps: int) -> list[int]:
        """The rungs below the budget, in training steps."""
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

    @property
    def objective(self) -> Objective:
        """The first of the objectives."""
        return self.objectives[0]
