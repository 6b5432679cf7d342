"""A search on real nodes, of which one is killed, one is added and one lacks a package."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import start
from tests.support.far_nodes import FarNodes, records
from tests.support.nodes import ON_LOOPBACK
from tests.support.processes import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def far(tmp_path: Path) -> Iterator[FarNodes]:
    made = FarNodes(tmp_path / "far")
    try:
        yield made
    finally:
        made.cluster.end()


def test_slots_follow_the_nodes_and_every_trial_ends(
    far: FarNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ON_LOOPBACK.items():
        monkeypatch.setenv(name, value)
    first = far.join("first", 2)
    far.join("second", 2)
    process = start(
        os.fspath(far.project / "tune_lstm.py"), *far.on_it(tmp_path),
        "--input-length", 10, "--max-steps", 1500, "--num-samples", 8, "--cpus-per-trial", 2,
        "--confirm", 2, "--finalists", 1, "--scheduler", "none", cwd=tmp_path,
    )  # fmt: skip
    run = tmp_path / "runs" / "far"
    wait_for(lambda: len([*run.glob("trial_*/result.json")]) == 2, process)
    os.killpg(first.pid, signal.SIGKILL)
    far.join("third", 2)
    far.join("bare", 2, packages=("ray", "torch"))
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    assert "Traceback" not in out + err
    ended = records(tmp_path)
    assert len(ended) == 8
    assert all(record["ended"] and record["error"] is None for record in ended)
    assert sorted(folder.name for folder in run.glob("trial_*")) == [
        f"trial_{number:04d}" for number in range(8)
    ]
    print(err)
    assert "node 127.0.0.1 (first) left" in err
    assert "node 127.0.0.1 (third) joined" in err
    assert "trials at once from now on: 2" in err
    assert "no trial is placed on node 127.0.0.1 (bare), which joined: it cannot import" in err
    assert "on each of 2 fresh seeds" in out or "fresh seeds" in out
