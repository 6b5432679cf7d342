"""What every trial shares: its device, its seeds, exact checkpoints, and why it ended.

A trial is a Ray Tune class trainable, so that one worker process serves many trials:
``reset_config`` rebuilds the whole trial from the next config. That is some fifteen times faster
than a new process. A trainable fills in three methods (``build``, ``advance``, ``evaluate``) and
names what its checkpoints hold (``saved``); this file does the rest.
Source: https://docs.ray.io/en/latest/tune/api/trainable.html
"""

import logging
import math
import tempfile
from abc import abstractmethod
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import ray
import torch
from ray import tune
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.serialization import get_unsafe_globals_in_checkpoint

from records.checkpoint import identity, metadata, read_identity
from records.outcome import BUDGET, DIVERGED, Outcome, register
from trainables.actor_name import show_actor_as
from trainables.device import assigned_device
from trainables.random_states import random_states, seed_everything, set_random_states
from trainables.savable import cannot_be_read

logger = logging.getLogger(__name__)

Row = dict[str, Any]
REPORT_EVERY = 100
"""Training steps between two reports, unless the config has ``report_every``."""
RECORD_EVERY = 10
"""Training steps between two points of the training curves."""


def settings_at(config: Mapping[str, Any], step: int) -> dict[str, Any]:
    """The config after ``step`` training steps: changed as its ``schedule`` says."""
    settings = dict(config)
    for at, change in config.get("schedule", ()):
        if at <= step:
            settings |= change
    return settings


