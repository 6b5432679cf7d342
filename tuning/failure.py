"""What broke a trial: an exception of its own, which is final, or the death of its worker, after which it is handed out again.

Ray Tune goes on with a trial whose worker died while it ran, but not with one whose worker had died before it began, as
one that is kept for the next trial may; and it goes on after an exception of the trainable's own as well. Here both kinds of
death are the same, and a searcher that meets one hands the trial out again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from ray import cloudpickle, exceptions
from ray.tune import Callback
from ray.tune.experiment import Trial

MAX_LOST = 3
"""Workers of one trial that may die before its settings are suspected of it."""

DEATHS = (
    exceptions.RayActorError,
    exceptions.WorkerCrashedError,
    exceptions.NodeDiedError,
    exceptions.LocalRayletDiedError,
    exceptions.ActorPlacementGroupRemoved,
    exceptions.ObjectLostError,
    exceptions.RaySystemError,
    exceptions.RpcError,
)
"""Ray's errors that say nothing of the trial: its worker, its node or the way to it is gone."""


def failure(trial: Trial) -> Exception | None:
    """The exception that broke the trial; None where Ray has kept none.

    ``Trial.get_error`` looks for it where Ray copies it to some time later.
    """
    file = trial.pickled_error_file
    if file is None or not Path(file).exists():
        return None
    error: Exception = cloudpickle.loads(Path(file).read_bytes())
    return error


def lost(trial: Trial) -> bool:
    """Whether the trial's worker died under it, and not too often yet: then it is handed out again."""
    return trial.config.get("lost", 0) < MAX_LOST and is_death(failure(trial))


def is_death(error: Exception | None) -> bool:
    """Whether ``error`` is the death of a worker. One that dies of an exception in ``setup`` died of the trial's own."""
    if isinstance(error, exceptions.RayTaskError):  # raised inside the trainable, by what it waited for
        error = error.cause
    if isinstance(error, exceptions.RayActorError) and error.actor_init_failed:
        return False
    return isinstance(error, DEATHS)


class Watching(Protocol):
    """A searcher that wants to see Ray Tune's own trials."""

    tune_trials: Sequence[Trial]


class Watch(Callback):
    """Shows a searcher Ray Tune's trials, which its own methods are told of by id only."""

    def __init__(self, searcher: Watching) -> None:
        self.searcher = searcher

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray pickles its callbacks; a study stays here

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self.searcher.tune_trials = trials


def lost_config(trials: Sequence[Trial], trial_id: str) -> dict[str, Any] | None:
    """The config of the trial with this id, one loss counted, where its worker died under it; None for other failures."""
    for trial in reversed(trials):
        if trial.trial_id == trial_id and lost(trial):
            return {**trial.config, "lost": trial.config.get("lost", 0) + 1}
    return None
