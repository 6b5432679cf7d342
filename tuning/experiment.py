"""What a script hands to a search: the trainable, its space, and which of its figures decide what."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces import SearchSpace
from trainables.trial import Trial


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
    """What a confirmed trial must reach: ``metric`` in its last row, at least ``at_least``."""

    metric: str
    at_least: float

    def reached(self, row: Mapping[str, Any]) -> bool:
        """Whether a trial's last row reaches the goal; a row without the figure does not."""
        value = row.get(self.metric)
        return value is not None and value >= self.at_least


@dataclass(frozen=True)
class Experiment:
    """A training and the question asked of it.

    Args:
        settings: Config entries that are the same in every trial because the command line says so.
        objective: The figure, in every report, that the sampler maximizes and the scheduler compares.
        shown: The figures of a finished trial that the console prints.
    """

    trainable: type[Trial]
    space: SearchSpace
    settings: Mapping[str, Any]
    objective: str
    shown: tuple[str, ...]
    rungs: Rungs
    goal: Goal
