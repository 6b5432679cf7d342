"""What a search says, through a function for one line, while it prepares: how far long work is, and whom it waits for."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

Say = Callable[[str], None]

EVERY_S = 15.0
"""Seconds between two lines about the same work; work that is shorter says nothing."""

SILENT_WAIT_S = 3.0
LONGEST_WAIT_S = 600.0
"""How long a search waits for another one before it says so, and before it does the work itself."""


class Heartbeat:
    """A context in which a thread says every ``EVERY_S`` seconds how far the work is.

    Set ``done`` (and ``total``) as the work goes on: the lines then say how long the rest will
    take.
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(EVERY_S):
            elapsed = time.monotonic() - self._started
            if 0 < self.done <= self.total:
                left = elapsed * (self.total - self.done) / self.done
                self._say(
                    f"{self._work} {self.done:,} of {self.total:,}, about {_duration(left)} left"
                )
            else:
                self._say(f"{self._work}, {_duration(elapsed)} so far")


@contextmanager
def held(lock: Path, say: Say, work: str) -> Iterator[None]:
    """Hold a lock among processes, or go on without it after ``LONGEST_WAIT_S``: its holder may be
    stopped.

    The work under the lock must therefore be safe to do in two processes at once. Raises OSError if
    the file cannot be made.
    """
    one = FileLock(lock)
    try:
        one.acquire(timeout=SILENT_WAIT_S)
    except Timeout:
        say(f"waiting for another search that is {work} (it holds {lock})")
        try:
            one.acquire(timeout=LONGEST_WAIT_S)
        except Timeout:
            say(
                f"the other search is still {work} after {_duration(LONGEST_WAIT_S)}: this one does not wait any longer"
            )
    try:
        yield
    finally:
        one.release()


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
