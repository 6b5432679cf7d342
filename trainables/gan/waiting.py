"""Lines that a search prints while it prepares: how far long work is, and what it waits for."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

Say = Callable[[str], None]

EVERY_S = 15.0
"""Seconds between two lines about the same work; shorter work has no line."""

SILENT_WAIT_S = 3.0
LONGEST_WAIT_S = 600.0
"""How long a search waits for another search before it says so, and before it goes on alone."""


class Heartbeat:
    """A context in which a thread says every ``EVERY_S`` seconds how far the work is.

    Update ``done`` (and ``total``) during the work: then the lines also say how long the rest
    takes.
    """

    def __init__(self, say: Say, work: str, total: int = 0) -> None:
        self.done, self.total = 0, total
        self._say, self._work = say, work
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(EVERY_S):
            elapsed = time.monotonic() - self._started
            done, total = self.done, self.total
            if 0 < done <= total:
                left = _duration(elapsed * (total - done) / done)
                self._say(f"{self._work} {done:,} of {total:,}, about {left} left")
            else:
                self._say(f"{self._work}, {_duration(elapsed)} so far")


@contextmanager
def held(lock: Path, say: Say, work: str) -> Iterator[None]:
    """Hold a lock between processes, or go on without it after ``LONGEST_WAIT_S``.

    Its holder may be stopped for ever, so the work must be safe to do in two processes at once.
    Raises OSError if the file cannot be made.
    """
    file_lock = FileLock(lock)
    try:
        file_lock.acquire(timeout=SILENT_WAIT_S)
    except Timeout:
        say(f"waiting for another search that is {work} (it holds {lock})")
        try:
            file_lock.acquire(timeout=LONGEST_WAIT_S)
        except Timeout:
            still = f"the other search is still {work} after {_duration(LONGEST_WAIT_S)}"
            say(f"{still}: this one does not wait any longer")
    try:
        yield
    finally:
        file_lock.release()


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
