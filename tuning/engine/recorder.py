"""Writes what trials report into the run directory at once, and bounds the weights kept there.

Ray Tune's own loggers write to a folder that is copied from time to time; a kill in between would
lose rows. This callback waits if the storage fails.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.result import DONE, SHOULD_CHECKPOINT

from records.objective import Goal, Objective
from records.outcome import COMPLETE, ERROR, STOPPED_EARLY
from records.run_directory import RunDirectory
from records.trial_directory import TrialDirectory, TrialRecord
from tuning.engine.failure import Failure
from tuning.engine.patience import Patience

KEEP_WEIGHTS = 3
"""How many ended trials, the best, keep their checkpoints at least. ``best/`` has the weights of a
finalist or of a baseline."""

KEEP_CHECKPOINTS = 2
"""How many checkpoints a running trial keeps: a kill may tear the latest."""

RAY_CONSTANTS = (
    "config", "hostname", "pid", "node_ip", "trial_id", "date", "done", "training_iteration",
    "time_total_s", "time_since_restore", "iterations_since_restore", "should_checkpoint",
    "experiment_tag",
)  # fmt: skip
"""What Ray adds to every report although trial.json, or the order of the rows, has it already."""


def _spared(config: Mapping[str, Any]) -> bool:
    """Whether a trial of the search is a baseline, which may turn out to be the best."""
    return "baseline" in config and "confirms" not in config


Rank = tuple[bool, bool, float, int]
"""Whether the trial is complete and whether it reached the target, then its objective (the larger,
the better) and its number, negated."""


class Recorder(Callback):
    """Records the trials of ``run`` under the number that each config has as ``trial``.

    With a ``target``, trials that reach it are kept before others: the first of them that reaches
    it on fresh seeds is the best trial.
    """

    def __init__(
        self,
        run: RunDirectory,
        objective: Objective,
        patience: Patience | None = None,
        target: Goal | None = None,
        keep: int = KEEP_WEIGHTS,
    ) -> None:
        self.run = run
        self.objective = objective
        self._target, self._keep = target, keep
        self._patience = patience or Patience()
        self._kept = [
            self._rank(record.number, record.ended, rows[-1])
            for directory, record in run.trials()
            if record.ended is not None
            and not _spared(record.config)
            and directory.checkpoints()
            and (rows := directory.rows())
        ]

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        directory = self._directory(trial)
        files = result.pop("files", {})  # Ray keeps every trial's last result in memory
        row = {name: value for name, value in result.items() if name not in RAY_CONSTANTS}
        self._written(lambda: directory.write_files(files))
        self._written(lambda: directory.append(row))
        if result.get(DONE) and self._worth_keeping(trial, result):
            result[SHOULD_CHECKPOINT] = True

    def on_trial_save(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Drop older checkpoints. Ray's own ``num_to_keep`` would force snapshots of all trials."""
        directory = self._directory(trial)
        if self.run.mirror and trial.checkpoint:
            self.run.mirror.take(directory.path / Path(trial.checkpoint.path).name)
        directory.drop_older_checkpoints(KEEP_CHECKPOINTS)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        record = self.finish(trial, trial.last_result.get("ended") or STOPPED_EARLY.name)
        self._keep_best(trial, record)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        failure, directory = Failure.of(trial), self._directory(trial)
        file = "lost.txt" if failure.again else "error.txt"
        self._written(
            lambda: (directory.path / file).write_text(f"{failure.error}\n", "utf-8", "replace")
        )
        if failure.again:
            return  # it has not ended
        record = self.finish(trial, failure.outcome or ERROR.name, error=failure.line)
        if failure.outcome:
            self._keep_best(trial, record)

    def finish(self, trial: Trial, ended: str, error: str | None = None) -> TrialRecord:
        """Record when, where and why the trial ended."""
        directory = self._directory(trial)
        record = directory.read() or TrialRecord(trial.config["trial"], dict(trial.config))
        record.finished, record.ended, record.error = time.time(), ended, error
        record.node, record.pid = trial.last_result.get("node_ip"), trial.last_result.get("pid")
        self._written(lambda: directory.write(record))
        return record

    def _written(self, write: Callable[[], object]) -> None:
        self._patience(f"the run directory {self.run.path}", write)

    def _rank(self, number: int, ended: str | None, row: dict[str, Any]) -> Rank:
        """The trial's rank by its last row; the best trial has the highest rank.

        Trials that were cut short rank below all others, since they trained for fewer steps.
        """
        reached = self._target is not None and self._target.reached(row)
        return ended in COMPLETE, reached, -self.objective.loss(row), -number

    def _worth_keeping(self, trial: Trial, last_row: dict[str, Any]) -> bool:
        """Whether a trial that ends with this row keeps its checkpoints."""
        rank = self._rank(trial.config["trial"], last_row.get("ended"), last_row)
        among_best = len(self._kept) < self._keep or rank > min(self._kept)
        return among_best or _spared(trial.config)

    def _keep_best(self, trial: Trial, record: TrialRecord) -> None:
        """Drop the checkpoints of the trials that are no longer among the best."""
        if _spared(trial.config):
            return
        rank = self._rank(record.number, record.ended, trial.last_result)
        self._kept = sorted([*self._kept, rank])
        for *_, number in self._kept[: -self._keep]:
            self.run.trial(-number).drop_checkpoints()
        self._kept = self._kept[-self._keep :]

    def _directory(self, trial: Trial) -> TrialDirectory:
        return self.run.trial(trial.config["trial"])
