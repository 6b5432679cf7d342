"""A cluster whose nodes have Ray and torch only, and do not see the project that searches on it."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ray._private import services

from tests.conftest import ROOT
from tests.support.environments import NODE, environment
from tests.support.nodes import Cluster


class FarNodes:
    """A cluster, and a copy of this project in a folder that its nodes do not see."""

    def __init__(self, folder: Path, takes_jobs: bool = False) -> None:
        self.folder = folder
        self.project = folder / "driver" / "project"
        listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        files = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
        for name in files.stdout.splitlines():
            (self.project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, self.project / name)
        (folder / "nothing").mkdir()
        self.hidden = {folder / "driver": folder / "nothing"}
        self.cluster = Cluster(services.get_node_ip_address()) if takes_jobs else Cluster()
        self.cluster.start(dashboard=takes_jobs)

    def join(self, name: str, cpus: int, packages: Sequence[str] = NODE) -> subprocess.Popen[bytes]:
        """Start a node in an environment of its own."""
        python = environment(self.folder / name, *packages)
        return self.cluster.join(name, cpus, hidden=self.hidden, python=python)

    def on_it(self, folder: Path) -> tuple[object, ...]:
        """The options of a search on this cluster, with its run in ``folder``."""
        return (
            "--address",
            self.cluster.address,
            "--storage-path",
            folder / "runs",
            "--name",
            "far",
        )


@contextlib.contextmanager
def far_nodes(folder: Path, *names: str, takes_jobs: bool = False) -> Iterator[FarNodes]:
    """The cluster with nodes of these names, of two CPUs each, until the body ends."""
    made = FarNodes(folder, takes_jobs)
    try:
        for name in names:
            made.join(name, 2)
        yield made
    finally:
        made.cluster.end()


def records(folder: Path) -> list[dict[str, Any]]:
    """The records of the trials of the search in ``folder``."""
    return [
        json.loads(file.read_bytes()) for file in sorted(folder.glob("runs/far/trial_*/trial.json"))
    ]
