"""What broke a trial: an error of its own, which is final, or the machine.

Ray Tune would go on with a trial whose worker died while it ran, but not if the worker, kept from
an earlier trial, was dead before. It would also repeat a trial after its own error. Here Ray Tune
repeats nothing: each failure has a ``Blame``, and ``tuning.engine.retries`` hands a trial out again
if the machine is to blame. A trial that had already reported its outcome keeps it, even if its
weights could not be saved. A trial that needs more memory than its share of a GPU fails by itself:
its settings would need it again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ray import cloudpickle, exceptions
from ray.tune.experiment import Trial

from trainables.resumable import SaveFailed
from tuning.engine.patience import STORAGE_ERRORS

MAX_LOST = 3
"""Failures of the machine under one trial, after which its settings are suspected."""

Blame = Literal["trial", "machine", "memory", "storage"]

TUNES_STORAGE = "ray/train/_internal/storage.py"
"""In the traceback of an error that was raised while Ray Tune copied a checkpoint."""

WORKERS_FOLDER = "os.getcwd()"
"""In the traceback of an error of Ray Tune's if the folder of its worker is gone. Ray starts the
worker in the ``working_dir`` of a job, and may remove it if another node joins on one machine."""

LOW_ON_MEMORY = "running low on memory"
"""Ray's words for what its memory monitor has killed."""

OUT_OF_GPU_MEMORY = re.compile(
    r"^[\w.]+: (CUDA|cuDNN|HIP)\b.*(out of memory|STATUS_ALLOC_FAILED)", re.MULTILINE
)
"""The line of a traceback with which torch, or a library that it calls, says that a GPU's memory is
used up."""


class NotTheTrials(Exception):
    """An error of which Ray Tune keeps only the text. It keeps whole what a trainable raises."""


@dataclass(frozen=True)
class Failure:
    """How Ray Tune's ``trial`` failed, and who is to blame."""

    trial: Trial
    error: Exception
    blame: Blame

    @classmethod
    def of(cls, trial: Trial) -> "Failure":
        """How Ray Tune's ``trial`` failed."""
        error = _read_error(trial)
        return cls(trial, error, blamed(error))

    @property
    def outcome(self) -> str | None:
        """The outcome that the trial's last report had, or None if the trial had not ended."""
        return (self.trial.last_result or {}).get("ended")

    @property
    def again(self) -> bool:
        """Whether the trial is handed out again."""
        if self.outcome is not None or self.blame == "trial":
            return False
        return self.blame == "storage" or self.trial.config.get("lost", 0) < MAX_LOST

    @property
    def config_again(self) -> dict[str, Any]:
        """The trial's config with this failure counted as ``lost``."""
        return {**self.trial.config, "lost": self.trial.config.get("lost", 0) + 1}

    @property
    def line(self) -> str:
        """What happened, in one line."""
        if self.blame == "memory":
            return "out of memory: Ray's memory monitor killed its worker"
        if self.blame == "trial" and OUT_OF_GPU_MEMORY.search(str(self.error)):
            request: Any = self.trial.placement_group_factory
            gpus = request.required_resources.get("GPU", 0)
            return out_of_gpu_memory(self.trial.config, gpus)
        lines = [line.strip() for line in str(self.error).splitlines() if line.strip()]
        if not lines:
            return "unknown error"
        return lines[0] if self.blame == "machine" else lines[-1]


def _read_error(trial: Trial) -> Exception:
    """The exception that broke the trial.

    ``Trial.get_error`` looks for it in a folder to which Ray copies it later.
    """
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
    """Whose failure ``error`` is. An exception in ``setup`` that ends a worker is the trial's."""
    if isinstance(error, exceptions.RayActorError) and error.actor_init_failed:
        return "trial"
    if isinstance(error, exceptions.RayTaskError):
        # Raised inside the trainable, or by something that it waited for.
        cause = error.cause
        if isinstance(cause, SaveFailed) or _is_storage_error(cause, str(error)):
            return "storage"
        if isinstance(cause, FileNotFoundError) and WORKERS_FOLDER in str(error):
            return "machine"
        if not isinstance(cause, exceptions.RayError):
            return "trial"
        error = cause
    if isinstance(error, exceptions.OutOfMemoryError) or LOW_ON_MEMORY in str(error):
        return "memory"
    return "machine" if isinstance(error, exceptions.RayError | NotTheTrials) else "trial"


def out_of_gpu_memory(config: Mapping[str, Any], gpus: float) -> str:
    """What happened to a trial with this ``config`` and so many ``gpus``, with the remedies.

    The line has no number of bytes, so trials that fail for this reason fail alike.
    """
    lower = "--set batch_size" if "batch_size" in config else "the settings that need most of it"
    share = ", or raise --gpus-per-trial" if 0 < gpus < 1 else ""
    return f"CUDA out of memory: lower {lower}{share}"


def _is_storage_error(error: object, traceback: str) -> bool:
    return isinstance(error, OSError) and (
        error.errno in STORAGE_ERRORS or TUNES_STORAGE in traceback
    )
