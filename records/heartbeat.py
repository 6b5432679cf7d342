"""The heartbeat of a search at a URI: an object that says on which machine a run is searched.

A search renews it with every push. One that is older than ``FRESH_S`` belongs to a search that is
dead. Ages are measured by the storage's clock, since those of two machines may not agree.
"""

import json
import os
import platform
import time
import uuid
from pathlib import Path
from typing import Any

from command_line import UsageError
from records.remote import RemoteFolder
from records.store import json_object

HEARTBEAT = ".searching"
PROBE = ".writable"
OWN_ID = ".copy"
"""The file on this machine with the id of its copy of the run, which the heartbeat names."""
FRESH_S = 60.0


class Heartbeat:
    """The heartbeat in the run ``there``, for the copy in the folder ``local``."""

    def __init__(self, there: RemoteFolder, local: Path) -> None:
        self._there, self._local = there, local

    def check_free(self) -> None:
        """Raise UsageError if the run is being searched from another copy."""
        beat = self._read()
        if beat.get("copy") in (None, self._id()):
            return  # whoever searched here before is dead: this search has the copy's lock
        self._there.write(PROBE, b"")
        age = self._there.modified(PROBE) - self._there.modified(HEARTBEAT)
        self._there.delete(PROBE)
        if age < FRESH_S:
            raise UsageError(
                f"run {self._local.name} is being searched on {beat.get('host')}, last seen"
                f" {max(0.0, age):.0f} s ago: wait, or stop it there"
            )

    def other(self) -> str | None:
        """Who has claimed the run since this copy did, in words."""
        beat = self._read()
        if beat.get("copy") == self._id():
            return None
        return f"on {beat['host']}" if "host" in beat else "on another machine"

    def renew(self) -> None:
        beat = {"copy": self._id(), "host": platform.node(), "pid": os.getpid()}
        self._there.write(HEARTBEAT, json.dumps({**beat, "time": time.time()}).encode())

    def end(self) -> None:
        self._there.delete(HEARTBEAT)

    def _read(self) -> dict[str, Any]:
        return json_object(self._there.read(HEARTBEAT))

    def _id(self) -> str:
        file = self._local / OWN_ID
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(uuid.uuid4().hex, encoding="utf-8")
        return file.read_text(encoding="utf-8")
