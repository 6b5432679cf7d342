"""Trouble outside the trials: the study's database or the storage fails. A search waits for a
while, since that often helps.

A database may be locked or restarted, a disk may be full until somebody makes room. The search then
says so in one line and tries again. When its patience is over it ends in one line, and everything
that had finished is kept.
"""

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from command_line import UsageError, hide_secrets
from tuning.trouble import Trouble

PATIENCE_S = 300.0
"""How long a search waits for a database or a storage that fails, unless the environment has ``VARIABLE``."""

VARIABLE = "TUNE_PATIENCE_S"

PAUSES_S = (0.5, 1.0, 2.0, 5.0)
"""Pauses between two tries; the last one is repeated."""

PROBE = ".writable"

NOT_WAITED_FOR = (BrokenPipeError, FileExistsError, IsADirectoryError, NotADirectoryError)
"""Errors that time does not mend."""

STORAGE_ERRORS = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.ENODEV,
    errno.ENXIO,
}  # fmt: skip
"""What a disk that is full, over its quota, read-only or out of reach answers."""

Result = TypeVar("Result")


def say_on_stderr(line: str) -> None:
    """A line for the user that no progress display is there to show."""
    print(line, file=sys.stderr, flush=True)


class Patience:
    """Does what the search needs of the world outside, again and again if it has to.

    Raises UsageError if TUNE_PATIENCE_S is not a number of seconds.

    Attributes:
        trouble: Why the search has to end, once patience was lost. Ray Tune swallows some
            exceptions, so whoever started the Tuner looks here when it is back.
    """

    def __init__(self, say: Callable[[str], None] = say_on_stderr) -> None:
        self.say = say
        self.trouble: Trouble | None = None
        self.seconds = _seconds(os.environ.get(VARIABLE, ""))

    def __call__(self, what: str, action: Callable[[], Result]) -> Result:
        """``action()``, tried again as long as ``what`` (a database, a folder) fails. It must be
        one that can be repeated.

        Raises Trouble if it still fails after ``PATIENCE_S`` seconds, and from then on at once.
        """
        if self.trouble:
            raise self.trouble
        seconds = self.seconds
        began, tries = time.monotonic(), 0
        while True:
            try:
                result = action()
            except (OSError, StorageInternalError, SQLAlchemyError) as error:
                if isinstance(error, NOT_WAITED_FOR):
                    raise
                waited = time.monotonic() - began
                if waited >= seconds:
                    self.trouble = Trouble(f"{what} failed for {waited:.0f} s: {reason(error)}")
                    raise self.trouble from error
                if tries == 0:
                    self.say(
                        f"waiting: {what} failed ({reason(error)}); trying again for up to {seconds:.0f} s"
                    )
                time.sleep(min(PAUSES_S[min(tries, len(PAUSES_S) - 1)], max(0.0, seconds - waited)))
                tries += 1
            else:
                if tries:
                    self.say(f"{what} works again after {time.monotonic() - began:.0f} s")
                return result

    def __getstate__(self) -> dict[str, object]:
        return {}  # Ray pickles what its callbacks and searchers hold; the console stays here

    def give_up(self, why: str) -> Trouble:
        """The trouble that ends the search, for its finder to raise."""
        self.trouble = self.trouble or Trouble(why)
        return self.trouble


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        seconds = float(text or PATIENCE_S)
        if 0 <= seconds < float("inf"):
            return seconds
    raise UsageError(f"{VARIABLE} must be a number of seconds, 0 or more, got {text}")


def reason(error: BaseException) -> str:
    """What the storage or the database itself said, in one line."""
    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    if isinstance(error, OSError) and error.strerror:
        place = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror}{place}"
    return hide_secrets(" ".join(str(error).split())) or type(error).__name__


def check_writable(folder: Path) -> None:
    """Write a small file into ``folder`` and remove it again. Raises OSError if that fails."""
    probe = folder / PROBE
    with probe.open("wb") as file:
        file.write(bytes(4096))
        file.flush()
        os.fsync(file.fileno())
    probe.unlink()
