"""``--in-process``: trials one after another in this process, without Ray, so that a debugger stops
in them.

The callbacks that record trials in worker processes record these trials, too.
"""

from dataclasses import dataclass, field
from typing import Any

from ray.tune.result import SHOULD_CHECKPOINT

from trainables.resumable import ResumableTrainable
from tuning.engine.cluster import Cluster
from tuning.engine.patience import Patience
from tuning.engine.recorder import KEEP_CHECKPOINTS, Recorder
from tuning.engine.tuner import Stage
from tuning.task import Task

THIS_PROCESS = Cluster(
    slots=1,
    trial_resources={"CPU": 1.0},
    alone={"CPU": 1.0},
    dashboard=None,
    description="this very process, without Ray",
    notice=None,
)


@dataclass
class LocalTrial:
    """A trial with what the callbacks read of Ray Tune's trials."""

    trial_id: str
    config: dict[str, Any]
    status: str = "RUNNING"
    last_result: dict[str, Any] = field(default_factory=dict)


def run_in_process(
    stage: Stage, trainable: type[ResumableTrainable], task: Task, patience: Patience
) -> None:
    """Train the stage's trials to their end. Raises whatever a trial raises."""
    callbacks: list[Any] = [Recorder(stage.run, task.objective, patience), stage.progress]
    number = 0
    while isinstance(config := stage.searcher.suggest(str(number)), dict):
        trial: Any = LocalTrial(str(number), config)
        _train(trial, trainable(config), stage, task.checkpoint_every, callbacks)
        for callback in callbacks:
            callback.on_trial_complete(0, [], trial)
        stage.searcher.on_trial_complete(trial.trial_id, trial.last_result)
        number += 1


def _train(
    trial: LocalTrial,
    training: ResumableTrainable,
    stage: Stage,
    checkpoint_every: int,
    callbacks: list[Any],
) -> None:
    directory, reports, done = stage.run.trial(trial.config["trial"]), 0, False
    while not done:
        result = trial.last_result = training.train()
        reports, done = reports + 1, bool(result["done"])
        for callback in callbacks:
            callback.on_trial_result(0, [], trial, result)
        stage.searcher.on_trial_result(trial.trial_id, result)
        if result.get(SHOULD_CHECKPOINT) or reports % checkpoint_every == 0:
            folder = directory.path / f"checkpoint_{reports:06d}"
            folder.mkdir(exist_ok=True)
            training.save_checkpoint(str(folder))
            directory.drop_older_checkpoints(KEEP_CHECKPOINTS)
