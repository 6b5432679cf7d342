"""The processes of a search that is cut off, and what it may print."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

KNOWN_LINES = (
    "7 trials",
    "varied ",
    "fixed ",
    "confirmed ",
    "run ",
    "trial ",
    "confirm ",
    "early ",
    "waiting ",
)
"""How the lines begin that a search itself writes to stderr."""


def descendants(pid: int) -> dict[int, str]:
    """The commands of a process's children and of theirs, by process id: other tests run Ray beside
    this one."""
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    processes = [line.split(None, 2) for line in listed.splitlines()]
    found, parents = dict[int, str](), {pid}
    while parents:
        children = {
            int(child): command for child, parent, command in processes if int(parent) in parents
        }
        found |= children
        parents = set(children)
    return found


def alive(pid: int) -> bool:
    """Whether there is such a process, and no zombie, which has no command line."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


def check_ended(processes: dict[int, str], within: float = 30) -> None:
    """All of these processes are gone, or will be soon."""
    deadline = time.monotonic() + within
    while left := {pid: command for pid, command in processes.items() if alive(pid)}:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


def wait_for(
    condition: Callable[[], bool],
    process: subprocess.Popen[str],
    within: float = 180,
    every: float = 0.2,
) -> None:
    """Wait until the condition holds, while the process runs."""
    deadline = time.monotonic() + within
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(every)


def sessions(run: Path) -> list[str]:
    """How each session of a run ended."""
    return [session["how"] for session in json.loads((run / "search.json").read_text())["sessions"]]


def named(pid: int, word: str) -> list[int]:
    """The descendants whose command line has ``word`` in it, such as ``raylet/raylet`` or
    ``ray::LSTMTrial``."""
    return [child for child, command in descendants(pid).items() if word in command]


def kill(pids: Iterable[int], number: int = signal.SIGKILL) -> None:
    """Send a signal to those that still run."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def started_in(folder: Path) -> list[int]:
    """The processes that name a folder in their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.fsencode(folder) in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found
