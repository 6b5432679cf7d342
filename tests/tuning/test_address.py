"""A search on a Ray cluster that runs already, reached by --address."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import run

RAY = str(Path(sys.executable).parent / "ray")


@pytest.fixture
def address() -> Iterator[str]:
    """A cluster of one node on this machine, two CPUs and no GPU."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    node_of_two = "--num-cpus 2 --num-gpus 0 --include-dashboard false"
    head = f"start --head --block --port {port} {node_of_two}".split()
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    node = subprocess.Popen(
        [RAY, *head], stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    assert node.stdout is not None
    assert any("Ray runtime started" in line for line in node.stdout)
    yield f"127.0.0.1:{port}"
    os.killpg(node.pid, signal.SIGKILL)  # this cluster alone: `ray stop` would end every other Ray
    node.communicate(timeout=60)


SMALL = ["--input-length", "3", "--max-steps", "100", "--num-samples", "2", "--confirm", "0"]


def refusal(address: str, folder: Path, *wish: object) -> str:
    """The one line with which a search is refused, before it leaves anything."""
    small = ("--address", address, *SMALL, "--name", "never")
    refused = run("tune_lstm.py", *small, *wish, cwd=folder)
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert not (folder / "runs" / "never").exists()
    return line


@pytest.mark.slow
def test_searches_there(address: str, tmp_path: Path) -> None:
    result = run("tune_lstm.py", "--address", address, *SMALL, "--name", "there", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"2 at once on 1 node at {address}" in result.stderr
    assert "whoever reaches its ports can run code on it (CVE-2023-48022)" in result.stderr
    assert result.stdout.splitlines()[0].startswith("2 trials: ")
    records = [
        json.loads(file.read_text()) for file in tmp_path.glob("runs/there/trial_*/trial.json")
    ]
    assert [record["ended"] for record in records] == ["budget"] * 2


@pytest.mark.slow
def test_refuses_more_than_any_node_has(address: str, tmp_path: Path) -> None:
    line = refusal(address, tmp_path, "--cpus-per-trial", 3)
    assert line.endswith("no node of the cluster can run a trial that needs 3 CPU")
    line = refusal(address, tmp_path, "--gpus-per-trial", 0.5)
    assert line.endswith("no node of the cluster can run a trial that needs 1 CPU and 0.5 GPU")
