"""``--target``: the search pauses when a trial reaches it, and is over once the same settings reach it on fresh seeds."""

from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from records.objective import Goal
from records.outcome import COMPLETE


class Paused(Exception):
    """Ends Ray Tune, but not the search: what is in flight goes on later."""


class TargetPause(Callback):
    """Pauses the search after a step of Ray Tune's in which a trial has ended by itself and reaches
    the goal.

    A ``Stopper`` would end what is in flight, and the trial itself before its end is on record.
    """

    def __init__(self, goal: Goal) -> None:
        self._goal = goal
        self._reached = False

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        result = trial.last_result
        self._reached |= result.get("ended") in COMPLETE and self._goal.reached(result)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Raises Paused: Ray Tune swallows what is raised while it ends a trial."""
        if self._reached:
            raise Paused
