"""Processes as a test kills them: a search, Ray's daemons under it, and the workers under those."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable

import psutil


def family(pid: int) -> list[psutil.Process]:
    """The process and all that descend from it, those that still run."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    return []


def named(pid: int, word: str) -> list[psutil.Process]:
    """Those of the family whose command line has ``word`` in it, such as ``raylet`` or ``ray::LSTMTrial``."""
    found = []
    for process in family(pid)[1:]:
        with contextlib.suppress(psutil.Error):
            if word in " ".join(process.cmdline()):
                found.append(process)
    return found


def kill(processes: Iterable[psutil.Process], number: int = signal.SIGKILL) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            os.kill(process.pid, number)


def wait_until(condition: Callable[[], object], seconds: float, every: float = 0.1) -> bool:
    """Whether the condition comes to hold within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True
