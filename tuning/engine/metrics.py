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
from tuning.engine.room import Room

EVERY_S = 1.0
"""The least time between two updates."""

GAUGES = {
    "search_trials": ("Trials that have ended, those of earlier sessions too", "outcome"),
    "search_trials_wanted": ("Trials that the stage is to train in all",),
    "search_trials_running": ("Trials that are being trained now",),
    "search_slots": ("How many trials may run at the same time",),
    "search_best": ("The objective of the best trial that was not stopped early", "metric"),
}
"""Name to description and own labels. The search alone has a best trial."""

STEPS = "search_steps"
"""The counter of training steps in this session, over all trials and all seeds of each."""

LABELS = ("experiment", "stage")
"""The labels of every metric."""

_shown: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
"""The value of each gauge with each labels, also of the stages before this one. Ray drops a gauge
that is not set again within twenty seconds."""


class Metrics(Callback):
    """The metrics of one stage, most of which its ``progress`` knows; ``run`` has the trials of
    earlier sessions, and ``room`` the slots of now."""

    def __init__(self, experiment: str, run: RunDirectory, progress: Progress, room: Room) -> None:
        self._progress, self._room = progress, room
        self._earlier = run.outcomes() - progress.ended
        self._labels = {"experiment": experiment, "stage": progress.stage or "search"}
        self._gauges = {
            name: Gauge(name, text, (*LABELS, *own)) for name, (text, *own) in GAUGES.items()
        }
        self._steps = Counter(STEPS, "Training steps of all trials", LABELS)
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
        self._updated, progress = time.monotonic(), self._progress
        for outcome, count in (self._earlier + progress.ended).items():
            self._show("search_trials", count, outcome=outcome)
        self._show("search_trials_wanted", self._earlier.total() + progress.total)
        self._show("search_trials_running", running)
        self._show("search_slots", self._room.slots)
        if progress.best and progress.best.value is not None:
            self._show("search_best", progress.best.value, metric=progress.objective.metric)
        for (name, labels), value in _shown.items():
            self._gauges[name].set(value, dict(labels))
        if self._new_steps:
            self._steps.inc(self._new_steps, self._labels)
            self._new_steps = 0

    def _show(self, name: str, value: float, **own: str) -> None:
        _shown[name, (*self._labels.items(), *own.items())] = value
