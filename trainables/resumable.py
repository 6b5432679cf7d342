"""What every trial shares: its device and seeds, reset for the next trial, exact checkpoints, and
why it ended.

A trial is a Ray Tune class trainable, so that one worker process serves many trials:
``reset_config`` rebuilds all of a trial from its config, which makes a trial some fifteen times
cheaper to start than a new process. A trainable fills in five short methods (``build``,
``advance``, ``evaluate``, ``state_dict``, ``load_state_dict``); this file does the rest.
Source: https://docs.ray.io/en/latest/tune/api/trainable.html
"""

import logging
import math
import platform
import random
import tempfile
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import ray
import torch
from ray import tune
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from records.checkpoint import identity, metadata, read_identity
from records.outcome import BUDGET, DIVERGED, Outcome
from trainables.actor_name import show_actor_as

logger = logging.getLogger(__name__)

Row = dict[str, Any]
REPORT_EVERY = 100
"""Training steps between two reports, unless the config has ``report_every``: each trains this long, then evaluates."""

RECORD_EVERY = 10
"""Training steps between two points of the training curves."""

STREAMS = ("weights", "train", "evaluation", "test", "samples")
"""The trial's own random streams. Drawing from one never shifts another."""


def generator(seed: int, stream: str, device: torch.device) -> torch.Generator:
    """The generator of one of the trial's ``STREAMS``, on ``device``.

    The streams of one seed, and those of neighbouring seeds, are unrelated: numpy's SeedSequence
    mixes both numbers.
    """
    mixed = np.random.SeedSequence((seed, STREAMS.index(stream))).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(mixed >> np.uint64(1)))


def settings_at(config: Mapping[str, Any], step: int) -> dict[str, Any]:
    """The config as it is after ``step`` training steps: with the changes that its ``schedule`` has for up to there."""
    changes = [change for at, change in config.get("schedule", ()) if at <= step]
    return {**config, **{name: value for change in changes for name, value in change.items()}}


def assigned_device() -> torch.device:
    """The GPU that Ray gave this process, or the CPU with as many threads as it was given cores.

    Raises RuntimeError if Ray gave it a GPU that torch cannot use: to train on the CPU instead
    would take all day unsaid.

    In a Ray worker, numbers below 1e-38 count as zero. A recurrent network whose gates saturate is
    full of them, and a CPU takes ten times as long over each.
    """
    if not ray.is_initialized():
        return torch.device("cpu")
    torch.set_flush_denormal(True)
    resources = ray.get_runtime_context().get_assigned_resources()
    torch.set_num_threads(max(1, int(resources.get("CPU", 1))))
    share = resources.get("GPU", 0.0)
    if not share:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RuntimeError(
            f"Ray gave this trial {share:g} GPU on {platform.node()}, but torch {torch.__version__} cannot use it: install a"
            " torch that fits the node's GPU driver, or search with --gpus-per-trial 0"
        )
    if share < 1:  # A fraction of a GPU isolates nothing by itself: bound the memory too.
        torch.cuda.set_per_process_memory_fraction(share)
    return torch.device("cuda")


class SaveFailed(OSError):
    """A checkpoint could not be written: the storage's failure, not the trial's."""


