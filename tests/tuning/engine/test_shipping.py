"""A search on nodes whose environments have Ray and torch only, and no file of this project."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, run
from tests.support.far_nodes import FarNodes, far_nodes, records
from tests.support.nodes import ON_LOOPBACK

pytestmark = pytest.mark.slow

SMALL = ("--confirm", 1, "--finalists", 1, "--cpus-per-trial", 2)


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarNodes]:
    """A head with one CPU, and two nodes with two."""
    with far_nodes(tmp_path_factory.mktemp("far"), "one", "two") as made:
        yield made


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ON_LOOPBACK.items():
        monkeypatch.setenv(name, value)


def test_nodes_with_ray_and_torch_alone_run_the_trials(far: FarNodes, tmp_path: Path) -> None:
    script = far.project / "tune_lstm.py"
    options = ("--input-length", 4, "--max-steps", 300, "--num-samples", 4)
    result = run(os.fspath(script), *far.on_it(tmp_path), *SMALL, *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert [record["error"] for record in records(tmp_path)] == [None] * 4


def test_the_users_experiment_travels_with_its_folder(far: FarNodes, tmp_path: Path) -> None:
    mine = shutil.copytree(ROOT / "examples/modular_addition", far.project.parent / "mine")
    options = ("--p", 11, "--max-steps", 200, "--num-samples", 3)
    result = run(os.fspath(mine / "tune.py"), *far.on_it(tmp_path), *SMALL, *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert [record["error"] for record in records(tmp_path)] == [None] * 3
