"""A run's directory: what a search leaves on disk. A search killed at any moment can resume.

    runs/NAME/search.json               id, format, options, versions, commit, host, and a session
                                        for every start of the search
    runs/NAME/optuna.db                 the study, with one Optuna trial for every trial
    runs/NAME/trial_0007/trial.json     settings, seed, when the trial ran and how it ended
    runs/NAME/trial_0007/result.json    one line a report (Ray Tune's file name and format, without
                                        its constants); a metric with the name of a setting is in
                                        the learning curves, not in the table of trials
    runs/NAME/trial_0007/schedule.json  one line for each time it took over another trial's weights
    runs/NAME/trial_0007/checkpoint_*   the latest weights and state; after the end, of the best few
    runs/NAME/trial_0007/error.txt      why the trial failed; lost.txt: why its machine did
    runs/NAME/tensorboard/trial_0007/   its event files, if the search has ``--tensorboard``
    runs/NAME/confirmation/             the same for the trials on fresh seeds
    runs/NAME/final/                    the same for the winner's final training, if there is one
    runs/NAME/ablation/trial_0007/      the same for the path from hand-tuned settings to trial 7
    runs/NAME/best/                     the winner: config.json, metrics.json, confirmation.json,
                                        model.safetensors

A JSON file is replaced whole or not at all. A line of result.json that was cut off is skipped when
it is read.
"""

import contextlib
import itertools
import math
import platform
import re
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout

from command_line import UsageError
from records.checkpoint import settings_of
from records.commands import command
from records.mirror import Mirror
from records.outcome import CUT_OFF
from records.places import place_of
from records.store import read_json, write_json
from records.trial_directory import TrialDirectory, TrialRecord

PACKAGES = ("torch", "ray", "optuna", "numpy")

BEGUN = {".lock", "search.json.new"}
"""Files of a search that was killed before it recorded anything: its directory may be reused."""

FORMAT = 2
"""The format of a run directory, raised when an older version cannot read what a newer one writes.

1: other names, see ``records.older_names``.
"""

DAMAGED = "damaged_"
"""Prefix that the folder of a trial gets if its record is unreadable and it is trained again."""


