"""Ray Tune's Tuner for one stage of a search: the search itself, or a queue of trainings after it.

Worker processes are reused from trial to trial. Ray Tune's own state is not kept.
"""

import contextlib
import logging
import os
import sys
import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any

import optuna
import ray
from ray import tune
from ray.tune import Callback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from records.objective import Goal
from records.places import place_of
from records.run_directory import RunDirectory
from records.trial_directory import TrialDirectory
from trainables.resumable import ResumableTrainable
from tuning.engine.capacity import Capacity
from tuning.engine.cluster import Cluster
from tuning.engine.membership import Membership
from tuning.engine.patience import Patience
from tuning.engine.progress import Progress
from tuning.engine.recorder import KEEP_WEIGHTS, Recorder
from tuning.engine.retries import RetryingSearcher, TrialListCallback
from tuning.engine.target import Paused, TargetPause
from tuning.interruption import early_exit
from tuning.task import Task

TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # tuning.engine.recorder writes the rows
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",  # no snapshots of all trials: none is ever read
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the console has one line, error.txt has it in full
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that diverged has no objective
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}

TUNE_STATE = (
    "experiment_state-*.json",
    "search_gen_state-*.json",
    "searcher-state-*.pkl",
    "tuner.pkl",
    "trainable.pkl",
)
"""Ray Tune's own state, 17 kB for each trial in every session. A search goes on from the run
directory and the study instead."""


@dataclass(frozen=True)
class Stage:
    """The trials that one Tuner trains.

    Attributes:
        run: The directory in which the trials are recorded.
        scheduler: None runs every trial to its end.
        time_budget_s: Seconds after which the stage ends, or None.
        resources: What Ray reserves for a trial; None: the cluster's ``trial_resources``.
        target: The stage is paused when a trial reaches it; None: never.
        keep: How many of its best trials keep their weights.
        trials: The number of trials, which Ray Tune may hold at once: the searcher's room decides
            how many run.
        watchers: Who else is told of the trials, after their reports are on record.
        membership: The nodes that come and go; None on this machine alone.
    """

    searcher: RetryingSearcher
    run: RunDirectory
    progress: Progress
    trials: int
    scheduler: TrialScheduler | None = None
    time_budget_s: float | None = None
    resources: dict[str, float] | None = None
    target: Goal | None = None
    keep: int = KEEP_WEIGHTS
    watchers: tuple[Callback, ...] = ()
    membership: Membership | None = None


def run_trials(
    stage: Stage,
    trainable: type[ResumableTrainable],
    task: Task,
    cluster: Cluster,
    patience: Patience,
) -> None:
    """Train the stage's trials until they end, its time is over or its target is reached.

    Raises Trouble if the search must end.
    """
    tuner = _tuner(stage, trainable, task, cluster, patience)
    # Ray prints some errors to stdout, which is the verdict's.
    with contextlib.redirect_stdout(sys.stderr), early_exit.handlers_kept():
        try:
            with contextlib.suppress(Paused):
                tuner.fit()
        finally:
            if patience.trouble:  # Ray Tune may have swallowed it
                raise patience.trouble
    drop_tune_state(stage.run)
    if stage.run.mirror:
        stage.run.mirror.remove((*TUNE_STATE, "trial_*/error.*"), stage.run.path)


def _tuner(
    stage: Stage,
    trainable: type[ResumableTrainable],
    task: Task,
    cluster: Cluster,
    patience: Patience,
) -> tune.Tuner:
    request = stage.resources or cluster.trial_resources
    capacity = Capacity(request)
    stage.progress.capacity = capacity
    recorder = Recorder(stage.run, task.objective, patience, stage.target, stage.keep)
    trial_list = TrialListCallback(stage.searcher)
    told = [recorder, stage.progress, capacity, trial_list]
    callbacks: list[Callback] = [*told, *stage.watchers]
    if stage.membership:
        callbacks.append(stage.membership)
    if stage.target:
        callbacks.append(TargetPause(stage.target))
    return tune.Tuner(
        _placed(trainable, request),
        tune_config=tune.TuneConfig(
            search_alg=stage.searcher,
            scheduler=stage.scheduler or FIFOScheduler(),
            num_samples=-1,  # the searcher ends the search
            max_concurrent_trials=stage.trials,
            time_budget_s=stage.time_budget_s,
            reuse_actors=True,
            trial_dirname_creator=partial(trial_folder, stage.run),
        ),
        run_config=_run_config(stage.run, task.checkpoint_every, callbacks),
    )


def _placed(
    trainable: type[ResumableTrainable], request: dict[str, float]
) -> type[ResumableTrainable]:
    """The trainable with the resources of a trial, never on a node that is shunned.

    ``tune.with_resources`` would rename the class in the dashboard. Ray sends the method below to
    the nodes too, which lack what it imports.
    """

    def resources(cls: type, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        from tuning.engine.membership import shunned

        elsewhere = [{"ray.io/node-id": f"!in({','.join(shunned)})"}] if shunned else None
        return tune.PlacementGroupFactory([request], bundle_label_selector=elsewhere)

    return _extended(trainable, default_resource_request=classmethod(resources))


def _run_config(
    run: RunDirectory, checkpoint_every: int, callbacks: list[Callback]
) -> tune.RunConfig:
    # tuning.engine.recorder asks for the checkpoints at a trial's end that stay.
    checkpoints = tune.CheckpointConfig(
        checkpoint_frequency=checkpoint_every, checkpoint_at_end=False
    )
    return tune.RunConfig(
        name=run.path.name,
        storage_path=place_of(run.path.parent),
        callbacks=callbacks,
        checkpoint_config=checkpoints,
        failure_config=tune.FailureConfig(max_failures=0),  # see tuning.engine.failure
        verbose=0,
    )


def with_shared_data(
    trainable: type[ResumableTrainable], shared: object, in_ray: bool
) -> type[ResumableTrainable]:
    """The trainable with the data of all trials. Ray's object store sends it once to each node."""
    if shared is None:
        return trainable
    return _extended(trainable, shared=ray.put(shared) if in_ray else shared)


def _extended(trainable: type[ResumableTrainable], **attributes: Any) -> type[ResumableTrainable]:
    """A subclass of the trainable with the same name."""
    return type(
        trainable.__name__, (trainable,), {"__module__": trainable.__module__, **attributes}
    )


def trial_folder(run: RunDirectory, trial: Any) -> str:
    """The name of a trial's folder. If it goes on after a loss, Ray Tune would choose another, and
    it would write over earlier checkpoints."""
    directory = run.trial(trial.config["trial"])
    trial.relative_logdir = trial.storage.trial_dir_name = directory.path.name
    trial.storage.current_checkpoint_index = directory.next_checkpoint() - 1
    return directory.path.name


def drop_tune_state(run: RunDirectory) -> None:
    """Remove Ray Tune's state from the run directory, and its files about failures that did not end
    a trial."""
    for pattern in TUNE_STATE:
        for file in run.path.glob(pattern):
            file.unlink(missing_ok=True)
    for file in run.path.glob("trial_*/error.*"):
        record = TrialDirectory(file.parent).read()
        if file.name == "error.pkl" or (record is not None and record.error is None):
            file.unlink(missing_ok=True)


def set_up_libraries() -> None:
    """Keep Ray and Optuna off the console: our own lines and Ray's log files have what they say."""
    os.environ.update(TUNE_ENVIRONMENT)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
