"""A run's directory: what a search leaves on disk, written so that it can be cut off at any moment
and gone on with.

    runs/NAME/search.json               the run's id and format, options, versions, commit, host,
                                        and one session for every start of the search
                                        runs/NAME/optuna.db                 the study, one Optuna
                                        trial for every trial runs/NAME/trial_0007/trial.json
                                        settings, seed, when it ran and how it ended
                                        runs/NAME/trial_0007/result.json    one line a report (Ray
                                        Tune's own file name and format, without its constants)
                                        runs/NAME/trial_0007/schedule.json  where others' weights
                                        were taken over: one line a change of the settings
                                        runs/NAME/trial_0007/checkpoint_*   the latest weights and
                                        state; kept for the best few once a trial has ended
                                        runs/NAME/trial_0007/error.txt      what it failed of;
                                        lost.txt: what the machine failed of under it
                                        runs/NAME/confirmation/             the same again for the
                                        trials on fresh seeds runs/NAME/final/
                                        the same again for the winner's final training, where there
                                        is one runs/NAME/ablation/trial_0007/      the same for the
                                        way from the hand-tuned settings to trial 7, where asked for
                                        runs/NAME/best/                     the winner: config.json,
                                        metrics.json, confirmation.json, model.safetensors

A JSON file is replaced whole or not at all; a line of result.json that was cut off is passed over
when read.
"""

import contextlib
import itertools
import math
import platform
import re
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout

from command_line import UsageError
from records.checkpoint import settings_of
from records.commands import command
from records.store import read_json, write_json
from records.trial_directory import TrialDirectory, TrialRecord

PACKAGES = ("torch", "ray", "optuna", "numpy")

BEGUN = {".lock", "search.json.new"}
"""All there is where a search was killed before it could say so: nothing to resume, and nothing in a new run's way."""

FORMAT = 2
"""Of the files in a run directory. Raised when an older version could not read a newer run, or the reverse."""

DAMAGED = "damaged_"
"""What the folder of a trial is renamed to begin with, if its record cannot be read and the trial is trained again."""


class RunDirectory:
    """A run's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path) -> "RunDirectory":
        """A new directory. Raises UsageError if it exists or cannot be made."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(exist_ok=True)
            if {file.name for file in path.iterdir()} - BEGUN:
                raise UsageError(
                    f"{path} exists already: choose another --name, or go on with it by --resume"
                )
        except OSError as error:
            raise UsageError(f"the run directory {path} cannot be made: {error.strerror}") from None
        return cls(path)

    def lock(self) -> FileLock:
        """A lock, held until the process ends, that keeps a second search out. Raises UsageError where one is at work."""
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(f"run {self.path.name} is being searched by another process") from None
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
        folders = [
            TrialDirectory(path) for path in sorted(self.path.glob("trial_*")) if path.is_dir()
        ]
        return [one for one in folders if one.has_files() and one.read() is None]

    def next_number(self) -> int:
        """A number that no trial here has had, whatever has become of its files since."""
        numbers = [
            int(found[1])
            for path in self.path.glob("*trial_*")
            if (found := re.search(r"trial_(\d+)$", path.name))
        ]
        return max(numbers, default=-1) + 1

    def replay(self, number: int) -> tuple[dict[str, Any], list[int]]:
        """The settings that train anew what the trial's weights were trained with, and the trials
        they came through.

        Where others' weights were taken over, these are the settings of the trial it began with,
        its ``schedule`` the changes since (see ``trainables.resumable``).
        """
        legs = self._legs(number, math.inf)
        config, schedule = dict(legs[0][2]), []
        for (_, _, before), (step, _, after) in itertools.pairwise(legs):
            schedule.append(
                [step, {name: value for name, value in after.items() if before.get(name) != value}]
            )
        return {**config, **({"schedule": schedule} if schedule else {})}, [
            one for _, one, _ in legs
        ]

    def lineage(self, number: int) -> list[tuple[int, int]]:
        """From which step on the weights that the trial has now were trained in which trial: (step, trial), from step 0."""
        return [(step, one) for step, one, _ in self._legs(number, math.inf)]

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

    def start_session(self, experiment: str, options: Mapping[str, Any]) -> None:
        """Record in ``search.json`` that a search starts or goes on here.

        A run's ``id`` is given to it once. Its study carries the same one, whatever the folder is
        called since, and ``path`` is where the folder was last.
        """
        new = {"format": FORMAT, "id": uuid.uuid4().hex, "experiment": experiment, "sessions": []}
        record = self.read() or new
        session = {"command": command(), "started": time.time(), "ended": None, "how": "running"}
        record |= {
            "name": self.path.name,
            "path": str(self.path.absolute()),
            "options": {**options, "name": self.path.name},
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in PACKAGES},
            },
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


def _commit() -> str | None:
    """The git commit of this source tree, marked ``-dirty`` where files have changed since."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        source = Path(__file__).parent
        described = subprocess.run(command, cwd=source, capture_output=True, check=True, timeout=10)
        return described.stdout.decode("utf-8", "replace").strip()
    return None
