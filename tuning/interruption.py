"""How a program leaves early: at a signal, or when what it depends on is lost. It takes a fraction
of a second.

Python runs a signal's handler in the main thread, and only once that returns from C code, which may
wait for a database, for Ray or for a step of training. So the number of a signal also goes down a
pipe at once, to a thread that says the program's last words and ends the process. The main thread
stands still meanwhile, wherever it was: what a search writes may be cut off at any moment, and a
trial goes on from its latest checkpoint.
Source: https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd
"""

import contextlib
import fcntl
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

INTERRUPTED, FAILED = 130, 1
"""Exit statuses: as a shell gives it to a program that Ctrl-C ended; and of a search that cannot go on."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Ctrl-C; ``kill``, ``timeout``, a job manager; a terminal that closes; the early warning that Slurm can send."""

SAME_REQUEST_S = 1.0
"""Signals that follow the first one sooner are no second request: ``timeout``, a shell and systemd send two at once."""

LOOK_EVERY_S = 0.2
TOGETHER_S = 0.3
"""A job manager's signal ends Ray's processes as well: it reaches this one at most so much later than they are missed."""

NOTHING_BEGUN = "interrupted before anything was begun: start again with the same command"
CLEAR_LINE, SHOW_CURSOR = "\r\x1b[2K", "\x1b[?25h"


class EarlyExit:
    """The one way out of this process before its end, for whoever notices first that it must be
    taken.

    Attributes:
        last_words: Records how the program ends and returns the line that says so. Called with what
            was lost, or with None for a signal; from a thread, while the main thread stands still
            or is in C code, perhaps holding a lock.
        lost: Says in a few words what is lost that the program cannot go on without; None while all
            is well.
    """

    def __init__(self) -> None:
        self.last_words: Callable[[str | None], str] = lambda lost: (
            NOTHING_BEGUN if lost is None else lost
        )
        self.lost: Callable[[], str | None] = lambda: None
        self._handled: tuple[signal.Signals, ...] = ()
        self._asked: float | None = None
        self._status: int | None = None
        self._one_at_a_time = threading.Lock()

    def install(self) -> None:
        """Handle the signals from now on; SIGHUP unless it is ignored, as ``nohup`` wants it. Call in the main thread."""
        reading, writing = (_above_console(end) for end in os.pipe())
        os.set_blocking(writing, False)
        threading.Thread(
            target=self._watch, args=(reading,), name="early exit", daemon=True
        ).start()
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        self._handled = tuple(
            number for number in SIGNALS if not (number == signal.SIGHUP and ignored)
        )
        self._handle()

    @contextlib.contextmanager
    def handlers_kept(self) -> Iterator[None]:
        """Nobody else's signal handlers last: Ray and its core install some at its start, Tune at the start of every search."""
        install = signal.signal
        signal.signal = lambda signalnum, handler: signal.getsignal(signalnum)
        try:
            yield
        finally:
            signal.signal = install
            if self._handled:
                self._handle()

    def settle(self, status: int) -> None:
        """The program's end is recorded and said: whoever ends the process from now on ends it with this status."""
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        with self._one_at_a_time:
            self._status = status

    def finish(self) -> None:
        """All is done: ignore signals. Python gives those that it handles their deadly defaults while it ends."""
        for number in self._handled:
            signal.signal(number, signal.SIG_IGN)

    def _handle(self) -> None:
        for number in self._handled:
            signal.signal(number, self._stand_still)

    def _stand_still(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._asked is not None and now - self._asked > SAME_REQUEST_S:
            os._exit(INTERRUPTED)
        self._asked = self._asked or now
        while True:
            time.sleep(60)

    def _watch(self, pipe: int) -> None:
        while True:
            if _signalled(pipe, LOOK_EVERY_S):
                self._leave(None, INTERRUPTED)
            if lost := self.lost():
                if _signalled(pipe, TOGETHER_S):
                    self._leave(None, INTERRUPTED)
                os.kill(os.getpid(), signal.SIGTERM)  # for the main thread to stand still
                self._leave(lost, FAILED)

    def _leave(self, lost: str | None, status: int) -> NoReturn:
        self._one_at_a_time.acquire(timeout=SAME_REQUEST_S)
        if self._status is not None:
            os._exit(self._status)
        try:
            try:
                line = self.last_words(lost)
            except Exception as error:  # whatever is wrong, the process ends, and says so
                line = f"{lost or 'interrupted'} (and then {type(error).__name__}: {error})"
            _write(2, CLEAR_LINE + SHOW_CURSOR if os.isatty(2) else "")
            _write(1 if lost is None else 2, line + "\n")
        finally:
            os._exit(status)


def _above_console(descriptor: int) -> int:
    """The same end of a pipe under a number that no standard stream has, should one of those be closed."""
    if descriptor > 2:
        return descriptor
    above = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(descriptor)
    return above


def _signalled(pipe: int, timeout: float) -> bool:
    """Whether one of the signals comes, or has come, within so many seconds."""
    ready, _, _ = select.select([pipe], [], [], timeout)
    return bool(ready) and any(number in SIGNALS for number in os.read(pipe, 4096))


def _write(stream: int, text: str) -> None:
    """Write past Python's own buffers, whose lock the main thread may hold; a closed pipe or terminal is no matter."""
    encoding = sys.__stderr__.encoding if sys.__stderr__ else "utf-8"
    try:
        content = text.encode(
            encoding, "surrogateescape"
        )  # bytes of a path that are no text stay as they are
    except UnicodeEncodeError:
        content = text.encode(encoding, "replace")
    with contextlib.suppress(OSError):
        os.write(stream, content)


early_exit = EarlyExit()
"""Of this process: its signals are one for all that runs in it."""
