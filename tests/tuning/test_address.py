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


def test_searches_there_and_refuses_what_no_node_can_meet(address: str, tmp_path: Path) -> None:
    small = (
        f"--address {address} --input-length 3 --max-steps 200 --num-samples 4 --confirm 0".split()
    )
    result = run("tune_lstm.py", *small, "--name", "there", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"2 at once on 1 node at {address}" in result.stderr
    assert result.stdout.splitlines()[0].startswith("4 trials: ")
    ended = [
        json.loads(file.read_text())["ended"]
        for file in tmp_path.glob("runs/there/trial_*/trial.json")
    ]
    assert ended == ["budget"] * 4

    for wish, words in (
        (("--gpus-per-trial", 0.5), "1 CPU and 0.5 GPU"),
        (("--cpus-per-trial", 3), "3 CPU"),
    ):
        refused = run("tune_lstm.py", *small, *wish, "--name", "never", cwd=tmp_path)
        assert refused.returncode == 2
        (line,) = refused.stderr.splitlines()
        assert line.endswith(f"no node of the cluster can run a trial that needs {words}")
        assert not (tmp_path / "runs" / "never").exists()
