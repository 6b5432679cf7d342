"""``--target``: the search pauses when a trial reaches it, and is over once the same settings reach it on fresh seeds."""

import signal
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from tuning.experiment import Goal
from tuning.run_directory import COMPLETE


class TargetPause(Callback):
    """Interrupts Ray Tune, as Ctrl-C does, when a trial has ended by itself and reaches the goal.

    What is in flight can be gone on with; a ``Stopper`` would end it, and the trial itself before its end is on record.
    """

    def __init__(self, goal: Goal) -> None:
        self._goal = goal

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        result = trial.last_result
        if result.get("ended") in COMPLETE and self._goal.reached(result):
            signal.raise_signal(signal.SIGUSR1)
