"""What the Ray dashboard's own API says of a search while it runs."""

import functools
import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import start


@functools.cache
def token() -> str:
    """The cluster's token, by the command that the plan names."""
    ray = Path(sys.executable).parent / "ray"
    return subprocess.run(
        [ray, "get-auth-token"], capture_output=True, text=True, check=True
    ).stdout.strip()


def actors(address: str) -> list[dict[str, str]]:
    request = urllib.request.Request(
        f"{address}/logical/actors", headers={"Authorization": f"Bearer {token()}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, dict[str, str]] = json.load(answer)["data"]["actors"]
    return [actor for actor in found.values() if actor["state"] == "ALIVE"]


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The dashboard's address and the run directory of a search that runs during all tests."""
    folder = tmp_path_factory.mktemp("dashboard")
    options = ("--input-length", 5, "--max-steps", 500, "--num-samples", 100, "--name", "seen")
    process = start("tune_lstm.py", *options, cwd=folder)
    assert process.stderr is not None
    for line in process.stderr:
        if match := re.match(r"dashboard  (http://127\.0\.0\.1:\d+)", line):
            yield match[1], folder / "runs" / "seen"
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def expected(run: Path) -> dict[int, str]:
    """Number to name of every trial that is running, from what the search wrote."""
    names = {}
    for file in run.glob("trial_*/trial.json"):
        record = json.loads(file.read_text())
        if record["ended"] is None:
            config = record["config"]
            settings = f"lr={config['lr']:.4g} max_norm={config['max_norm']:.4g}"
            names[record["number"]] = f"trial {record['number']}: {settings} "
    return names


@pytest.mark.slow
def test_running_trials_are_listed_by_number_and_settings_also_on_reused_actors(
    search: tuple[str, Path],
) -> None:
    address, run = search
    seen: dict[str, set[int]] = {}
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline and not any(len(numbers) > 1 for numbers in seen.values()):
        running = expected(run)
        for actor in actors(address):
            assert actor["actorClass"] == "LSTMTrial"
            for number, name in running.items():
                if actor["reprName"].startswith(name):
                    seen.setdefault(actor["actorId"], set()).add(number)
        time.sleep(0.5)
    # One actor had the names of two trials in turn.
    assert any(len(numbers) > 1 for numbers in seen.values()), seen


@pytest.mark.slow
def test_only_holders_of_the_token_are_answered(search: tuple[str, Path]) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(f"{search[0]}/logical/actors", timeout=10)
    assert refusal.value.code in (401, 403)
