"""A run's directory: what a search leaves on disk, written so that it can be cut off at any moment and gone on with.

    runs/NAME/search.json               options, versions, commit, host, and one session for every start of the search
    runs/NAME/optuna.db                 the study, one Optuna trial for every trial
    runs/NAME/trial_0007/trial.json     settings, seed, when it ran and how it ended
    runs/NAME/trial_0007/result.json    one line a report (Ray Tune's own file name and format, without its constants)
    runs/NAME/trial_0007/checkpoint_*   the latest weights and state; kept for the best few once a trial has ended
    runs/NAME/confirmation/             the same again for the trials on fresh seeds
    runs/NAME/final/                    the same again for the winner's final training, where there is one
    runs/NAME/best/                     the winner: config.json, metrics.json, confirmation.json, model.safetensors

A JSON file is replaced whole or not at all; a line of result.json that was cut off is passed over when read.
"""

import contextlib
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from command_line import BadOptions
from tuning.options import SearchOptions

PACKAGES = ("torch", "ray", "optuna", "numpy")

COMPLETE = ("converged", "budget")
"""How a trial ends by itself with a figure that covers its whole budget."""

TIME_BUDGET, TARGET_REACHED = CUT_OFF = ("time budget", "target reached")
"""How a trial ends that was in flight when the search was over; a search that is resumed starts others in their place."""


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


class TrialDirectory:
    """The files of one trial."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, record: TrialRecord) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / "trial.json", asdict(record))

    def read(self) -> TrialRecord | None:
        """The trial's record, or None where there is none that can be read."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            return TrialRecord(**json.loads((self.path / "trial.json").read_text()))
        return None

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row to ``result.json``, on a line of its own also where a kill tore the one before."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "result.json").open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                torn = file.read(1) != b"\n"
                file.write(b"\n" * torn)
            file.write(json.dumps(row).encode() + b"\n")

    def rows(self) -> list[dict[str, Any]]:
        """The trial's reports in order of ``step``; of a step reported twice (a trial that went on), the later one."""
        by_step: dict[int, dict[str, Any]] = {}
        with contextlib.suppress(OSError):
            for line in (self.path / "result.json").read_text(errors="replace").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    row = json.loads(line)
                    by_step[row["step"]] = row
        return [by_step[step] for step in sorted(by_step)]

    def write_files(self, files: Mapping[str, bytes]) -> None:
        """Store what a trial made beside its rows, such as sample grids, by the path in its directory."""
        for name, content in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def checkpoints(self) -> list[Path]:
        """Checkpoint folders that look whole, the latest first."""
        folders = [file.parent for file in self.path.glob("checkpoint_*/state.pt")]
        return sorted(folders, key=lambda folder: folder.stat().st_mtime, reverse=True)


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
            path.mkdir()
        except FileExistsError:
            raise BadOptions(f"{path} exists already: choose another --name, or go on with it by --resume") from None
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

    def confirmation(self) -> "RunDirectory":
        """The directory of the trials on fresh seeds, laid out like a run's."""
        return RunDirectory(self.path / "confirmation")

    def final(self) -> "RunDirectory":
        """The directory of the winner's final training, laid out like a run's."""
        return RunDirectory(self.path / "final")

    def start_session(self, options: SearchOptions) -> None:
        """Record in ``search.json`` that a search starts or goes on here."""
        record = self.read() or {"experiment": options.experiment, "name": self.path.name, "sessions": []}
        session = {"command": command(), "started": time.time(), "ended": None, "how": "running"}
        record |= {
            "options": {**asdict(options), "name": self.path.name},
            "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
            "commit": _commit(),
            "host": platform.node(),
            "sessions": [*record["sessions"], session],
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
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads(path.read_text()))
    return {}


def command() -> str:
    """The command line that started this process."""
    return shlex.join(["python", os.path.relpath(sys.argv[0]), *sys.argv[1:]])


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file whole: a reader, or a crash, never meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    with new.open("w") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _commit() -> str | None:
    """The git commit of this source tree, marked ``-dirty`` where files have changed since."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        source = Path(__file__).parent
        return subprocess.run(command, cwd=source, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    return None
