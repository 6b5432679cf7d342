"""A run's directory: what a search leaves on disk, written so that it can be cut off at any moment and gone on with.

    runs/NAME/search.json               the run's id and format, options, versions, commit, host, and one session for every
                                        start of the search
    runs/NAME/optuna.db                 the study, one Optuna trial for every trial
    runs/NAME/trial_0007/trial.json     settings, seed, when it ran and how it ended
    runs/NAME/trial_0007/result.json    one line a report (Ray Tune's own file name and format, without its constants)
    runs/NAME/trial_0007/schedule.json  where others' weights were taken over: one line a change of the settings
    runs/NAME/trial_0007/checkpoint_*   the latest weights and state; kept for the best few once a trial has ended
    runs/NAME/trial_0007/error.txt      what it failed of; lost.txt: what the machine failed of under it
    runs/NAME/confirmation/             the same again for the trials on fresh seeds
    runs/NAME/final/                    the same again for the winner's final training, where there is one
    runs/NAME/ablation/trial_0007/      the same for the way from the hand-tuned settings to trial 7, where asked for
    runs/NAME/best/                     the winner: config.json, metrics.json, confirmation.json, model.safetensors

A JSON file is replaced whole or not at all; a line of result.json that was cut off is passed over when read.
"""

import contextlib
import itertools
import json
import math
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import orjson
from filelock import FileLock, Timeout

from command_line import BadOptions, from_here, hide_arguments
from trainables.checkpoint import BOOKKEEPING_KEYS, identity, read_identity, settings_of
from tuning.options import SearchOptions

PACKAGES = ("torch", "ray", "optuna", "numpy")

TAKEN = "checkpoint_taken_"
"""What the folder of a checkpoint that was another trial's begins with; the step follows."""

COMPLETE = ("converged", "budget")
"""How a trial ends by itself with a figure that covers its whole budget."""

BEGUN = {".lock", "search.json.new"}
"""All there is where a search was killed before it could say so: nothing to resume, and nothing in a new run's way."""

TIME_BUDGET, TARGET_REACHED, NOT_ASKED_FOR = CUT_OFF = ("time budget", "target reached", "not asked for")
"""How a trial ends that was in flight when the search was over, or cut off before one that asks for fewer trials; a search that
is resumed starts others in their place."""

FORMAT = 1
"""Of the files in a run directory. Raised when an older version could not read a newer run, or the reverse."""

DAMAGED = "damaged_"
"""What the folder of a trial is renamed to begin with, if its record cannot be read and the trial is trained again."""


@dataclass
class TrialRecord:
    """One trial's ``trial.json``.

    Attributes:
        number: The trial's number in the study, and in a confirmation its place there.
        started, finished: Seconds since 1970; ``finished`` is None while it runs.
        ended: Why: what the trial says of itself (see ``trainables.trial``), or stopped early, error, time budget, target
            reached; None while it runs.
        audited: Where the scheduler would have stopped it, in the search's unit of cost, had it not been let run on to see
            what early stopping costs; None for others.
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
    """A line of a trial's ``schedule.json``: after ``step`` steps it took over the weights of trial ``donor``.

    Attributes:
        settings: All that its config says from then on but its ``BOOKKEEPING_KEYS``.
        checkpoint: The folder, in the trial's directory, with the copy of the donor's weights and state.
    """

    step: int
    donor: int
    settings: dict[str, Any]
    checkpoint: str


class TrialDirectory:
    """The files of one trial."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, record: TrialRecord) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / "trial.json", asdict(record))

    def read(self) -> TrialRecord | None:
        """The trial's record, or None if there is none that can be read, or another trial's."""
        with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
            record = TrialRecord(**json.loads((self.path / "trial.json").read_bytes()))
            folder = re.fullmatch(r"trial_(\d+)", self.path.name)
            if isinstance(record.config, dict) and (folder is None or int(folder[1]) == record.number):
                return record
        return None

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row to ``result.json``."""
        _append(self.path / "result.json", row)

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

    def checkpoints(self) -> list[Path]:
        """Checkpoint folders that are this trial's, the latest first; none from before the trial took over another's weights.

        Whose they are is what they say themselves: number, seed and settings must be those of the trial's record, or of a
        change of its settings since.
        """
        changes, record = self.schedule(), self.read()
        mine = [identity(config) for config in self._configs(record, changes)] if record else []
        found = [folder for folder in self._own_checkpoints() if _whose(folder) in mine]
        if changes:
            taken = self.path / changes[-1].checkpoint
            found = [folder for folder in found if _step(folder) > changes[-1].step] if taken.exists() else []
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
        found = [file.parent for file in self.path.glob("checkpoint_*/state.pt") if not file.parent.name.startswith(TAKEN)]
        return sorted(found, key=lambda folder: (_step(folder), _saved(folder)), reverse=True)

    def drop_older_checkpoints(self, keep: int) -> None:
        """Leave the ``keep`` latest of the trial's own checkpoints, and what it took over."""
        for folder in self._own_checkpoints()[keep:]:
            shutil.rmtree(folder, ignore_errors=True)

    def drop_checkpoints(self) -> None:
        for folder in self.path.glob("checkpoint_*"):
            shutil.rmtree(folder, ignore_errors=True)

    def take_over(self, checkpoint: Path, step: int, donor: int, settings: Mapping[str, Any]) -> Path:
        """Record that the trial goes on from the donor's ``checkpoint``; returns its own copy of it.

        The copy is whole before the line that names it is written: one without a line does not count.
        """
        copy = self.path / f"{TAKEN}{step:06d}"
        new = copy.with_name(f".{copy.name}")
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(checkpoint, new)
        shutil.rmtree(copy, ignore_errors=True)
        new.rename(copy)
        _append(self.path / "schedule.json", asdict(Change(step, donor, dict(settings), copy.name)))
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


