"""``--target``: the search pauses when a trial reaches it, and is over once the same settings reach it on fresh seeds."""

from typing import Any

from ray.tune import Stopper

from tuning.experiment import Goal
from tuning.run_directory import COMPLETE


class TargetStopper(Stopper):
    """Stops Ray Tune when a trial has used its budget, or converged, and reaches the goal."""

    def __init__(self, goal: Goal) -> None:
        self._goal = goal
        self._reached = False

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        self._reached = self._reached or (result["ended"] in COMPLETE and self._goal.reached(result))
        return False

    def stop_all(self) -> bool:
        return self._reached
