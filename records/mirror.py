"""A run at a URI and its copy on this machine, kept equal.

The search writes its records here, as in any run directory, and ``push`` uploads what has changed.
Worker processes write checkpoints at the URI, and ``take`` brings them here. A heartbeat at the URI
keeps a second machine from searching in the same run.
"""

import contextlib
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterable
from fnmatch import fnmatch, translate
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pyarrow.fs import FileInfo

from command_line import UsageError
from records.heartbeat import HEARTBEAT, OWN_ID, PROBE, Heartbeat
from records.places import below, copy_of
from records.remote import RemoteFolder, answered
from records.store import json_object

STAYS = (OWN_ID, ".lock")
"""What the copy keeps when it is filled anew."""

NOT_MIRRORED = (
    HEARTBEAT, PROBE, ".validate_storage_marker", ".nodes", *STAYS, "*.new", "optuna.db*",
)  # fmt: skip
"""Files of one side only. A study that is being written to may be torn; the records rebuild it."""
_NOT_MIRRORED = re.compile("|".join(map(translate, NOT_MIRRORED)))
APPENDED = "result.json"

PUSH_EVERY_S = 5.0

Result = TypeVar("Result")
Version = tuple[int, int]
"""A file's size, and when it was written in nanoseconds since 1970."""


class Waiting(Protocol):
    """What repeats an action while a storage fails; ``tuning.engine.patience`` does."""

    def __call__(self, what: str, action: Callable[[], Result]) -> Result: ...

    def give_up(self, why: str) -> Exception: ...


class NoWaiting:
    """Tries once."""

    def __call__(self, what: str, action: Callable[[], Result]) -> Result:
        return action()

    def give_up(self, why: str) -> Exception:
        return UsageError(why)


