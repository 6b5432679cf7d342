"""What a search exports to Prometheus, on the metrics port that Ray has on every node.

Ray puts ``ray_`` before a name and ``_total`` behind a counter's. Every label has few values: the
experiment, the stage (``search``, ``confirm``, ``final`` or ``ablation``), the outcome and the
objective. A trial's number or a run's name would make a time series for each. Ray collects the
values every ten seconds; without its agent on the node they go nowhere, without a message.
Source: https://docs.ray.io/en/latest/ray-observability/user-guides/add-app-metrics.html
"""

import time
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.util.metrics import Counter, Gauge

from records.run_directory import RunDirectory
from tuning.engine.progress import Progress

EVERY_S = 1.0
"""The least time between two updates."""

GAUGES = {
    "search_trials": ("Trials that have ended, those of earlier sessions too", "outcome"),
    "search_trials_wanted": ("Trials that the stage is to train in all",),
    "search_trials_running": ("Trials that are being trained now",),
    "search_slots": ("The largest number of trials at the same time",),
    "search_best": ("The objective of the best trial that was not stopped early", "metric"),
}
"""Name to description and own labels. The search alone has a best trial."""

STEPS = "search_steps"
"""The counter of training steps in this session, over all trials and all seeds of each."""

LABELS = ("experiment", "stage")
"""The labels of every metric."""


class Metrics(Callback):
    """The metrics of one stage, most of which its ``progress`` knows; ``run`` has the trials of
    earlier sessions."""

    def __init__(self, experiment: str, run: RunDirectory, progress: Progress, slots: int) -> None:
        self._progress, self._slots = progress, slots
        self._earlier = run.outcomes() - progress.ended
        labels = {"experiment": experiment, "stage": progress.stage or "search"}
        self._gauges = {
            name: Gauge(name, text, (*LABELS, *own)).set_default_tags(labels)
            for name, (text, *own) in GAUGES.items()
        }
        self._steps = Counter(STEPS, "Training steps of all trials", LABELS)
        self._steps.set_default_tags(labels)
        self._trained: dict[str, int] = {}
        self._new_steps = 0
        self._updated = 0.0

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Count the steps since the trial's last report. A trial that goes on from a checkpoint is
        counted from its first report on."""
        steps = sum(seed["step"] for seed in result.get("seeds", [result]))
        before = self._trained.get(trial.trial_id, steps if "restore_from" in trial.config else 0)
        self._new_steps += max(0, steps - before)
        self._trained[trial.trial_id] = steps

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._trained.pop(trial.trial_id, None)

    on_trial_error = on_trial_complete

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        if time.monotonic() - self._updated >= EVERY_S:
            self._update(sum(trial.status == Trial.RUNNING for trial in trials))

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        self._update(running=0)

    def _update(self, running: int) -> None:
        self._updated = time.monotonic()
        for outcome, count in (self._earlier + self._progress.ended).items():
            self._gauges["search_trials"].set(count, {"outcome": outcome})
        wanted = self._earlier.total() + self._progress.total
        self._gauges["search_trials_wanted"].set(wanted)
        self._gauges["search_trials_running"].set(running)
        self._gauges["search_slots"].set(self._slots)
        if best := self._progress.best:
            self._gauges["search_best"].set(best.value, {"metric": self._progress.objective.metric})
        if self._new_steps:
            self._steps.inc(self._new_steps)
            self._new_steps = 0
