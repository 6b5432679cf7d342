"""Places: how a path is shown to the user; a URI such as s3://bucket/runs, and the folder in the
user's cache in which a copy of it lies.

A search writes its run directory in such a folder, and ``records.mirror`` keeps the URI equal to
it. A report has a folder of its own, so it never disturbs a search.
"""

import os
import re
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import quote, unquote, urlsplit

from command_line import UsageError, user_cache, user_path

JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""A variable that Ray sets for a job of ``ray job submit``."""

Use = Literal["searches", "reports"]

_AZURE = "AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET"
_GOOGLE = "the file of GOOGLE_APPLICATION_CREDENTIALS"
KEYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    **{"gs": _GOOGLE, "gcs": _GOOGLE, "abfs": _AZURE, "abfss": _AZURE},
}
"""Where the keys of a scheme belong: mostly environment variables."""

ELSEWHERE = "the variables or files in which its libraries look"
SECRET = re.compile("(?i)secret|token|passw|pwd|key|sas")


def is_uri(place: str) -> bool:
    return "://" in place


def keys_of(uri: str) -> str:
    """Where the keys for a URI belong."""
    return KEYS.get(urlsplit(uri).scheme, ELSEWHERE)


def _joined(scheme: str, host: str, path: str, query: str) -> str:
    """A URI; ``urlunsplit`` drops an empty host."""
    return f"{scheme}://{host}{path}" + (f"?{query}" if query else "")


def checked(flag: str, uri: str) -> str:
    """A user's URI without a slash at its end. Raises UsageError if it holds a key, which would be
    recorded and shown, or if it cannot be one."""
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise UsageError(f"{flag} is no URI such as s3://bucket/runs: {error}") from None
    account, _, _ = (parts.netloc + parts.path).rpartition("@")  # a key may have slashes in it
    if ":" in account or SECRET.search(parts.query):
        raise UsageError(f"{flag} must hold no keys: put them into {keys_of(uri)}")
    if re.search(r"[\s#%]", uri) or {".", ".."} & {*parts.path.split("/")}:
        raise UsageError(f"{flag} may have no spaces, no #, no % and no .. in it, got {uri}")
    return _joined(parts.scheme, parts.netloc, parts.path.rstrip("/"), parts.query)


def user_place(flag: str, text: str) -> str:
    """A user's path or URI. Raises UsageError if it cannot be one."""
    return checked(flag, text) if is_uri(text) else user_path(flag, text)


def below(uri: str, *names: str) -> str:
    """The URI of something below another one; a query stays at the end."""
    parts = urlsplit(uri)
    return _joined(parts.scheme, parts.netloc, "/".join([parts.path, *names]), parts.query)


def copy_of(uri: str, use: Use) -> Path:
    """The folder for the copy of a URI on this machine, whether it exists or not."""
    parts = urlsplit(uri)
    host = quote(parts.netloc + (f"?{parts.query}" if parts.query else ""), safe="")
    return user_cache() / use / parts.scheme / (host or "-") / parts.path.strip("/")


def place_of(path: Path) -> str:
    """What names a file or folder on every machine: its URI if it lies in a copy, or its path."""
    cache = user_cache() if path.is_relative_to(user_cache()) else user_cache().resolve()
    names = path.relative_to(cache).parts if path.is_relative_to(cache) else ()
    if len(names) < 3 or names[0] not in get_args(Use):
        return str(path)
    _, scheme, host, *rest = names
    netloc, _, query = unquote(host).partition("?")
    return _joined(scheme, "" if netloc == "-" else netloc, "/".join(["", *rest]), query)


def shown(path: Path) -> str:
    """A file or folder as a user would type it here: its URI, or its path from this folder."""
    place = place_of(path)
    return place if is_uri(place) else from_here(path)


def from_here(path: str | Path) -> str:
    """A path as the user would type it in the current folder. That of a job is Ray's own: nobody
    would type a path that leads out of it."""
    here = _current_folder()
    relative = os.path.relpath(here / path, here)
    if JOB in os.environ and relative.startswith(".."):
        return str(path)
    return f"./{relative}" if relative.startswith(("-", "~")) else relative


def _current_folder() -> Path:
    """The folder in which this program runs.

    Ray replaces a job's folder by an equal one if another of its nodes is on the same machine. The
    system then no longer knows the old one, and the new one becomes the current folder. Raises
    FileNotFoundError if the folder is gone.
    """
    try:
        return Path.cwd()
    except FileNotFoundError:
        if JOB not in os.environ:
            raise
        os.chdir(os.environ["PWD"])
        return Path.cwd()
