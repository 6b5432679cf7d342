"""Ray Tune's Tuner, as one stage of a search needs it: the search itself, or a queue of trainings
after it.

Worker processes are reused from trial to trial. Nothing of Ray Tune's own state is kept.
"""

import contextlib
import logging
import os
import sys
import warnings
from dataclasses import dataclass
from typing import Any

import optuna
import ray
from ray import tune
from ray.tune import Callback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from records.run_directory import RunDirectory
from records.trial_directory import TrialDirectory
from trainables.resumable import ResumableTrainable
from tuning.engine.capacity import Capacity
from tuning.engine.cluster import Cluster
from tuning.engine.failure import Watch
from tuning.engine.patience import Patience
from tuning.engine.progress import Progress
from tuning.engine.queue_searcher import QueueSearcher
from tuning.engine.recorder import Recorder
from tuning.engine.searcher import StudySearch
from tuning.engine.target import Paused, TargetPause
from tuning.interruption import early_exit
from tuning.task import Task

TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # tuning.engine.recorder writes the rows
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",  # no snapshots of all trials, which grow with the search: none is ever read
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the console says it in one line, error.txt in full
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that diverged has none
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
"""Ray Tune's own state, 17 kB a trial in every session: the run directory and the study are what a search goes on from."""


@dataclass(frozen=True)
class Stage:
    """The trials that one Tuner trains.

    Attributes:
        run: The directory in which the trials are recorded.
        scheduler: None runs every trial to its end.
        time_budget_s: Seconds after which the stage ends; None: when the searcher has no more.
        resources: What Ray reserves for a trial; None: the cluster's ``trial_resources``.
        pause: Ends the stage when a trial reaches the target, if there is one.
        concurrent: Most trials at once; None: as many as the cluster has slots.
    """

    searcher: StudySearch | QueueSearcher
    run: RunDirectory
    progress: Progress
    scheduler: TrialScheduler | None = None
    time_budget_s: float | None = None
    resources: dict[str, float] | None = None
    pause: TargetPause | None = None
    concurrent: int | None = None


def run_trials(
    stage: Stage,
    trainable: type[ResumableTrainable],
    task: Task,
    cluster: Cluster,
    patience: Patience,
) -> None:
    """Train the stage's trials to their end, or until its time is over or its target is reached. Raises Trouble."""
    request, run, progress = stage.resources or cluster.trial_resources, stage.run, stage.progress
    recorder, progress.capacity = Recorder(run, task.objective, patience), Capacity(request)
    callbacks: list[Callback] = [recorder, progress, progress.capacity, Watch(stage.searcher)]
    if stage.pause:
        callbacks.append(stage.pause)
    tuner = tune.Tuner(
        _with_resources(trainable, request),
        tune_config=tune.TuneConfig(
            search_alg=stage.searcher,
            scheduler=stage.scheduler or FIFOScheduler(),
            num_samples=-1,  # the searcher says when it has no more
            max_concurrent_trials=stage.concurrent or cluster.slots,
            time_budget_s=stage.time_budget_s,
            reuse_actors=True,
            trial_dirname_creator=trial_folder,
        ),
        run_config=tune.RunConfig(
            name=run.path.name,
            storage_path=str(run.path.parent),
            callbacks=callbacks,
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_frequency=task.checkpoint_every,
                checkpoint_at_end=False,  # tuning.engine.recorder asks for it where it will be kept
            ),
            failure_config=tune.FailureConfig(
                max_failures=0
            ),  # the searcher hands out again what a dead worker lost
            verbose=0,
        ),
    )
    # Ray prints some errors of its own; stdout is the verdict's.
    with contextlib.redirect_stdout(sys.stderr), early_exit.handlers_kept():
        try:
            with contextlib.suppress(Paused):
                tuner.fit()
        finally:
            if patience.trouble:  # Ray Tune may have swallowed it
                raise patience.trouble
    drop_tune_state(run)


def with_shared_data(
    trainable: type[ResumableTrainable], shared: object, in_ray: bool
) -> type[ResumableTrainable]:
    """The trainable with what all its trials share. In Ray's object store that is sent to a node once, not to every trial."""
    if shared is None:
        return trainable
    content = {"__module__": trainable.__module__, "shared": ray.put(shared) if in_ray else shared}
    return type(trainable.__name__, (trainable,), content)


def trial_folder(trial: Any) -> str:
    """A trial's folder, whichever of its lives this is: Ray Tune would give one that goes on after a loss another name."""
    name = f"trial_{trial.config['trial']:04d}"
    trial.relative_logdir = trial.storage.trial_dir_name = name
    return name


def _with_resources(
    trainable: type[ResumableTrainable], resources: dict[str, float]
) -> type[ResumableTrainable]:
    """The trainable with its resources, under its own name: ``tune.with_resources`` renames the class in the dashboard."""
    request = tune.PlacementGroupFactory([resources])
    method = classmethod(lambda cls, config: request)
    return type(
        trainable.__name__,
        (trainable,),
        {"default_resource_request": method, "__module__": trainable.__module__},
    )


def drop_tune_state(run: RunDirectory) -> None:
    """Remove what Ray Tune has left in the run directory, with its word on failures that did not end a trial."""
    for pattern in TUNE_STATE:
        for file in run.path.glob(pattern):
            file.unlink(missing_ok=True)
    for file in run.path.glob("trial_*/error.*"):
        record = TrialDirectory(file.parent).read()
        if file.name == "error.pkl" or (record is not None and record.error is None):
            file.unlink(missing_ok=True)


def set_up_libraries() -> None:
    """The console is ours: what Ray and Optuna would print beside it is either in our lines or in Ray's log files."""
    os.environ.update(TUNE_ENVIRONMENT)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