class RunDirectory:
    """A run's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, options: SearchOptions) -> "RunDirectory":
        """A new directory. Raises BadOptions where it exists or cannot be made."""
        name = options.name or f"{options.experiment}-{time.strftime('%Y%m%d-%H%M%S')}"
        path = Path(options.storage_path).absolute() / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(exist_ok=True)
            if {file.name for file in path.iterdir()} - BEGUN:
                raise BadOptions(f"{path} exists already: choose another --name, or go on with it by --resume")
        except OSError as error:
            raise BadOptions(f"the run directory {path} cannot be made: {error.strerror}") from None
        return cls(path)

    def lock(self) -> FileLock:
        """A lock, held until the process ends, that keeps a second search out. Raises BadOptions where one is at work."""
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise BadOptions(f"run {self.path.name} is being searched by another process") from None
        return lock

    def trial(self, number: int) -> TrialDirectory:
        return TrialDirectory(self.path / f"trial_{number:04d}")

    def trials(self) -> Iterator[tuple[TrialDirectory, TrialRecord]]:
        """The run's trials that have a readable record, by number."""
        for path in sorted(self.path.glob("trial_*")):
            directory = TrialDirectory(path)
            record = directory.read()
            if record is not None:
                yield directory, record

    def unreadable(self) -> list[TrialDirectory]:
        """The folders of trials that have left something, but no record that can be read."""
        folders = [TrialDirectory(path) for path in sorted(self.path.glob("trial_*")) if path.is_dir()]
        return [one for one in folders if one.has_files() and one.read() is None]

    def next_number(self) -> int:
        """A number that no trial here has had, whatever has become of its files since."""
        numbers = [int(found[1]) for path in self.path.glob("*trial_*") if (found := re.search(r"trial_(\d+)$", path.name))]
        return max(numbers, default=-1) + 1

    def replay(self, number: int) -> tuple[dict[str, Any], list[int]]:
        """The settings that train anew what the trial's weights were trained with, and the trials they came through.

        Where others' weights were taken over, these are the settings of the trial it began with, its ``schedule`` the changes
        since (see ``trainables.trial``).
        """
        legs = self._legs(number, math.inf)
        config, schedule = dict(legs[0][2]), []
        for (_, _, before), (step, _, after) in itertools.pairwise(legs):
            schedule.append([step, {name: value for name, value in after.items() if before.get(name) != value}])
        return {**config, **({"schedule": schedule} if schedule else {})}, [one for _, one, _ in legs]

    def _legs(self, number: int, end: float) -> list[tuple[int, int, dict[str, Any]]]:
        """From which step on, in which trial and with what settings the weights were trained that the trial had at ``end``."""
        changes = [change for change in self.trial(number).schedule() if change.step < end]
        if not changes:
            record = self.trial(number).read()
            return [(0, number, settings_of(record.config) if record else {})]
        last = changes[-1]
        return [*self._legs(last.donor, last.step), (last.step, number, last.settings)]

    def confirmation(self) -> "RunDirectory":
        """The directory of the trials on fresh seeds, laid out like a run's."""
        return RunDirectory(self.path / "confirmation")

    def final(self) -> "RunDirectory":
        """The directory of the winner's final training, laid out like a run's."""
        return RunDirectory(self.path / "final")

    def ablation(self, number: int) -> "RunDirectory":
        """The directory of the way from the hand-tuned settings to trial ``number``, laid out like a run's."""
        return RunDirectory(self.path / "ablation" / self.trial(number).path.name)

    def start_session(self, options: SearchOptions) -> None:
        """Record in ``search.json`` that a search starts or goes on here.

        A run's ``id`` is given to it once. Its study carries the same one, whatever the folder is called since, and ``path``
        is where the folder was last.
        """
        new = {"format": FORMAT, "id": uuid.uuid4().hex, "experiment": options.experiment, "sessions": []}
        record = self.read() or new
        session = {"command": command(), "started": time.time(), "ended": None, "how": "running"}
        record |= {
            "name": self.path.name,
            "path": str(self.path.absolute()),
            "options": {**asdict(options), "name": self.path.name},
            "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
            "commit": _commit(),
            "host": platform.node(),
            "sessions": [*cast(list[Any], record["sessions"]), session],
        }
        write_json(self.path / "search.json", record)

    def describe(self, about: Mapping[str, Any]) -> None:
        """Record in ``search.json`` what is searched: the space, the objectives, the goal and what else a report needs."""
        write_json(self.path / "search.json", {**(self.read() or {}), **about})

    def end_session(self, how: str) -> None:
        """Record how the session ended: finished, time budget, target reached, interrupted or failed."""
        record = self.read()
        if record:
            record["sessions"][-1] |= {"ended": time.time(), "how": how}
            write_json(self.path / "search.json", record)

    def read(self) -> dict[str, Any] | None:
        """``search.json``, or None where there is none that can be read."""
        return read_json(self.path / "search.json") or None


