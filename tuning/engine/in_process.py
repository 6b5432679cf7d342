"""``--in-process``: trials one after another in this process, without Ray, so that a debugger stops
in them.

The callbacks that record trials in worker processes record these trials, too.
"""

import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from ray.tune.result import SHOULD_CHECKPOINT

from records.trial_directory import TrialDirectory
from trainables.resumable import ResumableTrainable
from tuning.engine.cluster import Cluster
from tuning.engine.patience import Patience
from tuning.engine.recorder import KEEP_CHECKPOINTS, Recorder
from tuning.engine.room import request_words
from tuning.engine.tuner import Stage
from tuning.options import SearchOptions
from tuning.task import Task


def this_process(options: SearchOptions) -> Cluster:
    """This process as the place of one trial, which computes as in a worker of Ray."""
    torch.set_flush_denormal(True)
    torch.set_num_threads(max(1, int(options.cpus_per_trial)))
    request = {"CPU": options.cpus_per_trial}
    return Cluster(
        slots=1,
        trial_resources=request,
        alone=request,
        dashboard=None,
        description=f"this very process, without Ray, {request_words(request)}",
    )


def run_in_process(
    stage: Stage,
    trainable: type[ResumableTrainable],
    task: Task,
    patience: Patience,
) -> None:
    """Train the stage's trials to their end. Raises whatever a trial raises."""
    callbacks: list[Any] = [
        Recorder(stage.run, task.objective, patience, stage.target, stage.keep),
        stage.progress,
        *stage.watchers,
    ]
    for trial_id in map(str, itertools.count()):
        config = stage.searcher.suggest(trial_id)
        if not isinstance(config, dict):
            return
        # What the callbacks read of one of Ray Tune's trials.
        trial = SimpleNamespace(trial_id=trial_id, config=config, status="RUNNING", last_result={})
        directory = stage.run.trial(config["trial"])
        for result in _reports(trainable(config), directory, task.checkpoint_every):
            trial.last_result = result
            for callback in callbacks:
                callback.on_trial_result(0, [], trial, result)
            stage.searcher.on_trial_result(trial_id, result)
        for callback in callbacks:
            callback.on_trial_complete(0, [], trial)
        stage.searcher.on_trial_complete(trial_id, trial.last_result)


def _reports(
    training: ResumableTrainable, directory: TrialDirectory, checkpoint_every: int
) -> Iterator[dict[str, Any]]:
    """Train to the end and yield every report.

    A checkpoint is saved if the report, once it has been handled, asks for it, or if it is due.
    """
    for count in itertools.count(1):
        result = training.train()
        yield result
        if result.get(SHOULD_CHECKPOINT) or count % checkpoint_every == 0:
            folder = directory.path / f"checkpoint_{count:06d}"
            folder.mkdir(exist_ok=True)
            training.save_checkpoint(str(folder))
            directory.drop_older_checkpoints(KEEP_CHECKPOINTS)
        if result["done"]:
            return
