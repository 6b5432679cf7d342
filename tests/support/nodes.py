"""Real nodes on this machine: each has its own raylet, and its own Python or mounts if asked."""

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.mounts import MAY_MOUNT, WHY_NOT

RAY = """
from ray._private import services
services.get_node_ip_address = lambda *_: "127.0.0.1"
from ray.scripts.scripts import main
main()
"""
"""The command ``ray``, but on 127.0.0.1: Ray itself takes an address of the network."""
ON_LOOPBACK = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the same for what joins the cluster to search there
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "180",  # on a busy machine
}
FREE_PORTS = ("--min-worker-port", 0, "--max-worker-port", 0, "--dashboard-agent-listen-port", 0)


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Cluster:
    """Nodes on the loopback address of this machine, or on another of its addresses; the head has
    one CPU."""

    def __init__(self, ip: str = "127.0.0.1") -> None:
        self.ip = ip
        self.folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short enough for Ray's sockets
        self._processes: list[subprocess.Popen[bytes]] = []
        self.address, self.dashboard = f"{ip}:{free_port()}", f"127.0.0.1:{free_port()}"

    def start(self, dashboard: bool = False) -> None:
        """Start the head. It takes jobs only with a ``dashboard`` and on an address of the network,
        where Ray's own agents look for it."""
        place = ("--head", "--port", self.address.split(":")[1], "--temp-dir", self.folder / "ray")
        shown = ["--include-dashboard", "false"]
        if dashboard:
            shown = [
                "--include-dashboard",
                "true",
                "--dashboard-port",
                self.dashboard.split(":")[1],
            ]
        self._start("head", *place, *shown, "--num-cpus", 1, "--num-gpus", 0)

    def join(
        self,
        name: str,
        cpus: int,
        gpus: int = 0,
        hidden: Mapping[Path, Path] | None = None,
        read_only: Sequence[Path] = (),
        python: Path | str = sys.executable,
    ) -> subprocess.Popen[bytes]:
        """Start a node that sees other files or folders in place of those ``hidden``.

        It can only read the ``read_only`` folders. Either of them needs mounts. Its workers run
        with ``python``.
        """
        mounts = [["mount", "--bind", over, place] for place, over in (hidden or {}).items()]
        for folder in read_only:
            mounts += [
                ["mount", "--bind", folder, folder],
                ["mount", "-o", "remount,bind,ro", folder],
            ]
        if mounts and not MAY_MOUNT:
            pytest.skip(WHY_NOT)
        here = (
            "--address",
            self.address,
            "--node-name",
            name,
            "--num-cpus",
            cpus,
            "--num-gpus",
            gpus,
        )
        return self._start(name, *here, mounts=mounts, python=python)

    def _start(
        self,
        name: str,
        *arguments: object,
        mounts: Sequence[Sequence[object]] = (),
        python: Path | str = sys.executable,
    ) -> subprocess.Popen[bytes]:
        node = [
            python,
            "-c",
            RAY.replace("127.0.0.1", self.ip),
            "start",
            "--block",
            "--node-ip-address",
            self.ip,
            *FREE_PORTS,
            *arguments,
        ]
        command = [*map(str, node)]
        if mounts:
            script = [
                *(shlex.join(map(str, mount)) for mount in mounts),
                f"exec {shlex.join(command)}",
            ]
            command = ["unshare", "--mount", "sh", "-ec", "\n".join(script)]
        log = self.folder / name
        with log.open("wb") as out:
            environment = {
                **os.environ,
                **ON_LOOPBACK,
                "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
                "PATH": f"{Path(python).parent}:{os.environ['PATH']}",
            }
            process = subprocess.Popen(
                command,
                stdout=out,
                stderr=out,
                env=environment,
                cwd=self.folder,
                start_new_session=True,
            )
        self._processes.append(process)
        deadline = time.monotonic() + 120
        while "Ray runtime started" not in log.read_text():
            assert process.poll() is None, self._said(log)
            assert time.monotonic() < deadline, self._said(log)
            time.sleep(0.1)
        return process

    def _said(self, log: Path) -> str:
        """What a node printed that does not start, and the end of what its raylet logged."""
        raylets = self.folder.glob("ray/session_*/logs/raylet*.out")
        latest = sorted(raylets, key=lambda file: file.stat().st_mtime)[-1:]
        ends = ["\n".join(file.read_text().splitlines()[-30:]) for file in latest]
        return "\n".join([log.read_text(), *ends])

    def end(self) -> None:
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