def read_json(path: Path) -> dict[str, Any]:
    """What is in a JSON file; nothing where it is not there or cannot be read."""
    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
        return dict(json.loads(path.read_bytes()))
    return {}


def read_rows(file: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """The rows of a file of JSON lines, each with its ``step``, and the numbers of the lines that cannot be read.

    A large run has a million lines; orjson reads a file's at once, in a sixth of the time, but knows no NaN.
    """
    try:
        lines = file.read_bytes().splitlines()
    except OSError:
        return [], []
    with contextlib.suppress(ValueError):
        rows = orjson.loads(b"[" + b",".join(lines) + b"]")
        if len(rows) == len(lines) and all(map(_has_a_step, rows)):
            return rows, []
    rows, unreadable = [], []
    for number, line in enumerate(lines, 1):
        with contextlib.suppress(ValueError, RecursionError):
            row = json.loads(line)
            if _has_a_step(row):
                rows.append(row)
                continue
        unreadable.append(number)
    return rows, unreadable


def _has_a_step(row: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get("step"), int)


def command() -> str:
    """The command line that started this process, without the secrets in it, as a shell takes it."""
    return shlex.join(["python", from_here(sys.argv[0]), *hide_arguments(sys.argv[1:])])


def resume_command(script: str, name: str, storage_path: str, *flags: str) -> str:
    """The command that goes on with run ``name``, as a shell takes it."""
    where = [] if storage_path == "runs" else ["--storage-path", storage_path]
    return shlex.join(["python", script, "--resume", "--name", name, *where, *flags])


def _whose(checkpoint: Path) -> dict[str, str]:
    """The checkpoint's identity without its step."""
    return {name: value for name, value in (read_identity(checkpoint) or {}).items() if name != "step"}


def _step(checkpoint: Path) -> int:
    """After how many training steps a checkpoint was saved; -1 if it does not say so."""
    return int((read_identity(checkpoint) or {}).get("step", -1))


def _saved(checkpoint: Path) -> float:
    """When a checkpoint was written; its folder may be older, if a trial that goes on counts from 0 again."""
    return (checkpoint / "state.pt").stat().st_mtime


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file whole: a reader, or a crash, never meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _append(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line to a file of JSON lines, also where a kill tore the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            torn = file.read(1) != b"\n"
            file.write(b"\n" * torn)
        file.write(json.dumps(line).encode() + b"\n")


def _commit() -> str | None:
    """The git commit of this source tree, marked ``-dirty`` where files have changed since."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        source = Path(__file__).parent
        described = subprocess.run(command, cwd=source, capture_output=True, check=True, timeout=10)
        return described.stdout.decode("utf-8", "replace").strip()
    return None