def plain(row: Row) -> Row:
    """A row with Python's numbers in place of numpy's, which a checkpoint cannot hold."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in row.items()
    }


class SaveFailed(OSError):
    """A checkpoint could not be written: the storage failed, not the trial."""


class ResumableTrainable(tune.Trainable):
    """One trial of a search: trains ``REPORT_EVERY`` steps, reports, and so on until it ends.

    Every config has ``seed`` and ``max_steps``, and in a search ``trial``, the trial's number.
    ``restore_from`` may list paths or URIs of checkpoints, the latest first: the trial continues
    from the first that can be read. ``schedule`` may list settings that change during the training,
    as ``[step, {name: value}]`` in order of the steps after which they change. Settings that decide
    the shape of the model's weights cannot change. All other keys are the trainable's own.

    Each report is a flat row. Every row has ``step`` and ``ended``: None while the trial can go
    on, ``budget`` (all of ``max_steps`` is used), ``diverged`` (a value is not finite) or an
    outcome that the trainable itself reports. A trial whose last row has ``ended`` None was
    stopped from outside, by the scheduler or by the end of the search. A row that is handed out
    may carry ``files``, by their path in the trial's directory; they are no part of the record.
    """

    shared: Any = None
    """What all trials of a search read and none changes, such as images. A search stores it in
    Ray's object store and gives a reference."""

    outcomes: ClassVar[tuple[Outcome, ...]] = ()
    """How its trials may end, other than ``converged``, ``budget`` and ``diverged``. They are known
    to records and reports as soon as the class is defined."""

    saved: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes that a checkpoint holds in addition to the weights of ``model``:
    optimizers and whatever else has a ``state_dict``, random generators, tensors, and Python's own
    numbers, strings, tuples, lists and dictionaries of these."""

    model: nn.Module

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        register(*cls.outcomes)

    def setup(self, config: dict[str, Any]) -> None:
        self.device = assigned_device()
        if isinstance(self.shared, ray.ObjectRef):
            self.shared = ray.get(self.shared)  # once for all trials of this worker
        self.files: dict[str, bytes] = {}
        self._start(config)
        for folder in config.get("restore_from", ()):
            try:
                with tune.Checkpoint(folder).as_directory() as here:
                    self.load_checkpoint(here)
                break
            except torch.OutOfMemoryError:  # of a GPU: the checkpoint may be whole
                raise
            except Exception as error:  # a damaged file can raise anything
                logger.warning("cannot read %s, trying an earlier checkpoint: %s", folder, error)
                self._start(config)
        self._check_readable(self.state_dict())  # before a checkpoint is due

    def _start(self, config: dict[str, Any], step: int = 0) -> None:
        """Build the trial anew with its settings after ``step`` steps."""
        self._given = config
        self.config = settings_at(config, step)
        seed_everything(int(config["seed"]))
        self.step_number = self.steps_since_report = 0
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
            if name not in ("trial", "restore_from", "lost", "schedule", "first_seed_until")
        )
        return f"trial {self.config.get('trial', self.trial_id)}: {settings}"

    def step(self) -> Row:
        """Train until the next report and evaluate; a trial that has ended repeats its last row."""
        if self.last_row["ended"] is None:
            self.last_row = self._train_and_report()
        row = {**self.last_row, "done": self.last_row["ended"] is not None}
        files, self.files = self.files, {}
        return {**row, "files": files} if files else row

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
        if not all(map(math.isfinite, chain(*curves.values()))):
            return self._diverged(row, curves)
        metrics = plain(self.evaluate(curves))
        if not all(math.isfinite(value) for value in metrics.values() if isinstance(value, float)):
            return self._diverged(row, curves)
        row |= metrics
        if row["ended"] is None and self.step_number == max_steps:
            row["ended"] = BUDGET.name
        return row

    def _follow_schedule(self) -> None:
        """If a setting changes now, continue from a checkpoint, as another trial would."""
        if settings_at(self._given, self.step_number) != self.config:
            with tempfile.TemporaryDirectory() as folder:
                self.save_checkpoint(folder)
                self.load_checkpoint(folder)

    def _diverged(self, row: Row, curves: Mapping[str, list[float]]) -> Row:
        finite = {k: [v if math.isfinite(v) else None for v in vs] for k, vs in curves.items()}
        return {**row, **finite, **plain(self.diverged_row()), "ended": DIVERGED.name}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write ``model.safetensors`` (the weights) and ``state.pt`` (all else, random states too).

        Both files name their trial and training step (see ``records.checkpoint``). Raises
        SaveFailed if they cannot be written, and TypeError, which names the attribute, if one of
        ``saved`` could not be read again: a resumed trial would start anew, and nobody would know
        why.
        """
        folder = Path(checkpoint_dir)
        whose = {**identity(self._given), "step": str(self.step_number)}
        weights = {  # copies: safetensors takes neither tied weights nor another layout in memory
            name: own.detach().clone(memory_format=torch.contiguous_format)
            for name, own in self.model.state_dict().items()
        }
        state = {"identity": whose, **self._state()}
        try:
            save_file(weights, folder / "model.safetensors", metadata(whose))
            torch.save(state, folder / "state.pt")
        except (OSError, RuntimeError, SafetensorError) as error:  # torch raises RuntimeError
            reason = " ".join(str(error).split())
            raise SaveFailed(f"a checkpoint cannot be saved: {reason}") from error
        except Exception:  # what cannot be pickled can raise anything
            self._check_readable(state)
            raise
        if get_unsafe_globals_in_checkpoint(folder / "state.pt"):
            self._check_readable(state)

    def _check_readable(self, state: Mapping[str, Any]) -> None:
        """Raise TypeError, in one line, if a checkpoint cannot hold an entry of the state."""
        for name, kind in cannot_be_read(state).items():
            raise TypeError(
                f"a checkpoint cannot hold {type(self).__name__}.{name}, a {kind}: make it a tensor"
                " or one of Python's own numbers, strings, tuples, lists or dictionaries"
            )

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Continue exactly where ``save_checkpoint`` stopped; ``checkpoint`` is the folder's path.

        It may be the checkpoint of a trial with other settings: this trial's own settings apply
        from there on. Raises ValueError if its two files were not saved together.
        """
        folder = Path(checkpoint)
        state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
        if state["identity"] != read_identity(folder):
            raise ValueError(f"the weights and the state in {folder} were not saved together")
        if settings_at(self._given, state["step_number"]) != self.config:
            self._start(self._given, state["step_number"])
        self.model.load_state_dict(load_file(folder / "model.safetensors", device=str(self.device)))
        self._put_state(state)

    def _state(self) -> dict[str, Any]:
        """What a checkpoint holds besides the weights of ``model``."""
        return {
            "step_number": self.step_number,
            "max_steps": int(self.config["max_steps"]),
            "last_row": self.last_row,
            **random_states(self.device),
            **self.state_dict(),
        }

    def _put_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``_state``, on a trial just built."""
        self.step_number = state["step_number"]
        self.last_row = state["last_row"]
        grown = state["max_steps"] < int(self.config["max_steps"])
        if self.last_row["ended"] == BUDGET.name and grown:
            self.last_row = {**self.last_row, "ended": None}
        set_random_states(state, self.device)
        self.load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds of the ``saved`` attributes."""
        state = {}
        for name in self.saved:
            own = getattr(self, name)
            get = getattr(own, "get_state", None) or getattr(own, "state_dict", None)
            state[name] = get() if get else own
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The reverse of ``state_dict``, on a trial just built."""
        for name in self.saved:
            own = getattr(self, name)
            put = getattr(own, "set_state", None) or getattr(own, "load_state_dict", None)
            if put is None:
                kept = state[name]
                if isinstance(own, Tensor) and isinstance(kept, Tensor):
                    kept = kept.to(own.device)  # a checkpoint is read into the CPU's memory
                setattr(self, name, kept)
            elif state[name] is not None:  # else the checkpoint's trial did without it
                put(state[name])

    @abstractmethod
    def build(self, config: dict[str, Any]) -> None:
        """Make the whole trial anew from ``config``: model, optimizer, data, counters."""

    def report_due(self, steps: int) -> bool:
        """Whether to report now, ``steps`` training steps after the last report."""
        return steps >= int(self.config.get("report_every", REPORT_EVERY))

    @abstractmethod
    def advance(self) -> dict[str, Tensor]:
        """One training step. Returns the values of the training curves as 0-dimensional tensors.

        They stay on the device: to read one (``item``) would wait for it.
        """

    @abstractmethod
    def evaluate(self, curves: Mapping[str, list[float]]) -> Row:
        """Measure the model: the metrics of a report and ``ended``. ``curves``: the training curves
        since the last report."""

    def diverged_row(self) -> Row:
        """The metrics of a trial with a value that is not finite: the worst of each, or none."""
        return {}
