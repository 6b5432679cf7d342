"""Patience with the study's database and the storage: after a failure the search tries again.

A database may be locked or restarted, and a disk may be full until somebody makes room. The search
says so in one line. If the failure lasts too long, the search ends with one line; finished trials
are kept.
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
"""How long a search waits for a database or a storage, unless the environment has ``VARIABLE``."""

VARIABLE = "TUNE_PATIENCE_S"

PAUSES_S = (0.5, 1.0, 2.0, 5.0)
"""The pauses between tries; the last pause is repeated."""

PROBE = ".writable"

NOT_WAITED_FOR = (BrokenPipeError, FileExistsError, IsADirectoryError, NotADirectoryError)
"""Errors that waiting does not mend."""

STORAGE_ERRORS = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN,
    errno.ETIMEDOUT, errno.ENODEV, errno.ENXIO,
}  # fmt: skip
"""The errors of a disk that is full, over its quota, read-only or out of reach."""

Result = TypeVar("Result")


def say_on_stderr(line: str) -> None:
    """Print a line for the user while no progress display runs."""
    print(line, file=sys.stderr, flush=True)


class Patience:
    """Repeats what needs a database or a folder until it works.

    Raises UsageError if TUNE_PATIENCE_S is not a number of seconds.

    Attributes:
        trouble: Why the search must end; None so far. Ray Tune swallows some exceptions, so whoever
            runs the Tuner looks here afterwards.
    """

    def __init__(self, say: Callable[[str], None] = say_on_stderr) -> None:
        self.say = say
        self.trouble: Trouble | None = None
        self.seconds = _seconds(os.environ.get(VARIABLE, ""))

    def __call__(self, what: str, action: Callable[[], Result]) -> Result:
        """``action()``, repeated while ``what`` (a database, a folder) fails.

        Raises Trouble if it still fails after ``seconds``, and from then on at once.
        """
        if self.trouble:
            raise self.trouble
        began, tries = time.monotonic(), 0
        while True:
            try:
                result = action()
            except NOT_WAITED_FOR:
                raise
            except (OSError, StorageInternalError, SQLAlchemyError) as error:
                waited, why = time.monotonic() - began, reason(error)
                if waited >= self.seconds:
                    raise self.give_up(f"{what} failed for {waited:.0f} s: {why}") from error
                if tries == 0:
                    most = f"trying again for up to {self.seconds:.0f} s"
                    self.say(f"waiting: {what} failed ({why}); {most}")
                time.sleep(min(PAUSES_S[min(tries, len(PAUSES_S) - 1)], self.seconds - waited))
                tries += 1
            else:
                if tries:
                    self.say(f"{what} works again after {time.monotonic() - began:.0f} s")
                return result

    def __getstate__(self) -> dict[str, object]:
        return {}  # Ray pickles what its callbacks and searchers hold; the console stays here

    def give_up(self, why: str) -> Trouble:
        """The trouble that ends the search, for the caller to raise."""
        self.trouble = self.trouble or Trouble(why)
        return self.trouble


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        seconds = float(text or PATIENCE_S)
        if 0 <= seconds < float("inf"):
            return seconds
    raise UsageError(f"{VARIABLE} must be a number of seconds, 0 or more, got {text}")


def reason(error: BaseException) -> str:
    """What the storage or the database itself says, in one line."""
    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    if isinstance(error, OSError) and error.strerror:
        place = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror}{place}"
    return hide_secrets(" ".join(str(error).split())) or type(error).__name__


def check_writable(folder: Path) -> None:
    """Write a small file into ``folder`` and remove it. Raises OSError if that fails."""
    probe = folder / PROBE
    with probe.open("wb") as file:
        file.write(bytes(4096))
        file.flush()
        os.fsync(file.fileno())
    probe.unlink()
