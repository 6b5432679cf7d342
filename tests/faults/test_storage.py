"""A disk that fills up under a search: a small file system of its own, filled when the first trial
has ended."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import run, start
from tests.support.mounts import MAY_MOUNT, WHY_NOT
from tests.support.processes import wait_for

SEARCH = (
    "--input-length", 6, "--max-steps", 1500, "--num-samples", 4, "--confirm", 1, "--name", "full",
    "--no-dashboard",
    "--scheduler", "none",
)  # fmt: skip
MB = 1_000_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 150 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not MAY_MOUNT:
        pytest.skip(WHY_NOT)
    command = ["mount", "-t", "tmpfs", "-o", "size=150m", "tmpfs", str(folder)]
    subprocess.run(command, check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def records(folder: Path) -> dict[str, bytes]:
    """What the ended trials have left, without weights."""
    ended = [
        file.parent
        for file in folder.rglob("trial_*/trial.json")
        if json.loads(file.read_text())["ended"]
    ]
    return {str(f.relative_to(folder)): f.read_bytes() for one in ended for f in one.glob("*.json")}


def search_and_fill(folder: Path, patience_s: str) -> tuple[subprocess.Popen[str], Path]:
    """Start a search and fill its disk to the last byte when the first trial has ended."""
    os.environ["TUNE_PATIENCE_S"] = patience_s
    try:
        process = start("tune_lstm.py", *SEARCH, "--storage-path", folder, cwd=folder)
    finally:
        del os.environ["TUNE_PATIENCE_S"]
    wait_for(lambda: bool(records(folder / "full")), process)
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (MB, 4096, 1):
            while True:
                try:
                    file.write(bytes(size))
                except OSError:
                    break
    return process, ballast


@pytest.mark.slow
def test_a_disk_that_has_room_again_in_time_costs_no_trial(small_disk: Path) -> None:
    process, ballast = search_and_fill(small_disk, "200")
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("waiting: "):
            break
    time.sleep(3)
    ballast.unlink()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, (lines, err)
    assert "No space left on device" in lines[-1]
    assert (
        out.splitlines()[0] in ("4 trials: 4 used the whole budget", "4 trials: 4 converged")
        or "error" not in out.splitlines()[0]
    )
    assert "Traceback" not in err


@pytest.mark.slow
def test_one_that_stays_full_ends_the_search_and_it_goes_on_later(small_disk: Path) -> None:
    process, ballast = search_and_fill(small_disk, "3")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "Traceback" not in out + err
    last = err.splitlines()[-1]
    assert "No space left on device" in last
    assert "--resume --name full" in last
    before = records(small_disk / "full")
    assert before
    ballast.unlink()
    result = run(
        "tune_lstm.py",
        "--resume",
        "--name",
        "full",
        "--storage-path",
        small_disk,
        "--no-dashboard",
        cwd=small_disk,
    )
    assert result.returncode == 0, result.stderr
    after = records(small_disk / "full")
    assert {name: after.get(name) for name in before} == before
    assert "error" not in result.stdout.splitlines()[0]
