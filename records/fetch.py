"""Runs at a URI, read on this machine."""

from pathlib import Path

from command_line import UsageError
from records.mirror import Mirror
from records.places import copy_of
from records.remote import RemoteFolder, answered


def fetch(uri: str) -> Path:
    """The folder on this machine with a copy of all that is at a URI. Only what is new there is
    downloaded.

    Raises UsageError if the URI cannot be used, or if nothing is there.
    """
    folder = copy_of(uri, "reports")
    mirror = Mirror(uri, folder)
    try:
        mirror.pull()
    except OSError as error:
        raise UsageError(f"{uri} cannot be read: {error.strerror or error}") from None
    if not any(folder.glob("*")):
        raise UsageError(f"{uri}: there is nothing")
    return folder


def recorded_searches(uri: str, name: str | None) -> dict[str, bytes]:
    """The ``search.json`` of the run of this name at a URI, or of all runs there, by name.

    Raises UsageError if the URI cannot be used.
    """

    def read() -> dict[str, bytes]:
        there = RemoteFolder(uri)
        names = [name] if name else there.names()
        found = {one: there.read(f"{one}/search.json") for one in names}
        return {one: content for one, content in found.items() if content}

    return answered(uri, read)