class ResumableTrainable(tune.Trainable):
    """One trial of a search: trains in pieces of ``REPORT_EVERY`` steps, and says by itself when
    and why it has ended.

    Config keys that every trial has: ``seed``, ``max_steps``, and in a search ``trial``, its
    number. ``restore_from`` may list checkpoint folders, the latest first: the trial goes on from
    the first one that can be read. ``schedule`` may list settings that change on the way, as
    ``[step, {name: value}]`` in order of the steps after which they do; only settings that the
    model's weights do not depend on can. The rest is the trainable's own.

    Each report is a flat row. Every row has ``step`` and ``ended``: None while the trial could go
    on, else ``budget`` (all of ``max_steps`` used), ``diverged`` (a figure that is not finite) or
    what the trainable says of itself. A trial whose last row has ``ended`` None was stopped from
    outside, by the scheduler or by the end of the search. A row that is handed out may carry
    ``files``, by their path in the trial's directory, which are no part of the record.
    """

    shared: Any = None
    """What all trials of a search read and none changes, such as images: in a search, a reference into Ray's object store."""

    outcomes: ClassVar[tuple[Outcome, ...]] = ()
    """How its trials may end beside ``converged``, ``budget`` and ``diverged``."""

    model: nn.Module

    def setup(self, config: dict[str, Any]) -> None:
        self.device = assigned_device()
        if isinstance(self.shared, ray.ObjectRef):
            self.shared = ray.get(self.shared)  # this worker's own view of it, for all its trials
        self.files: dict[str, bytes] = {}
        self._start(config)
        for folder in config.get("restore_from", ()):
            try:
                self.load_checkpoint(folder)
                break
            except (
                Exception
            ) as error:  # a torn file raises whatever its first torn byte happens to mean
                logger.warning(
                    "checkpoint %s cannot be read, trying an earlier one: %s", folder, error
                )
                self._start(config)

    def _start(self, config: dict[str, Any], step: int = 0) -> None:
        """Build the trial anew, with its settings as they are after ``step`` steps."""
        self._given = config
        self.config = settings_at(config, step)
        seed = int(config["seed"])
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        self.step_number = 0
        self.steps_since_report = 0
        self.last_row: Row = {"ended": None}
        self.build(self.config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        show_actor_as(repr(self))
        return True

    def __repr__(self) -> str:
        settings = " ".join(
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in self.config.items()
            if name not in ("trial", "restore_from", "lost", "schedule")
        )
        return f"trial {self.config.get('trial', self.trial_id)}: {settings}"

    def step(self) -> Row:
        """Train for one report's steps and evaluate; a trial that has ended repeats its last row."""
        if self.last_row["ended"] is None:
            self.last_row = self._train_and_report()
        files, self.files = self.files, {}
        return {
            **self.last_row,
            "done": self.last_row["ended"] is not None,
            **({"files": files} if files else {}),
        }

    def _train_and_report(self) -> Row:
        max_steps = int(self.config["max_steps"])
        reported = self.step_number
        recorded: list[dict[str, Tensor]] = []
        while self.step_number < max_steps and not self.report_due(self.step_number - reported):
            self._follow_schedule()
            self.step_number += 1
            measured = self.advance()
            if self.step_number % RECORD_EVERY == 0:
                recorded.append(measured)
        self.steps_since_report = self.step_number - reported
        recorded = recorded or [measured]
        curves = {
            f"train_{name}": torch.stack([point[name] for point in recorded]).tolist()
            for name in measured
        }
        row: Row = {"step": self.step_number, **curves}
        if not all(math.isfinite(value) for values in curves.values() for value in values):
            return self._diverged(row, curves)
        figures = self.evaluate(curves)
        if not all(math.isfinite(value) for value in figures.values() if isinstance(value, float)):
            return self._diverged(row, curves)
        row |= figures
        if row["ended"] is None and self.step_number == max_steps:
            row["ended"] = BUDGET.name
        return row

    def _follow_schedule(self) -> None:
        """Where a setting changes now, go on from a checkpoint of this very moment, as a trial with other settings would."""
        if settings_at(self._given, self.step_number) != self.config:
            with tempfile.TemporaryDirectory() as folder:
                self.save_checkpoint(folder)
                self.load_checkpoint(folder)

    def _diverged(self, row: Row, curves: Mapping[str, list[float]]) -> Row:
        finite = {
            name: [v if math.isfinite(v) else None for v in values]
            for name, values in curves.items()
        }
        return {**row, **finite, **self.diverged_row(), "ended": DIVERGED.name}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """``model.safetensors`` (weights) and ``state.pt`` (everything else, random states
        included).

        Both say whose they are and after which step they were saved (see ``records.checkpoint``).
        Raises SaveFailed if they cannot be written.
        """
        try:
            self._save(Path(checkpoint_dir))
        except (
            OSError,
            RuntimeError,
            SafetensorError,
        ) as error:  # torch and safetensors each have their own word for it
            raise SaveFailed(
                f"a checkpoint cannot be saved: {' '.join(str(error).split())}"
            ) from error

    def _save(self, folder: Path) -> None:
        saved = {**identity(self._given), "step": str(self.step_number)}
        save_file(self.model.state_dict(), folder / "model.safetensors", metadata(saved))
        state = {
            "identity": saved,
            "step_number": self.step_number,
            "max_steps": int(self.config["max_steps"]),
            "last_row": self.last_row,
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state() if self.device.type == "cuda" else None,
            **self.state_dict(),
        }
        torch.save(state, folder / "state.pt")

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Continue exactly where ``save_checkpoint`` left off; ``checkpoint`` is the folder's path.

        It may be another trial's, with other settings: this trial's own hold from there on. Raises
        ValueError if the two files of the checkpoint were not saved together.
        """
        folder = Path(checkpoint)
        state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
        if state["identity"] != read_identity(folder):
            raise ValueError(f"the weights and the state in {folder} were not saved together")
        if settings_at(self._given, state["step_number"]) != self.config:
            self._start(self._given, state["step_number"])
        self.model.load_state_dict(load_file(folder / "model.safetensors", device=str(self.device)))
        self.step_number = state["step_number"]
        self.last_row = state["last_row"]
        if self.last_row["ended"] == BUDGET.name and state["max_steps"] < int(
            self.config["max_steps"]
        ):
            self.last_row = {**self.last_row, "ended": None}  # the budget has grown since
        torch.set_rng_state(state["torch_rng"])
        if self.device.type == "cuda" and state["cuda_rng"] is not None:
            torch.cuda.set_rng_state(state["cuda_rng"])
        self.load_state_dict(state)

    @abstractmethod
    def build(self, config: dict[str, Any]) -> None:
        """Make everything of the trial anew from ``config``: model, optimizer, data, counters."""

    def report_due(self, steps: int) -> bool:
        """Whether to report now, ``steps`` training steps after the last report."""
        return steps >= int(self.config.get("report_every", REPORT_EVERY))

    @abstractmethod
    def advance(self) -> dict[str, Tensor]:
        """One training step. Returns 0-dimensional tensors for the training curves; nothing waits for the device here."""

    @abstractmethod
    def evaluate(self, curves: Mapping[str, list[float]]) -> Row:
        """Measure the model: the report's figures, ``ended`` among them. ``curves``: the training points since the last one."""

    @abstractmethod
    def diverged_row(self) -> Row:
        """What a trial reports in place of ``evaluate`` when a figure is no longer finite: the worst there is, or nothing."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and lists that ``load_state_dict`` needs to go on exactly, without the model's weights."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The reverse of ``state_dict``, on a trial just built."""
