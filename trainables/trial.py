"""What every trial shares: its device and seeds, reset for the next trial, exact checkpoints, and why it ended.

A trial is a Ray Tune class trainable, so that one worker process serves many trials: ``reset_config`` rebuilds all of a
trial from its config, which makes a trial some fifteen times cheaper to start than a new process. A trainable fills in
five short methods (``build``, ``advance``, ``evaluate``, ``state_dict``, ``load_state_dict``); this file does the rest.
Source: https://docs.ray.io/en/latest/tune/api/trainable.html
"""

import logging
import math
import random
from abc import abstractmethod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import ray
import torch
from ray import tune
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trainables.nameplate import announce

logger = logging.getLogger(__name__)

Row = dict[str, Any]
Ended = Literal["converged", "budget", "diverged"]

REPORT_EVERY = 100
"""Training steps between two reports: each trains this long, then evaluates."""

RECORD_EVERY = 10
"""Training steps between two points of the training curves."""

STREAMS = ("weights", "train", "evaluation", "test")
"""The trial's own random streams. Drawing from one never shifts another."""


def generator(seed: int, stream: str, device: torch.device) -> torch.Generator:
    """The generator of one of the trial's ``STREAMS``, on ``device``.

    The streams of one seed, and those of neighbouring seeds, are unrelated: numpy's SeedSequence mixes both numbers.
    """
    mixed = np.random.SeedSequence((seed, STREAMS.index(stream))).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(mixed >> np.uint64(1)))


def assigned_device() -> torch.device:
    """The GPU that Ray gave this process, or the CPU with as many threads as it was given cores."""
    if not ray.is_initialized():
        return torch.device("cpu")
    resources = ray.get_runtime_context().get_assigned_resources()
    torch.set_num_threads(max(1, int(resources.get("CPU", 1))))
    share = resources.get("GPU", 0.0)
    if not share or not torch.cuda.is_available():
        return torch.device("cpu")
    if share < 1:  # A fraction of a GPU isolates nothing by itself: bound the memory too.
        torch.cuda.set_per_process_memory_fraction(share)
    return torch.device("cuda")


class Trial(tune.Trainable):
    """One trial of a search: trains in pieces of ``REPORT_EVERY`` steps, and says by itself when and why it has ended.

    Config keys that every trial has: ``seed``, ``max_steps``, and in a search ``trial``, its number. ``restore_from`` may
    list checkpoint folders, the latest first: the trial goes on from the first one that can be read. The rest is the
    trainable's own.

    Each report is a flat row. Every row has ``step`` and ``ended``: None while the trial could go on, else ``budget``
    (all of ``max_steps`` used), ``converged`` (as the trainable defines it) or ``diverged`` (a non-finite loss). A trial
    whose last row has ``ended`` None was stopped from outside, by the scheduler or by the end of the search.
    """

    model: nn.Module

    def setup(self, config: dict[str, Any]) -> None:
        self.device = assigned_device()
        self._start(config)
        for folder in config.get("restore_from", ()):
            try:
                self.load_checkpoint(folder)
                break
            except Exception as error:  # a torn file raises whatever its first torn byte happens to mean
                logger.warning("checkpoint %s cannot be read, trying an earlier one: %s", folder, error)
                self._start(config)

    def _start(self, config: dict[str, Any]) -> None:
        seed = int(config["seed"])
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        self.step_number = 0
        self.steps_since_report = 0
        self.last_row: Row = {"ended": None}
        self.build(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        announce(repr(self))
        return True

    def __repr__(self) -> str:
        settings = " ".join(
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in self.config.items()
            if name not in ("trial", "restore_from")
        )
        return f"trial {self.config.get('trial', self.trial_id)}: {settings}"

    def step(self) -> Row:
        """Train for one report's steps and evaluate; a trial that has ended repeats its last row."""
        if self.last_row["ended"] is None:
            self.last_row = self._train_and_report()
        return {**self.last_row, "done": self.last_row["ended"] is not None}

    def _train_and_report(self) -> Row:
        max_steps = int(self.config["max_steps"])
        target = min(self.step_number + REPORT_EVERY, max_steps)
        self.steps_since_report = target - self.step_number
        recorded: list[dict[str, Tensor]] = []
        while self.step_number < target:
            self.step_number += 1
            measured = self.advance()
            if self.step_number % RECORD_EVERY == 0:
                recorded.append(measured)
        recorded = recorded or [measured]
        curves = {f"train_{name}": torch.stack([point[name] for point in recorded]).tolist() for name in measured}
        row: Row = {"step": self.step_number, **curves}
        if all(math.isfinite(loss) for loss in curves["train_loss"]):
            row |= self.evaluate()
        if not math.isfinite(row.get("loss", math.nan)):
            finite = {name: [v if math.isfinite(v) else None for v in curves[name]] for name in curves}
            return {**row, **finite, **self.diverged_row(), "ended": "diverged"}
        if row["ended"] is None and self.step_number == max_steps:
            row["ended"] = "budget"
        return row

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """``model.safetensors`` (weights) and ``state.pt`` (everything else, random states included)."""
        save_file(self.model.state_dict(), Path(checkpoint_dir) / "model.safetensors")
        state = {
            "step_number": self.step_number,
            "last_row": self.last_row,
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state() if self.device.type == "cuda" else None,
            **self.state_dict(),
        }
        torch.save(state, Path(checkpoint_dir) / "state.pt")

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Continue exactly where ``save_checkpoint`` left off; ``checkpoint`` is the folder's path."""
        folder = Path(checkpoint)
        self.model.load_state_dict(load_file(folder / "model.safetensors", device=str(self.device)))
        state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
        self.step_number = state["step_number"]
        self.last_row = state["last_row"]
        torch.set_rng_state(state["torch_rng"])
        if self.device.type == "cuda" and state["cuda_rng"] is not None:
            torch.cuda.set_rng_state(state["cuda_rng"])
        self.load_state_dict(state)

    @abstractmethod
    def build(self, config: dict[str, Any]) -> None:
        """Make everything of the trial anew from ``config``: model, optimizer, data, counters."""

    @abstractmethod
    def advance(self) -> dict[str, Tensor]:
        """One training step. Returns 0-dimensional tensors, ``loss`` among them; nothing waits for the device here."""

    @abstractmethod
    def evaluate(self) -> Row:
        """Measure the model on held-out data: the report's figures, ``loss`` and ``ended`` among them."""

    @abstractmethod
    def diverged_row(self) -> Row:
        """What a trial reports in place of ``evaluate`` when its loss is no longer finite: the worst figures there are."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and lists that ``load_state_dict`` needs to go on exactly, without the model's weights."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The reverse of ``state_dict``, on a trial just built."""
