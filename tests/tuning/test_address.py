"""A search on a Ray cluster that runs already, reached by --address."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import run

RAY = str(Path(sys.executable).parent / "ray")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A cluster of one node on this machine, two CPUs and no GPU."""
    port, environment = "26379", {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    head = ["start", "--head", "--port", port, "--num-cpus", "2", "--num-gpus", "0", "--include-dashboard", "false"]
    subprocess.run([RAY, *head], check=True, capture_output=True, env=environment)
    yield f"127.0.0.1:{port}"
    subprocess.run([RAY, "stop", "--force"], check=True, capture_output=True)


def test_searches_there_and_refuses_what_no_node_can_meet(address: str, tmp_path: Path) -> None:
    small = ("--address", address, "--input-length", 3, "--max-steps", 200, "--num-samples", 4, "--confirm", 0)
    result = run("tune_lstm.py", *small, "--name", "there", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"2 at once on 1 node at {address}" in result.stderr
    assert result.stdout.splitlines()[0].startswith("4 trials: ")
    ended = [json.loads(file.read_text())["ended"] for file in tmp_path.glob("runs/there/trial_*/trial.json")]
    assert ended == ["budget"] * 4

    for wish, words in ((("--gpus-per-trial", 0.5), "1 CPU and 0.5 GPU"), (("--cpus-per-trial", 3), "3 CPU")):
        refused = run("tune_lstm.py", *small, *wish, "--name", "never", cwd=tmp_path)
        assert refused.returncode == 2
        (line,) = refused.stderr.splitlines()
        assert line.endswith(f"no node of the cluster can run a trial that needs {words}")
        assert not (tmp_path / "runs" / "never").exists()
