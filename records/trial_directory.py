"""One trial's files in a run directory: its record, its reports, its checkpoints, and the changes of its settings."""

import contextlib
import json
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from records.checkpoint import BOOKKEEPING_KEYS, identity, read_identity
from records.store import append_line, read_rows, write_json

CHECKPOINT = "checkpoint_"
TAKEN = f"{CHECKPOINT}taken_"
"""What the folder of a checkpoint that was another trial's begins with; the step follows."""


@dataclass
class TrialRecord:
    """One trial's ``trial.json``.

    Attributes:
        number: The trial's number in the study, and in a confirmation its place there.
        started, finished: Seconds since 1970; ``finished`` is None while it runs.
        ended: Why: what the trial says of itself (see ``trainables.resumable``), or stopped early,
            error, time budget, target reached; None while it runs.
        audited: Where the scheduler would have stopped it, in the search's unit of cost, had it not
            been let run on to see what early stopping costs; None for others.
    """

    number: int
    config: dict[str, Any]
    started: float = field(default_factory=time.time)
    finished: float | None = None
    ended: str | None = None
    error: str | None = None
    node: str | None = None
    pid: int | None = None
    audited: float | None = None


@dataclass
class Change:
    """A line of a trial's ``schedule.json``: after ``step`` steps it took over the weights of trial
    ``donor``.

    Attributes:
        settings: All that its config says from then on but its ``BOOKKEEPING_KEYS``.
        checkpoint: The folder, in the trial's directory, with the copy of the donor's weights and
            state.
    """

    step: int
    donor: int
    settings: dict[str, Any]
    checkpoint: str


class TrialDirectory:
    """The files of one trial."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def number(self) -> int | None:
        """The number in the folder's name."""
        folder = re.fullmatch(r"trial_(\d+)", self.path.name)
        return int(folder[1]) if folder else None

    def write(self, record: TrialRecord) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / "trial.json", asdict(record))

    def read(self) -> TrialRecord | None:
        """The trial's record, or None if there is none that can be read, or another trial's."""
        with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
            record = TrialRecord(**json.loads((self.path / "trial.json").read_bytes()))
            if isinstance(record.config, dict) and self.number in (None, record.number):
                return record
        return None

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row to ``result.json``."""
        append_line(self.path / "result.json", row)

    def rows(self) -> list[dict[str, Any]]:
        """The trial's reports in order of ``step``; of a step reported twice (a trial that went on), the later one."""
        by_step = {row["step"]: row for row in read_rows(self.path / "result.json")[0]}
        return [by_step[step] for step in sorted(by_step)]

    def write_files(self, files: Mapping[str, bytes]) -> None:
        """Store what a trial made beside its rows, such as sample grids, by the path in its directory."""
        for name, content in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def made(self) -> list[Path]:
        """Folders of what the trial made beside its reports, such as sample grids."""
        return [
            folder
            for folder in sorted(self.path.iterdir())
            if folder.is_dir() and not folder.name.startswith(CHECKPOINT)
        ]

    def checkpoints(self) -> list[Path]:
        """Checkpoint folders that are this trial's, the latest first; none from before the trial
        took over another's weights.

        Whose they are is what they say themselves: number, seed and settings must be those of the
        trial's record, or of a change of its settings since.
        """
        changes, record = self.schedule(), self.read()
        mine = [identity(config) for config in self._configs(record, changes)] if record else []
        found = [folder for folder in self._own_checkpoints() if _whose(folder) in mine]
        if changes:
            taken = self.path / changes[-1].checkpoint
            found = (
                [folder for folder in found if _step(folder) > changes[-1].step]
                if taken.exists()
                else []
            )
            found += [taken] * taken.exists()
        return found

    def _configs(self, record: TrialRecord, changes: list[Change]) -> list[dict[str, Any]]:
        """All configs that the trial has had."""
        own = {name: record.config[name] for name in BOOKKEEPING_KEYS if name in record.config}
        return [record.config, *({**change.settings, **own} for change in changes)]

    def checkpoint_at(self, step: int) -> Path | None:
        """The trial's checkpoint that was saved after ``step`` training steps, or None."""
        return next((folder for folder in self.checkpoints() if _step(folder) == step), None)

    def has_files(self) -> bool:
        """Whether anything is here that a trial has left, its record or what goes with it."""
        return any(not file.name.endswith(".new") for file in self.path.glob("*"))

    def _own_checkpoints(self) -> list[Path]:
        found = [
            file.parent
            for file in self.path.glob("checkpoint_*/state.pt")
            if not file.parent.name.startswith(TAKEN)
        ]
        return sorted(found, key=lambda folder: (_step(folder), _saved(folder)), reverse=True)

    def drop_older_checkpoints(self, keep: int) -> None:
        """Leave the ``keep`` latest of the trial's own checkpoints, and what it took over."""
        for folder in self._own_checkpoints()[keep:]:
            shutil.rmtree(folder, ignore_errors=True)

    def drop_checkpoints(self) -> None:
        for folder in self.path.glob("checkpoint_*"):
            shutil.rmtree(folder, ignore_errors=True)

    def take_over(
        self, checkpoint: Path, step: int, donor: int, settings: Mapping[str, Any]
    ) -> Path:
        """Record that the trial goes on from the donor's ``checkpoint``; returns its own copy of
        it.

        The copy is whole before the line that names it is written: one without a line does not
        count.
        """
        copy = self.path / f"{TAKEN}{step:06d}"
        new = copy.with_name(f".{copy.name}")
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(checkpoint, new)
        shutil.rmtree(copy, ignore_errors=True)
        new.rename(copy)
        append_line(
            self.path / "schedule.json", asdict(Change(step, donor, dict(settings), copy.name))
        )
        for earlier in self.path.glob(f"{TAKEN}*"):
            if earlier != copy:
                shutil.rmtree(earlier, ignore_errors=True)
        return copy

    def schedule(self) -> list[Change]:
        """The changes of the trial's settings, in order; empty without population based training."""
        changes = []
        with contextlib.suppress(OSError):
            for line in (self.path / "schedule.json").read_text("utf-8", "replace").splitlines():
                with contextlib.suppress(ValueError, TypeError, RecursionError):
                    changes.append(Change(**json.loads(line)))
        return changes

    def config(self, record: TrialRecord) -> dict[str, Any]:
        """The trial's config as it is now: with the settings of the last change, if there was one."""
        return self._configs(record, self.schedule())[-1]


def _whose(checkpoint: Path) -> dict[str, str]:
    """The checkpoint's identity without its step."""
    return {
        name: value for name, value in (read_identity(checkpoint) or {}).items() if name != "step"
    }


def _step(checkpoint: Path) -> int:
    """After how many training steps a checkpoint was saved; -1 if it does not say so."""
    return int((read_identity(checkpoint) or {}).get("step", -1))


def _saved(checkpoint: Path) -> float:
    """When a checkpoint was written; its folder may be older, if a trial that goes on counts from 0 again."""
    return (checkpoint / "state.pt").stat().st_mtime