class Mirror:
    """The files at ``uri`` and their copy in the folder ``local``.

    Raises UsageError if the URI cannot be used.

    Attributes:
        waiting: Repeats what fails because of the storage.
    """

    def __init__(self, uri: str, local: Path) -> None:
        self.uri, self.local = uri, local
        self.waiting: Waiting = NoWaiting()
        self._there = answered(uri, lambda: RemoteFolder(uri))
        self._heartbeat = Heartbeat(self._there, local)
        self._known: dict[str, Version | None] = {}  # what lies there, and the equal version here
        self._lock = threading.RLock()
        self._ended = threading.Event()

    def __getstate__(self) -> dict[str, object]:
        return {}  # Ray pickles what its callbacks and searchers hold; the storage stays here

    def claim(self, resume: bool) -> None:
        """Make this copy the one in which the run is searched.

        Raises UsageError if the storage cannot be used, if another machine searches there, or if a
        run exists there that is not to be resumed.
        """

        def act() -> None:
            self._heartbeat.check_free()
            if not resume and not all(map(_ignored, self._there.names())):
                raise UsageError(
                    f"{self.uri} exists already: add --resume, or choose another --name"
                )
            self._heartbeat.renew()

        answered(self.uri, act)

    def begin(self, resume: bool) -> None:
        """Fill this copy with what is at the URI, or empty it for a new run.

        If nobody else has searched the run since, this copy is ahead of the URI: it keeps what it
        has, and gets what it lacks.
        """
        try:
            self._patiently(self._go_on if resume and self._is_ahead() else self._begin_anew)
        except OSError as error:
            raise UsageError(f"{self.uri} cannot be read: {error.strerror or error}") from None

    def keep_pushing(self) -> None:
        """Push every few seconds from now on, in a thread."""

        def act() -> None:
            with contextlib.suppress(Exception):  # ``waiting`` tells the main thread
                while not self._ended.wait(PUSH_EVERY_S):
                    with self._lock:
                        if not self._ended.is_set():
                            self.push()

        threading.Thread(target=act, daemon=True).start()

    def push(self) -> None:
        """Upload what has changed here, delete there what is gone here, and renew the heartbeat."""
        self._patiently(self._push)

    def take(self, folder: Path) -> None:
        """Bring a checkpoint that a worker has written here, and push the records of its trial."""

        def act() -> None:
            place = folder.relative_to(self.local).as_posix()
            shutil.rmtree(folder, ignore_errors=True)
            self._pull(place)
            self._upload(self._versions(place.rpartition("/")[0]))

        self._patiently(act)

    def pull(self) -> None:
        """Make this copy equal to what is at the URI. Only what is new is downloaded."""
        self._patiently(lambda: self._pull(""))

    def remove(self, patterns: Iterable[str], folder: Path) -> None:
        """Delete files there that match a pattern in ``folder`` and that this copy lacks."""
        place = folder.relative_to(self.local).as_posix().removeprefix(".")

        def act() -> None:
            for path in self._there.files(place):
                name = path.removeprefix(f"{place}/")
                if any(fnmatch(name, one) for one in patterns) and not (self.local / path).exists():
                    self._there.delete(path)

        self._patiently(act)

    def close(self) -> None:
        """Push for the last time, and end the heartbeat."""
        self._ended.set()

        def act() -> None:
            self._push()
            self._heartbeat.end()

        self._patiently(act)

    def leave(self, seconds: float) -> bool:
        """``close`` within some seconds and without waiting; returns whether that succeeded."""
        self.waiting = NoWaiting()
        return self._within(seconds, self.close)

    def discard(self, seconds: float) -> bool:
        """Remove within some seconds what a run that never began has left at the URI."""
        self._ended.set()
        self.waiting = NoWaiting()
        return self._within(seconds, lambda: self._patiently(self._there.delete_folder))

    def _within(self, seconds: float, action: Callable[[], None]) -> bool:
        """Whether the action succeeds in time. The lock may be held by a thread that is stuck."""
        done = threading.Event()

        def act() -> None:
            with contextlib.suppress(Exception):
                action()
                done.set()

        threading.Thread(target=act, daemon=True).start()
        return done.wait(seconds)

    def _patiently(self, action: Callable[[], None]) -> None:
        with self._lock:
            self.waiting(f"the storage {self.uri}", action)

    def _is_ahead(self) -> bool:
        """Whether this copy has had every session that the run at the URI has had."""
        there = _started(self._there.read("search.json"))
        file = self.local / "search.json"
        here = _started(file.read_bytes() if file.exists() else b"")
        return there == here[: len(there)]

    def _go_on(self) -> None:
        there, here = self._files_there(""), self._versions("")
        self._there.download((info for path, info in there.items() if path not in here), self.local)
        after = self._versions("")
        self._known = {
            path: after[path] if path not in here or _uploaded(after[path], info) else None
            for path, info in there.items()
        }

    def _begin_anew(self) -> None:
        for file in self.local.iterdir():
            if file.name not in STAYS:
                shutil.rmtree(file) if file.is_dir() else file.unlink()
        self._pull("")

    def _pull(self, folder: str) -> None:
        there, here = self._files_there(folder), self._versions(folder)
        new = (one for path, one in there.items() if here.get(path) != (one.size, one.mtime_ns))
        self._there.download(new, self.local)
        for path in here.keys() - there.keys():
            (self.local / path).unlink()
        after = self._versions(folder)
        self._known |= {path: after.get(path) for path in there}

    def _push(self) -> None:
        if other := self._heartbeat.other():
            raise self.waiting.give_up(f"run {self.local.name} has been continued {other}")
        here = self._versions("")
        self._upload(here)
        self._delete([path for path in self._known if path not in here])
        self._heartbeat.renew()

    def _upload(self, here: dict[str, Version]) -> None:
        """Upload the files whose version is not the known one.

        A trial's reports go before its record, so a trial that has ended there has all its reports
        there. ``_versions`` looks at the record first, and a record that has changed since waits.
        """
        for path in sorted(here):
            file = self.local / path
            if self._known.get(path) != here[path]:
                with contextlib.suppress(FileNotFoundError):
                    if file.name == APPENDED or _version(file) == here[path]:
                        self._there.upload(file, path)
                        self._known[path] = here[path]

    def _delete(self, paths: Iterable[str]) -> None:
        folders = set()
        for path in paths:
            self._there.delete(path)
            del self._known[path]
            folders.add(path.rpartition("/")[0])
        for folder in folders - {""}:
            if not (self.local / folder).exists() and not self._there.names(folder):
                self._there.delete_folder(folder)

    def _files_there(self, folder: str) -> dict[str, FileInfo]:
        files = self._there.files(folder)
        return {path: info for path, info in files.items() if not _ignored(path)}

    def _versions(self, folder: str) -> dict[str, Version]:
        """The files of this copy in a folder and below it. The last of them are looked at first."""
        files = (
            Path(top, name) for top, _, names in os.walk(self.local / folder) for name in names
        )
        paths = (file.relative_to(self.local).as_posix() for file in files)
        found: dict[str, Version] = {}
        for path in sorted(paths, reverse=True):
            with contextlib.suppress(FileNotFoundError):
                if not _ignored(path):
                    found[path] = _version(self.local / path)
        return found


def run_mirror(uri: str, name: str) -> Mirror:
    """The mirror of run ``name`` under a URI, with the copy in which it is searched."""
    return Mirror(below(uri, name), copy_of(uri, "searches") / name)


def _version(file: Path) -> Version:
    found = file.stat()
    return found.st_size, found.st_mtime_ns


def _uploaded(version: Version, info: FileInfo) -> bool:
    """Whether a file here is as it was uploaded: it has the size, and it was written before."""
    size, written = version
    return size == info.size and written <= (info.mtime_ns or 0)


def _ignored(path: str) -> bool:
    return any(map(_NOT_MIRRORED.match, path.split("/")))


def _started(search: bytes) -> list[Any]:
    """When each session of a run began, by its ``search.json``."""
    return [session.get("started") for session in json_object(search).get("sessions", ())]
