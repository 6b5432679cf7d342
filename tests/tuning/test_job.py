"""The search as a job of a real Ray cluster: submitted, stopped, submitted again."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.far_nodes import FarNodes, far_nodes, records
from tests.support.nodes import ON_LOOPBACK

pytestmark = pytest.mark.slow


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FarNodes]:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", ON_LOOPBACK["RAY_AUTH_TOKEN"])
    with far_nodes(tmp_path / "far", "one", "two", takes_jobs=True) as made:
        yield made


class Jobs:
    """The command ``ray job`` for one cluster."""

    def __init__(self, far: FarNodes) -> None:
        self.project, self.address = far.project, f"http://{far.cluster.dashboard}"

    def __call__(self, verb: str, *arguments: object) -> str:
        ray = Path(sys.executable).with_name("ray")
        command = [ray, "job", verb, "--address", self.address, *arguments]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def submit(self, name: str, *command: object) -> None:
        """Submit the project with the command, which Ray runs from a copy of it."""
        environment = json.dumps({"excludes": [".git"]})
        folder = ("--working-dir", self.project, "--runtime-env-json", environment)
        own = (*folder, "--submission-id", name, "--no-wait", "--")
        self("submit", *own, *command)


def wait(until: Callable[[], bool], jobs: Jobs, job: str) -> None:
    deadline = time.monotonic() + 400
    while not until():
        assert time.monotonic() < deadline, jobs("logs", job)
        assert "failed" not in jobs("status", job).lower(), jobs("logs", job)
        time.sleep(3)


def test_a_job_is_stopped_and_the_same_command_goes_on(far: FarNodes, tmp_path: Path) -> None:
    jobs, run = Jobs(far), tmp_path / "runs" / "far"
    command = (
        "python", "tune_lstm.py", "--resume-or-start", "--name", "far", "--storage-path",
        run.parent, "--input-length", 10, "--max-steps", 1200, "--num-samples", 6, "--confirm", 2,
        "--finalists", 1, "--cpus-per-trial", 2,
    )  # fmt: skip
    jobs.submit("first", *command)
    wait(lambda: len([*run.glob("trial_*/checkpoint_*/state.pt")]) >= 1, jobs, "first")
    jobs("stop", "first")
    assert "was stopped" in jobs("status", "first")
    sessions = json.loads((run / "search.json").read_bytes())["sessions"]
    assert sessions[-1]["how"] == "interrupted"
    before = {record["number"]: record for record in records(tmp_path) if record["ended"]}

    jobs.submit("second", *command)
    wait(lambda: "succeeded" in jobs("status", "second"), jobs, "second")
    printed = jobs("logs", "second")
    assert "Traceback" not in printed + jobs("logs", "first")
    assert "fresh seeds" in printed
    after = {record["number"]: record for record in records(tmp_path)}
    assert sorted(after) == [*range(6)]
    assert all(record["ended"] and record["error"] is None for record in after.values())
    assert {number: after[number] for number in before} == before
