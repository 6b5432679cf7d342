"""A search on two nodes that share no folder, with this machine or with one another: its run is on
an S3 server, whose address and keys are in the nodes' environment."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from records.remote import RemoteFolder
from records.run_directory import RunDirectory
from tests.conftest import run
from tests.support.far_nodes import FarNodes, far_nodes
from tests.support.nodes import ON_LOOPBACK
from tests.support.s3 import S3, VARIABLES

pytestmark = pytest.mark.slow

SEARCH = (
    "--storage-path", "s3://bucket/runs", "--name", "far", "--input-length", 4,
    "--max-steps", 300, "--num-samples", 4, "--confirm", 1, "--finalists", 1,
    "--cpus-per-trial", 2,
)  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**VARIABLES, **ON_LOOPBACK}.items():
            patch.setenv(name, value)
        started = S3()
        patch.setenv("AWS_ENDPOINT_URL", started.endpoint)
        yield started
        started.end()


@pytest.fixture(scope="module")
def far(server: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarNodes]:
    """A head with one CPU, and two nodes that do not see the folder "driver"."""
    with far_nodes(tmp_path_factory.mktemp("far"), "one", "two") as made:
        yield made


def test_nodes_share_a_run_through_s3_alone(
    server: S3, far: FarNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = far.project.parent
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    script = os.fspath(far.project / "tune_lstm.py")
    result = run(script, "--address", far.cluster.address, *SEARCH, cwd=here)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    (copy,) = here.glob("cache/*/searches/s3/bucket/runs/far")
    trials = [record for _, record in RunDirectory(copy).trials()]
    assert [record.error for record in trials] == [None] * 4
    assert all(trial.checkpoints() for trial, _ in RunDirectory(copy).trials())
    there = RemoteFolder("s3://bucket/runs/far")
    assert "best/model.safetensors" in there.files()
    assert not {".nodes", ".searching"} & set(there.names())


def test_a_node_that_cannot_reach_the_storage_is_named(
    server: S3, far: FarNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        node = far.join("astray", 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(far.project.parent / "cache"))
    script, again = os.fspath(far.project / "tune_lstm.py"), ("--name", "refused")
    try:
        result = run(script, "--address", far.cluster.address, *SEARCH, *again, cwd=tmp_path)
    finally:
        node.kill()
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "(astray): it cannot read s3://bucket/runs (" in line
    assert "onnect to server" in line
    assert "Where ray start runs, set the variables with its keys and its endpoint" in line
    assert "refused" not in RemoteFolder("s3://bucket/runs").names()  # it leaves no run behind
