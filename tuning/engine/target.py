"""``--target``: the search pauses when a trial reaches the target, and ends once the same settings
reach it on fresh seeds."""

from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from records.objective import Goal
from records.outcome import COMPLETE


class Paused(Exception):
    """Ends Ray Tune, but not the search: the trials in flight go on later."""


class TargetPause(Callback):
    """Pauses the search after a trial has ended and reaches the goal.

    A ``Stopper`` would end the trials in flight, and the trial itself before its end is on record.
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
        """Raises Paused. ``on_trial_complete`` cannot: Ray Tune would swallow it."""
        if self._reached:
            raise Paused
