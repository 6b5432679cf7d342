"""A search on nodes whose environments have Ray and torch only, and no file of this project."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, run
from tests.support.environments import NODE, environment
from tests.support.nodes import ON_LOOPBACK, Cluster

pytestmark = pytest.mark.slow

SMALL = ("--confirm", 1, "--finalists", 1, "--cpus-per-trial", 2)


class Place:
    """A cluster, and a copy of this project in a folder that its nodes do not see."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "driver" / "project"
        listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        files = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
        for name in files.stdout.splitlines():
            (self.project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, self.project / name)
        (folder / "nothing").mkdir()
        self.hidden = {folder / "driver": folder / "nothing"}
        self.cluster = Cluster()
        self.cluster.start()

    def join(self, name: str, cpus: int, python: Path) -> None:
        self.cluster.join(name, cpus, hidden=self.hidden, python=python)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A head with one CPU, and two nodes that have Ray and torch."""
    made = Place(tmp_path_factory.mktemp("place"))
    try:
        for name in ("one", "two"):
            made.join(name, 2, environment(tmp_path_factory.mktemp(name), *NODE))
        yield made
    finally:
        made.cluster.end()


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ON_LOOPBACK.items():
        monkeypatch.setenv(name, value)


def search(place: Place, script: Path, folder: Path, *options: object) -> list[dict[str, object]]:
    """Run a search on the cluster; returns the records of its trials."""
    storage = ("--storage-path", folder / "runs", "--name", "far")
    address = ("--address", place.cluster.address)
    result = run(os.fspath(script), *address, *SMALL, *storage, *options, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    return [
        json.loads(file.read_bytes()) for file in (folder / "runs/far").glob("trial_*/trial.json")
    ]


def test_nodes_with_ray_and_torch_alone_run_the_trials(place: Place, tmp_path: Path) -> None:
    script = place.project / "tune_lstm.py"
    options = ("--input-length", 4, "--max-steps", 300, "--num-samples", 4)
    records = search(place, script, tmp_path, *options)
    assert [record["error"] for record in records] == [None] * 4


def test_the_users_experiment_travels_with_its_folder(place: Place, tmp_path: Path) -> None:
    mine = shutil.copytree(ROOT / "examples/modular_addition", place.project.parent / "mine")
    options = ("--p", 11, "--max-steps", 200, "--num-samples", 3)
    records = search(place, mine / "tune.py", tmp_path, *options)
    assert [record["error"] for record in records] == [None] * 3