class RunDirectory:
    """A run's directory.

    Attributes:
        mirror: Keeps the run at a URI equal to it; None if the run has no other place.
    """

    def __init__(self, path: Path, mirror: Mirror | None = None) -> None:
        self.path, self.mirror = path, mirror

    @classmethod
    def create(cls, path: Path) -> "RunDirectory":
        """Make a new directory. Raises UsageError if it exists or cannot be made."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(exist_ok=True)
            if {file.name for file in path.iterdir()} - BEGUN:
                raise UsageError(f"{path} exists already: add --resume, or choose another --name")
        except OSError as error:
            raise UsageError(f"the run directory {path} cannot be made: {error.strerror}") from None
        return cls(path)

    @classmethod
    def copied(cls, path: Path, mirror: Mirror) -> "RunDirectory":
        """The copy of a run at a URI, made if missing. Raises UsageError if it cannot be made."""
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"the run's copy {path} cannot be made: {error.strerror}") from None
        return cls(path, mirror)

    def claim(self, resume: bool) -> None:
        """Before a search that has the lock: fill the copy of a run at a URI.

        Raises UsageError if the URI cannot be used or another machine searches there, and if a new
        run exists there.
        """
        if self.mirror:
            self.mirror.claim(resume)
            self.mirror.begin(resume)
            self.drop_unrecorded()

    def close(self) -> None:
        """Push for the last time, if the run is at a URI."""
        if self.mirror:
            self.mirror.close()

    def push(self) -> None:
        """Bring the run at its URI up to date, if it has one."""
        if self.mirror:
            self.mirror.push()

    def lock(self) -> FileLock:
        """Lock the run against other searches until this process ends.

        Raises UsageError if another search has the lock.
        """
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            name = self.path.name
            raise UsageError(
                f"run {name} is being searched by another process: wait for it"
            ) from None
        return lock

    def trial(self, number: int) -> TrialDirectory:
        return TrialDirectory(self.path / f"trial_{number:04d}")

    def trials(self) -> Iterator[tuple[TrialDirectory, TrialRecord]]:
        """The run's trials that have a readable record, by number."""
        for directory in map(TrialDirectory, sorted(self.path.glob("trial_*"))):
            if (record := directory.read()) is not None:
                yield directory, record

    def unreadable(self) -> list[TrialDirectory]:
        """The folders of trials that have left files, but no readable record."""
        folders = map(TrialDirectory, sorted(self.path.glob("trial_*/")))
        return [one for one in folders if one.has_files() and one.read() is None]

    def next_number(self) -> int:
        """A number that no trial here has had, not even one whose folder was renamed since."""
        numbers = [
            int(found[1])
            for path in self.path.glob("*trial_*")
            if (found := re.search(r"trial_(\d+)$", path.name))
        ]
        return max(numbers, default=-1) + 1

    def drop_unrecorded(self) -> None:
        """Delete checkpoints that are later than the last report of their trial.

        Workers save at a URI themselves. If the machine of the search dies before it has pushed the
        reports up to there, the trial goes on from an earlier checkpoint and makes them again.
        """
        for folder in self.path.glob("**/trial_*/"):
            TrialDirectory(folder).drop_unrecorded()

    def outcomes(self) -> Counter[str]:
        """The number of trials with each outcome. Trials that the end of a search cut off do not
        count, because a resumed search replaces them."""
        found = (record.ended for _, record in self.trials())
        return Counter(one for one in found if one and one not in CUT_OFF)

    def replay(self, number: int) -> tuple[dict[str, Any], list[int]]:
        """Settings that train the trial's weights again, and the trials that the weights came from.

        If others' weights were taken over, these are the settings of the first of those trials,
        with the later changes as ``schedule`` (see ``trainables.resumable``).
        """
        legs = self._legs(number, math.inf)
        config, schedule = dict(legs[0][2]), []
        for (_, _, before), (step, _, after) in itertools.pairwise(legs):
            changed = {name: value for name, value in after.items() if before.get(name) != value}
            schedule.append([step, changed])
        if schedule:
            config["schedule"] = schedule
        return config, [trained_in for _, trained_in, _ in legs]

    def lineage(self, number: int) -> list[tuple[int, int]]:
        """Where the trial's weights were trained: from which step on in which trial, in order."""
        return [(step, trained_in) for step, trained_in, _ in self._legs(number, math.inf)]

    def _legs(self, number: int, end: float) -> list[tuple[int, int, dict[str, Any]]]:
        """``lineage`` of the weights that the trial had at step ``end``, with the settings."""
        changes = [change for change in self.trial(number).schedule() if change.step < end]
        if not changes:
            record = self.trial(number).read()
            return [(0, number, settings_of(record.config) if record else {})]
        last = changes[-1]
        return [*self._legs(last.donor, last.step), (last.step, number, last.settings)]

    def confirmation(self) -> "RunDirectory":
        """The directory of the trials on fresh seeds, laid out like a run's."""
        return RunDirectory(self.path / "confirmation", self.mirror)

    def final(self) -> "RunDirectory":
        """The directory of the winner's final training, laid out like a run's."""
        return RunDirectory(self.path / "final", self.mirror)

    def ablation(self, number: int) -> "RunDirectory":
        """The directory of the path from hand-tuned settings to trial ``number``, like a run's."""
        path = self.path / "ablation" / self.trial(number).path.name
        return RunDirectory(path, self.mirror)

    def start_session(self, experiment: str, options: Mapping[str, Any]) -> None:
        """Record in ``search.json`` that a search starts or goes on here.

        A run keeps its ``id``, which its study has as well, if the folder is renamed or moved.
        ``path`` is its last place: the folder, or its URI.
        """
        new = {"format": FORMAT, "id": uuid.uuid4().hex, "experiment": experiment, "sessions": []}
        record = self.read() or new
        session = {"command": command(), "started": time.time(), "ended": None, "how": "running"}
        record |= {
            "name": self.path.name,
            "path": place_of(self.path.absolute()),
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
        """Record in ``search.json`` what a report needs, such as the space and the goal."""
        write_json(self.path / "search.json", {**(self.read() or {}), **about})

    def end_session(self, how: str) -> None:
        """Record how the session ended, such as finished, time budget or interrupted."""
        record = self.read()
        if record:
            record["sessions"][-1] |= {"ended": time.time(), "how": how}
            write_json(self.path / "search.json", record)

    def read(self) -> dict[str, Any] | None:
        """``search.json``; None if it is missing or cannot be read."""
        return read_json(self.path / "search.json") or None


def _commit() -> str | None:
    """The git commit of this source tree, marked ``-dirty`` if files have changed since."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        source = Path(__file__).parent
        described = subprocess.run(command, cwd=source, capture_output=True, check=True, timeout=10)
        return described.stdout.decode("utf-8", "replace").strip()
    return None
