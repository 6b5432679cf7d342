"""What several tests share: the scripts run as a user runs them, and one small real search that many tests look at."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

Command = Callable[..., subprocess.CompletedProcess[str]]


def start(script: str, *arguments: object, cwd: Path, **options: object) -> subprocess.Popen[str]:
    """Start a script of the project in ``cwd`` with its output piped as text."""
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def run(script: str, *arguments: object, cwd: Path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
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


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Judges that tests train are kept for the session, and not in the user's own cache."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


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
