"""Which of Ray's processes is lost, tried on processes and ports in place of Ray's."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuning.engine import ray_processes
from tuning.engine.ray_processes import RayProcesses


@pytest.fixture
def raylet(tmp_path: Path) -> Iterator[tuple[RayProcesses, subprocess.Popen[bytes]]]:
    """A program called raylet, started as Ray's are, and one that does not matter."""
    program = shutil.copy(shutil.which("sleep") or "", tmp_path / "raylet")
    processes = RayProcesses()
    with processes.starting():
        process = subprocess.Popen([program, "60"])
        subprocess.run(["true"], check=True)
    yield processes, process
    process.kill()
    process.wait()


Raylet = tuple[RayProcesses, subprocess.Popen[bytes]]


def test_a_process_of_ray_is_in_a_session_of_its_own(raylet: Raylet) -> None:
    _, process = raylet
    assert os.getsid(process.pid) == process.pid != os.getsid(0)
    with subprocess.Popen(["sleep", "0"]) as later:
        assert os.getpgid(later.pid) == os.getpgid(0)


def test_a_daemon_that_dies_is_lost_until_ray_is_shut_down(raylet: Raylet) -> None:
    processes, process = raylet
    assert processes.lost() is None
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert processes.lost() == "Ray's scheduler (raylet) died"
    processes.shut_down()
    assert processes.lost() is None


def test_kill_ends_what_was_started(raylet: Raylet) -> None:
    processes, process = raylet
    processes.kill()
    assert process.wait(timeout=30) == -signal.SIGKILL


def test_a_cluster_that_does_not_answer_is_lost_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(ray_processes.PATIENCE_S, "gcs_server", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        processes = RayProcesses()
        host, port = server.getsockname()
        processes._joined, processes._answered = (
            {"gcs_server": (host, port)},
            {"gcs_server": time.monotonic()},
        )
        assert processes.lost() is None
    assert processes.lost() is None  # it may be restarted
    time.sleep(0.6)
    assert processes.lost() == f"Ray's control store at 127.0.0.1:{port} has not answered for 1 s"
