"""Ray's own processes: those that a search starts get their own sessions, and those that it needs
are watched.

A signal to the search's process group, from Ctrl-C or ``timeout``, must not end Ray first: the
search would wait for it. If a daemon of Ray's dies, Tune waits for ever, or after a minute Ray's
core ends this process without a word.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray._private import worker

from tuning.interruption import early_exit

DAEMONS = {"gcs_server": "Ray's control store", "raylet": "Ray's scheduler (raylet)"}
"""The processes that every trial needs, by the name of their program."""

PATIENCE_S = {"gcs_server": 45.0, "raylet": 5.0}
"""How long a daemon of a joined cluster may be silent. Some clusters restart their control store,
but after a minute Ray ends the driver; nothing restarts a raylet."""

ANSWER_S = 0.5


class RayProcesses:
    """Ray's processes that this process depends on."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []
        self._watched = False
        self._joined: dict[str, tuple[str, int]] = {}
        self._answered: dict[str, float] = {}

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Give the processes that ``ray.init`` starts in the body their own sessions.

        They still end with this process: Ray asks Linux to kill each when its parent dies.
        """
        start = subprocess.Popen.__init__

        def start_alone(process: subprocess.Popen[bytes], *arguments: Any, **options: Any) -> None:
            start(process, *arguments, **{**options, "start_new_session": True})
            self._started.append(process)

        self._watched = False
        _mute()
        subprocess.Popen.__init__ = start_alone  # type: ignore[method-assign,assignment]
        try:
            with signals_kept():
                yield
            self._watched = True
        finally:
            subprocess.Popen.__init__ = start  # type: ignore[method-assign]

    def joined(self) -> None:
        """Watch the cluster's control store and this node's raylet, after ``ray.init`` has joined
        them."""
        _mute()
        here = ray.get_runtime_context()
        host, port = here.gcs_address.rsplit(":", 1)
        joined = {"gcs_server": (host, int(port))}
        for node in ray.nodes():
            if node["NodeID"] == here.get_node_id():
                joined["raylet"] = (node["NodeManagerAddress"], node["NodeManagerPort"])
        self._answered = dict.fromkeys(joined, time.monotonic())
        self._joined = joined  # last, since another thread reads both

    def lost(self) -> str | None:
        """Which of Ray's processes is lost, in a few words; None if all are well or Ray is off."""
        for process in self._started if self._watched else ():
            program: Any = process.args  # Ray's are lists
            name = Path(os.fsdecode(program[0])).name
            if name in DAEMONS and process.poll() is not None:
                return f"{DAEMONS[name]} died"
        for name, address in self._joined.items():
            if _answers(address):
                self._answered[name] = time.monotonic()
            elif (silent := time.monotonic() - self._answered[name]) > PATIENCE_S[name]:
                place = f"{address[0]}:{address[1]}"
                return f"{DAEMONS[name]} at {place} has not answered for {silent:.0f} s"
        return None

    def shut_down(self) -> None:
        """Shut Ray down and watch its processes no more."""
        self._watched, self._joined = False, {}
        ray.shutdown()
        self._started = []

    def kill(self) -> None:
        """End at once what this process started, with the agents that would outlive it for a
        minute."""
        for process in self._started:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


def _mute() -> None:
    """Keep Ray's messages about dead nodes and processes off the console, which log_to_driver does
    not."""
    worker.print_to_stdstream = lambda data, ignore_prefix: None


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
    """Keep our signal handlers during ``ray.init``, and drop what Ray's core writes about a SIGTERM
    meanwhile."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with early_exit.handlers_kept():
            yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def _answers(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=ANSWER_S).close()
    except OSError:
        return False
    return True


ray_processes = RayProcesses()
