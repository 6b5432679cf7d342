"""A folder at a URI, through pyarrow: what lies there is listed, read, written and deleted.

Every error of a storage is an OSError of one line, whatever its library raises.
Source: https://arrow.apache.org/docs/python/filesystems.html
"""

import contextlib
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from pyarrow import ArrowInvalid
from pyarrow.fs import FileInfo, FileSelector, FileSystem

from command_line import UsageError
from records.places import keys_of

ANSWER_S = 20.0
"""How long a storage may take for its first answer. Some libraries would try it for minutes."""
TOGETHER = 8
"""Downloads at the same time."""
CHUNK_BYTES = 2**22

AWS_ERROR = re.compile(
    r"AWS Error (\w+)[^:]*: (?:curlCode: \d+, )?(.*?)(?:; Details: (.*))?$", re.S
)
KEYS_ARE_WRONG = re.compile(
    "(?i)access.?denied|credential|forbidden|unauthori|signature|access.?key"
)
NO_BUCKET = re.compile("(?i)no.?such.?(bucket|container)|bucket .*not found")

Result = TypeVar("Result")


class RemoteFolder:
    """The folder at ``uri``. A path is relative to it, with slashes."""

    def __init__(self, uri: str) -> None:
        with in_one_line():
            self._system, root = FileSystem.from_uri(uri)
        self._root = str(root).rstrip("/")

    def names(self, folder: str = "") -> list[str]:
        """What lies directly in a folder: files and folders, but not the mark of the folder
        itself."""
        return [self._path(info).rpartition("/")[2] for info in self._infos(folder, False)]

    def files(self, folder: str = "") -> dict[str, FileInfo]:
        """The files in a folder and below it, by their paths."""
        return {self._path(info): info for info in self._infos(folder, True) if info.is_file}

    def modified(self, path: str) -> float:
        """When a file was written, in seconds since 1970 by the storage's clock."""
        with in_one_line():
            info: Any = self._system.get_file_info(self._place(path))
            return float(info.mtime_ns or 0) / 1e9

    def read(self, path: str) -> bytes:
        """A file's content; empty if there is no such file."""
        try:
            with in_one_line(), self._system.open_input_stream(self._place(path)) as file:
                return bytes(file.read())
        except FileNotFoundError:
            return b""

    def write(self, path: str, content: bytes) -> None:
        with in_one_line(), self._system.open_output_stream(self._place(path)) as file:
            file.write(content)

    def upload(self, file: Path, path: str) -> None:
        place = self._place(path)
        with (
            in_one_line(),
            file.open("rb") as source,
            self._system.open_output_stream(place) as target,
        ):
            shutil.copyfileobj(source, target, CHUNK_BYTES)

    def download(self, infos: Iterable[FileInfo], folder: Path) -> None:
        """Copy files to their paths in ``folder``, with the times at which they were written."""

        def copy(info: FileInfo) -> None:
            file = folder / self._path(info)
            file.parent.mkdir(parents=True, exist_ok=True)
            new = file.with_name(f"{file.name}.new")
            with self._system.open_input_stream(info.path) as source, new.open("wb") as target:
                shutil.copyfileobj(source, target, CHUNK_BYTES)
            if info.mtime_ns is not None:
                os.utime(new, ns=(info.mtime_ns, info.mtime_ns))
            new.replace(file)

        with in_one_line(), ThreadPoolExecutor(TOGETHER) as pool:
            for _ in pool.map(copy, [*infos]):
                pass

    def delete(self, path: str) -> None:
        """Delete a file, if it exists."""
        with in_one_line(), contextlib.suppress(FileNotFoundError):
            self._system.delete_file(self._place(path))

    def delete_folder(self, folder: str = "") -> None:
        """Delete a folder with all that is in it, if it exists."""
        with in_one_line(), contextlib.suppress(FileNotFoundError):
            self._system.delete_dir(self._place(folder))

    def _place(self, path: str) -> str:
        return f"{self._root}/{path}".rstrip("/")

    def _path(self, info: FileInfo) -> str:
        return str(info.path).strip("/")[len(self._root.strip("/")) :].strip("/")

    def _infos(self, folder: str, recursive: bool) -> list[FileInfo]:
        place = self._place(folder)
        with in_one_line():
            selector = FileSelector(place, recursive=recursive, allow_not_found=True)
            found: list[FileInfo] = self._system.get_file_info(selector)
        return [info for info in found if info.path.rstrip("/") != place]


@contextlib.contextmanager
def in_one_line() -> Iterator[None]:
    """Raise an OSError of one line for what a storage's library raises in the body."""
    try:
        yield
    except FileNotFoundError:
        raise
    except ArrowInvalid as error:
        raise OSError(" ".join(str(error).split())) from error
    except OSError as error:
        if error.strerror:  # of a file on this machine
            raise
        raise OSError(reason(error)) from error
    except Exception as error:  # fsspec's file systems raise what their libraries raise
        raise OSError(reason(error) or type(error).__name__) from error


def reason(error: BaseException) -> str:
    """What a storage says, in one line and without the steps of its library."""
    text = " ".join(str(error).split())
    if found := AWS_ERROR.search(text):
        code, message, details = found.groups()
        message = re.sub(r" \(Request ID: .*", "", details or message)
        return f"{code.lower().replace('_', ' ')}: {message}"
    return text


def answered(uri: str, action: Callable[[], Result]) -> Result:
    """``action()``, the first that a search or a report does with a URI.

    Raises UsageError if it fails or takes longer than ``ANSWER_S``.
    """
    results: list[Result] = []
    errors: list[Exception] = []

    def act() -> None:
        try:
            results.append(action())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(ANSWER_S)
    for error in errors:
        if isinstance(error, UsageError):
            raise error
        raise UsageError(f"{uri} cannot be used: {_with_remedy(uri, str(error))}") from None
    if not results:
        raise UsageError(f"{uri} cannot be used: it does not answer within {ANSWER_S:.0f} s")
    return results[0]


def _with_remedy(uri: str, why: str) -> str:
    if "Unrecognized filesystem" in why:
        return f"{uri.partition(':')[0]} is none of the schemes s3, gs, abfs, hdfs and file"
    if KEYS_ARE_WRONG.search(why):
        return f"{why}. Put the keys into {keys_of(uri)}"
    return f"{why}. Make the bucket first" if NO_BUCKET.search(why) else why
