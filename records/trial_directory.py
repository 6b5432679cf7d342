"""One trial's files in a run directory: record, reports, checkpoints and changes of settings."""

import contextlib
import json
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from records.checkpoint import BOOKKEEPING_KEYS, identity, read_identity
from records.older_names import todays_config
from records.store import append_line, read_rows, write_json

CHECKPOINT = "checkpoint_"
TAKEN = f"{CHECKPOINT}taken_"
"""The name of a folder with another trial's checkpoint begins with this; the step follows."""


@dataclass
class TrialRecord:
    """One trial's ``trial.json``.

    Attributes:
        number: The trial's number in the study; in a confirmation, its place there.
        started, finished: Seconds since 1970; ``finished`` is None while the trial runs.
        ended: The name of its outcome (``records.outcome``); None while the trial runs.
        audited: The cost at which the scheduler would have stopped it, in the search's unit, if it
            was let run on to see what early stopping costs; else None.
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
    """A line of ``schedule.json``: at ``step`` the trial took over the weights of trial ``donor``.

    Attributes:
        settings: Its config from then on, without the ``BOOKKEEPING_KEYS``.
        checkpoint: The folder, in the trial's directory, of its copy of the donor's checkpoint.
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
        """The trial's record; None if it cannot be read or belongs to another trial."""
        with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
            record = TrialRecord(**json.loads((self.path / "trial.json").read_bytes()))
            if isinstance(record.config, dict) and self.number in (None, record.number):
                return replace(record, config=todays_config(record.config))
        return None

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row to ``result.json``."""
        append_line(self.path / "result.json", row)

    def rows(self) -> list[dict[str, Any]]:
        """The trial's reports, ``in_order``."""
        return in_order(read_rows(self.path / "result.json")[0])

    def write_files(self, files: Mapping[str, bytes]) -> None:
        """Store the trial's other files, such as sample grids, by their path in its directory."""
        for name, content in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def made(self) -> list[Path]:
        """The folders of the trial's other files, such as sample grids."""
        return [
            folder
            for folder in sorted(self.path.iterdir())
            if folder.is_dir() and not folder.name.startswith(CHECKPOINT)
        ]

    def checkpoints(self) -> list[Path]:
        """The folders of this trial's checkpoints, latest first.

        A checkpoint is the trial's if its identity has the number, the seed and the settings of
        the trial's record, or of a later change of its settings. After the trial has taken over
        another's weights, its own older checkpoints do not count.
        """
        changes, record = self.schedule(), self.read()
        mine = [identity(config) for config in self._configs(record, changes)] if record else []
        found = [folder for folder in self._own_checkpoints() if _whose(folder) in mine]
        if not changes:
            return found
        taken = self.path / changes[-1].checkpoint
        if not taken.exists():
            return []
        return [*(folder for folder in found if _step(folder) > changes[-1].step), taken]

    def _configs(self, record: TrialRecord, changes: list[Change]) -> list[dict[str, Any]]:
        """All configs that the trial has had, the latest last."""
        own = {name: record.config[name] for name in BOOKKEEPING_KEYS if name in record.config}
        return [record.config, *({**change.settings, **own} for change in changes)]

    def checkpoint_at(self, step: int) -> Path | None:
        """The trial's checkpoint that was saved after ``step`` training steps, or None."""
        return next((folder for folder in self.checkpoints() if _step(folder) == step), None)

    def has_files(self) -> bool:
        """Whether a trial has left anything here, its record or other files."""
        return any(not file.name.endswith(".new") for file in self.path.glob("*"))

    def _own_checkpoints(self) -> list[Path]:
        states = self.path.glob("checkpoint_*/state.pt")
        found = [file.parent for file in states if not file.parent.name.startswith(TAKEN)]
        return sorted(found, key=lambda folder: (_step(folder), _saved(folder)), reverse=True)

    def drop_older_checkpoints(self, keep: int) -> None:
        """Delete all of the trial's own checkpoints but the ``keep`` latest."""
        for folder in self._own_checkpoints()[keep:]:
            shutil.rmtree(folder, ignore_errors=True)

    def drop_unrecorded(self) -> None:
        """Delete the checkpoints that are later than the last report; all, if there is no
        record."""
        if self.read() is None:
            return self.drop_checkpoints()
        last = max((row["step"] for row in self.rows()), default=-1)
        for folder in self._own_checkpoints():
            if _step(folder) > last:
                shutil.rmtree(folder, ignore_errors=True)

    def next_checkpoint(self) -> int:
        """A number above those of all checkpoints here."""
        folders = self.path.glob(f"{CHECKPOINT}[0-9]*")
        numbers = [int(folder.name.removeprefix(CHECKPOINT)) for folder in folders]
        return max(numbers, default=-1) + 1

    def drop_checkpoints(self) -> None:
        """Delete all checkpoints."""
        for folder in self.path.glob("checkpoint_*"):
            shutil.rmtree(folder, ignore_errors=True)

    def take_over(
        self, checkpoint: Path, step: int, donor: int, settings: Mapping[str, Any]
    ) -> Path:
        """Let the trial go on from a copy of the donor's ``checkpoint``; returns the copy.

        The copy is complete before a line of ``schedule.json`` names it: a copy that no line names
        does not count.
        """
        copy = self.path / f"{TAKEN}{step:06d}"
        new = copy.with_name(f".{copy.name}")
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(checkpoint, new)
        shutil.rmtree(copy, ignore_errors=True)
        new.rename(copy)
        change = Change(step, donor, dict(settings), copy.name)
        append_line(self.path / "schedule.json", asdict(change))
        for earlier in self.path.glob(f"{TAKEN}*"):
            if earlier != copy:
                shutil.rmtree(earlier, ignore_errors=True)
        return copy

    def schedule(self) -> list[Change]:
        """The changes of the trial's settings, in order; only ``--scheduler pbt`` makes any."""
        changes = []
        for line in read_rows(self.path / "schedule.json")[0]:
            with contextlib.suppress(TypeError):
                changes.append(Change(**line))
        return changes

    def config(self, record: TrialRecord) -> dict[str, Any]:
        """The trial's config after the latest change of its settings."""
        return self._configs(record, self.schedule())[-1]


def in_order(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Reports by ``step``; of a step that a resumed trial reported twice, the later report."""
    by_step = {row["step"]: row for row in rows}
    return [by_step[step] for step in sorted(by_step)]


def _whose(checkpoint: Path) -> dict[str, str]:
    """The checkpoint's identity without its step."""
    found = read_identity(checkpoint) or {}
    return {name: value for name, value in found.items() if name != "step"}


def _step(checkpoint: Path) -> int:
    """The training step at which a checkpoint was saved; -1 if it does not say so."""
    return int((read_identity(checkpoint) or {}).get("step", -1))


def _saved(checkpoint: Path) -> float:
    """When a checkpoint was written; its folder is older if a resumed trial wrote over it."""
    return (checkpoint / "state.pt").stat().st_mtime
