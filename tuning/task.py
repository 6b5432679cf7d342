"""What a script hands to a search: the trainable, its space, and which of its figures decide what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from records.objective import Goal, Objective
from search_spaces import SearchSpace
from trainables.demand import Demand

if TYPE_CHECKING:  # the checks and the report read objectives and goals, and start no Ray
    from trainables.resumable import ResumableTrainable


@dataclass(frozen=True)
class Rungs:
    """Where trials are compared and the poorer ones stopped early.

    The first rung is at ``grace_steps`` training steps (or units of the experiment's
    ``time_attr``), each next one ``reduction_factor`` times further; at each, a trial goes on if it
    is among the best 1/``reduction_factor`` seen there.
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
class Prepared:
    """What is ready before Ray starts: ``shared`` is handed to every trial, ``about`` goes into ``search.json``."""

    shared: Any
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Task:
    """A training and the question asked of it.

    Args:
        settings: Config entries that are the same in every trial because the command line says so.
        objectives: What the sampler optimizes. The scheduler compares trials, and the console ranks
            them, by the first.
        console_metrics: The figures of a finished trial that the console prints.
        confirming: Config entries that differ in trials on fresh seeds and in the final training.
        final_steps: Steps for which the winner is trained on before it is exported.
        checkpoint_every: Reports between two checkpoints of a trial, which is what a kill can cost.
        prepare: Makes ready what trials share. It is given a function to say what takes long, and
            the run directory, for what must be the same when the run is resumed. Raises UsageError.
        time_attr: The entry of every report that says how much a trial has cost so far: the unit of
            ``rungs`` and of the study's intermediate values.
        max_t: The most that ``time_attr`` can come to in a trial; None: ``max_steps``.
        protect_baselines: Whether settings known beforehand are never stopped early, whatever that
            costs.
        demand: What a trial with these settings needs of a machine; None if nobody has said.
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
