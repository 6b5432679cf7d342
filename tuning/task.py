"""What a script hands to a search: the trainable, its space, and the role of each metric."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from records.objective import Goal, Objective
from search_spaces import SearchSpace
from trainables.demand import Demand

if TYPE_CHECKING:  # the checks and the report read objectives and goals, and start no Ray
    from trainables.resumable import ResumableTrainable


@dataclass(frozen=True)
class Rungs:
    """The points at which trials are compared and the weaker ones stopped early.

    The first rung is at ``grace_steps`` training steps (or units of the task's ``time_attr``), each
    next rung ``reduction_factor`` times further. A trial continues if it is among the best
    1/``reduction_factor`` of the trials that reached the rung.

    Raises ValueError if ``grace_steps`` is below 1 or ``reduction_factor`` not above 1: the rungs
    would never reach the budget.
    """

    grace_steps: int
    reduction_factor: float

    def __post_init__(self) -> None:
        if self.grace_steps < 1 or not self.reduction_factor > 1:
            raise ValueError(f"grace_steps must be at least 1, reduction_factor above 1: {self}")

    def steps(self, max_steps: int) -> list[int]:
        """The rungs below the budget, in the budget's unit."""
        rungs, step = [], float(self.grace_steps)
        while step < max_steps:
            rungs.append(round(step))
            step *= self.reduction_factor
        return rungs


@dataclass(frozen=True)
class Prepared:
    """What was made before Ray starts: ``shared`` goes to every trial, ``about`` into
    ``search.json``.
    """

    shared: Any
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Task:
    """A training and the question that the search asks of it.

    Args:
        settings: Config entries from the command line, the same in every trial.
        objectives: What the sampler optimizes. By the first one, the scheduler compares trials and
            the console ranks them.
        console_metrics: The metrics of a finished trial that the console prints.
        goal: What a confirmed trial must reach.
        confirming: Config entries that differ in trials on fresh seeds and in the final training.
        final_steps: Additional training steps of the winner before it is exported.
        checkpoint_every: Reports between two checkpoints of a trial: what a kill can cost.
        prepare: Makes what all trials share. Its arguments are a function that announces long
            steps, and the run directory, for what a resumed run must reuse. Raises UsageError.
        time_attr: The entry of every report that says how much a trial has cost so far: the unit of
            ``rungs`` and of the study's intermediate values.
        max_t: The budget of a trial in units of ``time_attr``; None: ``max_steps``.
        protect_baselines: Whether baselines are never stopped early.
        over_seeds: What counts of a trial with several seeds: the worst of them, or their mean.
        demand: The memory and disk that a trial with these settings needs; None if unknown.
    """

    trainable: "type[ResumableTrainable]"
    space: SearchSpace
    settings: Mapping[str, Any]
    objectives: tuple[Objective, ...]
    console_metrics: tuple[str, ...]
    rungs: Rungs
    goal: Goal
    confirming: Mapping[str, Any] = field(default_factory=dict)
    final_steps: int = 0
    checkpoint_every: int = 5
    prepare: Callable[[Callable[[str], None], Path], Prepared] | None = None
    time_attr: str = "step"
    max_t: int | None = None
    protect_baselines: bool = True
    over_seeds: Literal["worst", "mean"] = "worst"
    demand: Callable[[Mapping[str, Any]], Demand] | None = None

    @property
    def objective(self) -> Objective:
        """The first objective."""
        return self.objectives[0]

    @property
    def budget(self) -> int:
        """A trial's whole budget in units of ``time_attr``."""
        return int(self.settings["max_steps"]) if self.max_t is None else self.max_t

    @property
    def largest_settings(self) -> dict[str, Any]:
        """The settings of a trial with every number at its largest in the space."""
        return {**self.settings, **self.space.largest}
