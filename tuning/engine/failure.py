"""What a failed trial failed of: an exception of its own, which is final, or the machine, after
which it is handed out again.

Ray Tune goes on with a trial whose worker died while it ran, but not with one whose worker had died
before it began, as one that is kept for the next trial may; and it goes on after an exception of
the trainable's own as well. Here every failure is told apart by whose it is. A searcher that meets
one of the machine's hands the trial out again. A trial that had already reported its outcome keeps
it, even if its weights could not be saved any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from ray import cloudpickle, exceptions
from ray.tune import Callback
from ray.tune.experiment import Trial

from records.run_directory import RunDirectory
from trainables.resumable import SaveFailed
from tuning.engine.patience import STORAGE_ERRORS, Patience, check_writable

MAX_LOST = 3
"""Failures of the machine under one trial before its settings are suspected of them."""

Blame = Literal["trial", "machine", "memory", "storage"]

TUNES_STORAGE = "ray/train/_internal/storage.py"
"""Stands in the traceback of an error that came while Ray Tune copied a checkpoint into the run directory."""

LOW_ON_MEMORY = "running low on memory"
"""Ray's words for what its memory monitor has killed."""


class NotTheTrials(Exception):
    """An error of which Ray Tune keeps the text alone. Those that a trainable raises are kept whole."""


@dataclass(frozen=True)
class Failure:
    """How a trial failed.

    Attributes:
        error: What was raised.
        blame: Whose failure it was.
        outcome: How the trial had ended by its own last report, or None if it had not ended.
        again: Whether the trial is handed out again.
    """

    error: Exception
    blame: Blame
    outcome: str | None
    again: bool

    @classmethod
    def of(cls, trial: Trial) -> "Failure":
        error = _read_error(trial)
        blame = blamed(error)
        outcome = trial.last_result.get("ended") if trial.last_result else None
        few = trial.config.get("lost", 0) < MAX_LOST
        return cls(
            error,
            blame,
            outcome,
            outcome is None and (blame == "storage" or (blame != "trial" and few)),
        )

    @property
    def line(self) -> str:
        """What happened, in one line."""
        lines = [line.strip() for line in str(self.error).splitlines() if line.strip()]
        if self.blame == "memory":
            return "out of memory: Ray's memory monitor killed its worker"
        return (
            (lines[-1] if self.blame in ("trial", "storage") else lines[0])
            if lines
            else "unknown error"
        )


def _read_error(trial: Trial) -> Exception:
    """The exception that broke the trial. ``Trial.get_error`` looks for it where Ray copies it to some time later."""
    file = trial.pickled_error_file
    if file is not None and Path(file).exists():
        error: Exception = cloudpickle.loads(Path(file).read_bytes())
        return error
    try:
        text = Path(str(trial.error_file)).read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return NotTheTrials(text.rpartition("Failure # ")[2].partition("\n")[2].strip())


def blamed(error: Exception) -> Blame:
    """Whose failure ``error`` is. A worker that dies of an exception in ``setup`` died of the trial's own."""
    if isinstance(error, exceptions.RayActorError) and error.actor_init_failed:
        return "trial"
    if isinstance(
        error, exceptions.RayTaskError
    ):  # raised inside the trainable, or by what it waited for
        cause = error.cause
        if isinstance(cause, SaveFailed) or (
            isinstance(cause, OSError) and _of_storage(cause, str(error))
        ):
            return "storage"
        if not isinstance(cause, exceptions.RayError):
            return "trial"
        error = cause
    if isinstance(error, exceptions.OutOfMemoryError) or LOW_ON_MEMORY in str(error):
        return "memory"
    return "machine" if isinstance(error, exceptions.RayError | NotTheTrials) else "trial"


def _of_storage(error: OSError, traceback: str) -> bool:
    return error.errno in STORAGE_ERRORS or TUNES_STORAGE in traceback


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


def find_trial(trials: Sequence[Trial], trial_id: str) -> Trial | None:
    """Ray Tune's trial with this id."""
    return next((trial for trial in reversed(trials) if trial.trial_id == trial_id), None)


def config_again(trial: Trial) -> dict[str, Any]:
    """The config of a trial that is handed out again, with this failure counted."""
    return {**trial.config, "lost": trial.config.get("lost", 0) + 1}


def wait_for_storage(
    run: RunDirectory, config: dict[str, Any], failure: Failure, patience: Patience
) -> None:
    """Before a trial that the storage failed is handed out again, wait until the run directory can
    be written to.

    Raises Trouble if that does not help.
    """
    if config["lost"] > MAX_LOST:
        raise patience.give_up(f"trial {config['trial']}: {failure.line}")
    patience(str(run.path), lambda: check_writable(run.path))
