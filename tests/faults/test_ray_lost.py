"""Ray itself lost under a search, whose own Ray it may be or a cluster's, and a cluster that has no
room."""

import json
import os
import pty
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, run, start
from tests.support.processes import KNOWN_LINES, check_ended, descendants, sessions, wait_for

RAY = str(Path(sys.executable).parent / "ray")
SEARCH = shlex.split(
    "--input-length 6 --max-steps 3000 --num-samples 7 --confirm 0 --name lost --no-dashboard"
)
RESUME = "finished trials are kept, go on with: python"


def running_search(folder: Path, *options: object) -> subprocess.Popen[str]:
    """A search whose trials have reported."""
    process = start("tune_lstm.py", *SEARCH, *options, cwd=folder, start_new_session=True)
    wait_for(lambda: any(folder.glob("runs/lost/trial_*/result.json")), process)
    return process


def check_said(process: subprocess.Popen[str], folder: Path, what: str, within: float) -> None:
    """The search ends in time, says in one line what is lost and how to go on, and records that it
    has failed."""
    out, err = process.communicate(timeout=within)
    assert process.returncode == 1
    assert out == ""
    (line,) = [line for line in err.splitlines() if line and not line.startswith(KNOWN_LINES)]
    assert line.startswith(f"tune_lstm.py: {what}")
    assert RESUME in line
    assert sessions(folder / "runs/lost") == ["failed"]


def check_goes_on(folder: Path) -> None:
    result = run("tune_lstm.py", "--resume", "--name", "lost", "--no-dashboard", cwd=folder)
    assert result.returncode == 0, result.stderr
    ended = [
        json.loads(file.read_text())["ended"]
        for file in folder.glob("runs/lost/trial_*/trial.json")
    ]
    assert len(ended) == 7
    assert set(ended) <= {"converged", "budget", "stopped early"}


@pytest.mark.parametrize(
    ("programs", "what"),
    [
        pytest.param(["raylet/raylet"], "Ray's scheduler (raylet) died", marks=pytest.mark.slow),
        pytest.param(
            ["raylet/raylet", "ray::LSTMTrial"],
            "Ray's scheduler (raylet) died",
            marks=pytest.mark.slow,
        ),
        pytest.param(["gcs/gcs_server"], "Ray's control store died", marks=pytest.mark.slow),
        pytest.param(["ray"], "Ray's ", marks=pytest.mark.slow),
    ],
)
def test_a_part_of_ray_dies(programs: list[str], what: str, tmp_path: Path) -> None:
    process = running_search(tmp_path)
    of_ray = descendants(process.pid)
    killed = [
        pid
        for pid, command in of_ray.items()
        if any(program in command.split()[0] for program in programs)
    ]
    assert len(killed) >= len(programs), of_ray
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    check_said(process, tmp_path, what, within=60)
    check_ended(of_ray)
    if programs == ["raylet/raylet"]:
        check_goes_on(tmp_path)


class Cluster:
    """A cluster of one node on this machine, with two CPUs."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        head = f"start --head --block --port {self.port} --num-cpus 2 --include-dashboard false"
        environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
        self.node = subprocess.Popen(
            [RAY, *head.split()],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )
        assert self.node.stdout is not None
        assert any("Ray runtime started" in line for line in self.node.stdout)

    def kill(self, program: str) -> None:
        """Kill the node's processes of this program. They are no children of ``ray start``."""
        listed = subprocess.run(
            ["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True
        ).stdout
        found = [line.split(None, 1) for line in listed.splitlines() if str(self.port) in line]
        pids = [int(pid) for pid, command in found if program in command.split()[0]]
        assert pids
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    of_ray = descendants(cluster.node.pid)
    yield cluster
    os.killpg(
        cluster.node.pid, signal.SIGKILL
    )  # this cluster alone: `ray stop` would end every other Ray of the machine too
    cluster.node.communicate(timeout=60)
    check_ended(of_ray)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "what"),
    [("gcs/gcs_server", "Ray's "), ("raylet/raylet", "Ray's scheduler (raylet) ")],
)
def test_a_part_of_a_cluster_dies(
    program: str, what: str, cluster: Cluster, tmp_path: Path
) -> None:
    process = running_search(tmp_path, "--address", cluster.address)
    cluster.kill(program)
    check_said(process, tmp_path, what, within=90)


@pytest.mark.slow
def test_a_cluster_that_is_full_of_other_jobs(cluster: Cluster, tmp_path: Path) -> None:
    """The status line, which a terminal shows, says what is waited for; once there is room, the
    search goes on."""
    occupy = f"""
import ray, time
ray.init("{cluster.address}", log_to_driver=False)
@ray.remote(num_cpus=2)
class Other:
    def works(self): return True
other = Other.remote()
print(ray.get(other.works.remote()), flush=True)
time.sleep(600)
"""
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "COLUMNS": "160"}
    other = subprocess.Popen(
        [sys.executable, "-c", occupy], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert other.stdout is not None
    assert "True" in other.stdout.readline()
    terminal, end = pty.openpty()
    command = [sys.executable, ROOT / "tune_lstm.py", *SEARCH, "--address", cluster.address]
    process = subprocess.Popen(
        [*map(str, command)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=end, env=environment
    )
    os.close(end)

    shown, deadline = b"", time.monotonic() + 120
    while b"waiting for 1 CPU, " not in shown:
        assert time.monotonic() < deadline, shown
        shown += os.read(terminal, 4096)
    other.kill()
    other.communicate()
    while b"trial   0" not in shown:
        assert time.monotonic() < deadline + 120, shown
        shown += os.read(terminal, 4096)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    os.close(terminal)
    assert process.returncode == 130
    assert b"--resume --name lost" in out
