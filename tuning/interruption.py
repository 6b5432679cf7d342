"""How the program ends early: on a signal, or when something it depends on is lost.

Python calls a signal handler in the main thread, between two Python instructions. If that thread is
inside a database, Ray or a training step, the handler waits for as long as that call takes. So the
number of each signal also goes into a pipe at once. A thread reads the pipe, prints the program's
last line and ends the process, all within a fraction of a second. The handler, when it is called,
stops the main thread where it is. What a search was writing may therefore be cut off; the run
directory allows for that, and a trial goes on from its latest checkpoint.
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

INTERRUPTED = 130
"""Exit status after a signal: the one that a shell reports for a program that Ctrl-C ended."""
FAILED = 1
"""Exit status of a search that cannot go on."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""In this order: Ctrl-C; ``kill``, ``timeout`` and job managers; a terminal that closes; the early
warning that Slurm can send."""

SAME_REQUEST_S = 1.0
"""Signals within this time are one request, since ``timeout``, shells and systemd send two at once.
A later signal ends the process immediately."""

LOOK_EVERY_S = 0.2
"""How often ``EarlyExit.lost`` is asked."""
SAME_CAUSE_S = 0.3
"""A job manager signals Ray's processes too, so their loss may be noticed before the signal to this
process. A signal that arrives within this time after the loss is taken for its cause."""

NOTHING_BEGUN = "interrupted before the first trial began: start again with the same command"
CLEAR_LINE, SHOW_CURSOR = "\r\x1b[2K", "\x1b[?25h"


class EarlyExit:
    """Ends this process early, whoever notices first that it must end.

    Attributes:
        last_words: Records how the program ends and returns the line to print. It is called with
            what was lost, or with None after a signal. It runs in a thread of its own while the
            main thread is stopped or inside a C call, and that thread may hold a lock.
        lost: Returns a few words on what the program has lost and cannot go on without, or None.
    """

    def __init__(self) -> None:
        self.last_words: Callable[[str | None], str] = lambda lost: lost or NOTHING_BEGUN
        self.lost: Callable[[], str | None] = lambda: None
        self._handled: list[signal.Signals] = []
        self._first_signal: float | None = None
        self._status: int | None = None
        self._lock = threading.Lock()

    def install(self) -> None:
        """Handle ``SIGNALS`` from now on, except a SIGHUP that is ignored, as under ``nohup``. Call
        this in the main thread."""
        reading, writing = (_above_console(end) for end in os.pipe())
        os.set_blocking(writing, False)
        threading.Thread(target=self._watch, args=(reading,), daemon=True).start()
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        self._handled = [one for one in SIGNALS if one != signal.SIGHUP or not ignored]
        self._handle()

    @contextlib.contextmanager
    def handlers_kept(self) -> Iterator[None]:
        """Keep these signal handlers while Ray starts or Ray Tune runs: both install their own."""
        install = signal.signal
        signal.signal = lambda signalnum, handler: signal.getsignal(signalnum)
        try:
            yield
        finally:
            signal.signal = install
            self._handle()

    def settle(self, status: int) -> None:
        """Fix the exit status, because the program has recorded and printed how it ends. A signal
        from now on ends the process with this status and without another line."""
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        with self._lock:
            self._status = status

    def finish(self) -> None:
        """Ignore signals from now on. While Python shuts down, it resets handled signals to their
        default, which would end the process with another status."""
        for number in self._handled:
            signal.signal(number, signal.SIG_IGN)

    def _handle(self) -> None:
        for number in self._handled:
            signal.signal(number, self._stop_main_thread)

    def _stop_main_thread(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        self._first_signal = self._first_signal or now
        if now - self._first_signal > SAME_REQUEST_S:
            os._exit(INTERRUPTED)
        while True:
            time.sleep(60)

    def _watch(self, pipe: int) -> None:
        while True:
            if _signalled(pipe, LOOK_EVERY_S):
                self._leave(None, INTERRUPTED)
            if lost := self.lost():
                if _signalled(pipe, SAME_CAUSE_S):
                    self._leave(None, INTERRUPTED)
                os.kill(os.getpid(), signal.SIGTERM)  # stops the main thread
                self._leave(lost, FAILED)

    def _leave(self, lost: str | None, status: int) -> NoReturn:
        self._lock.acquire(timeout=SAME_REQUEST_S)
        if self._status is not None:
            os._exit(self._status)
        try:
            try:
                line = self.last_words(lost)
            except Exception as error:  # whatever is wrong, the process ends with a line
                line = f"{lost or 'interrupted'} (and then {type(error).__name__}: {error})"
            _write(2, CLEAR_LINE + SHOW_CURSOR if os.isatty(2) else "")
            _write(1 if lost is None else 2, line + "\n")
        finally:
            os._exit(status)


def _above_console(descriptor: int) -> int:
    """A descriptor's copy under a number above those of the standard streams. If one of these is
    closed, a new pipe gets its number."""
    above = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(descriptor)
    return above


def _signalled(pipe: int, timeout: float) -> bool:
    """Whether one of ``SIGNALS`` has arrived or arrives within ``timeout`` seconds."""
    ready, _, _ = select.select([pipe], [], [], timeout)
    return bool(ready) and any(number in SIGNALS for number in os.read(pipe, 4096))


def _write(stream: int, text: str) -> None:
    """Write without Python's buffers, whose lock the main thread may hold. If the pipe or terminal
    is closed, nothing happens."""
    encoding = sys.__stderr__.encoding if sys.__stderr__ else "utf-8"
    try:
        content = text.encode(encoding, "surrogateescape")  # keeps paths that are not text
    except UnicodeEncodeError:
        content = text.encode(encoding, "replace")
    with contextlib.suppress(OSError):
        os.write(stream, content)


early_exit = EarlyExit()
"""The only instance: a process has one handler for each signal."""
