"""What several tests share: the scripts run as a user runs them, and one small real search that many tests look at."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent

Command = Callable[..., subprocess.CompletedProcess[str]]


def start(script: str, *arguments: object, cwd: Path, **options: object) -> subprocess.Popen[str]:
    """Start a script of the project in ``cwd`` with its output piped as text."""
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def run(script: str, *arguments: object, cwd: Path, timeout: float = 400) -> subprocess.CompletedProcess[str]:
    """Run a script of the project in ``cwd`` to its end."""
    process = start(script, *arguments, cwd=cwd)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


SMALL = ("--input-length", 4, "--max-steps", 700, "--confirm", 2)
"""A search of seconds: five digits to a palindrome, seven reports a trial."""


class SmallSearch:
    """One finished small search and what it printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "runs" / "small"
        self.result = run("tune_lstm.py", *SMALL, "--num-samples", 6, "--name", "small", "--gpus-per-trial", 0.5, cwd=folder)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that look at the same search, or at the same judges, run in the same worker of pytest-xdist."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & {"small_search", "small_gan_search"}:
            item.add_marker(pytest.mark.xdist_group("small searches"))
        elif "shared" in fixtures:
            item.add_marker(pytest.mark.xdist_group("judges"))


@pytest.fixture(scope="session", autouse=True)
def one_thread_and_a_cache_of_its_own(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> None:
    """Judges that tests train are kept for the session, and not in the user's own cache.

    Two workers of pytest-xdist have a core each: two threads each would wait for one another.
    """
    common = tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    os.environ.update(XDG_CACHE_HOME=str(common / "cache"), OMP_NUM_THREADS="1")
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small_search(tmp_path_factory: pytest.TempPathFactory) -> SmallSearch:
    return SmallSearch(tmp_path_factory.mktemp("small"))


GAN_STEPS = 504
"""Nine reports of 56 steps, and one sample grid."""


class SmallGANSearch:
    """One finished small GAN search over scikit-learn's digits and what it printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "runs" / "digits"
        self.result = run(
            "tune_gan.py", "--dataset", "digits", "--num-samples", 4, "--max-steps", GAN_STEPS, "--confirm", 1,
            "--final-steps", 60, "--name", "digits", "--no-dashboard", cwd=folder,
        )  # fmt: skip


@pytest.fixture(scope="session")
def small_gan_search(tmp_path_factory: pytest.TempPathFactory) -> SmallGANSearch:
    return SmallGANSearch(tmp_path_factory.mktemp("gan"))
