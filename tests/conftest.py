"""What several tests share: the scripts run as a user runs them, and one small real search that
many tests look at."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from tests.support.postgres import Postgres, find_postgres

ROOT = Path(__file__).parent.parent

Command = Callable[..., subprocess.CompletedProcess[str]]


def environment() -> dict[str, str]:
    """The tests' own, in which no cluster is named."""
    return {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}


def start(
    script: str,
    *arguments: object,
    cwd: Path,
    variables: Mapping[str, str] | None = None,
    **options: object,
) -> subprocess.Popen[str]:
    """Start a script of the project in ``cwd`` with its output piped as text."""
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [sys.executable, str(ROOT / script), *map(str, arguments)],
        cwd=cwd,
        env={**environment(), **(variables or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="surrogateescape",
        **options,
    )


def run(
    script: str, *arguments: object, cwd: Path, timeout: float = 400
) -> subprocess.CompletedProcess[str]:
    """Run a script of the project in ``cwd`` to its end."""
    process = start(script, *arguments, cwd=cwd)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


SMALL = ("--input-length", 4, "--max-steps", 700, "--confirm", 2, "--finalists", 1)
"""A search of seconds: five digits to a palindrome, seven reports a trial."""

GAN_STEPS, FINAL_STEPS = 90, 20
"""Nine reports of 10 steps and a sample grid at the end; two reports of the final training."""


STARTED = {"small_search", "small_gan_search", "real_run", "postgres"}
"""Fixtures that start another program."""


class OneSearch:
    """A finished search and what it printed: made by the worker that asks first, for all of them to
    look at."""

    def __init__(self, folder: Path, name: str, *command: object) -> None:
        self.folder = folder
        self.path = folder / "runs" / name
        folder.mkdir(exist_ok=True)
        printed = folder / "printed.json"
        with FileLock(folder / "lock"):
            if not printed.exists():
                result = run(*map(str, command), "--name", name, cwd=folder)
                printed.write_text(
                    json.dumps([result.returncode, result.stdout, result.stderr]), encoding="utf-8"
                )
        self.result = subprocess.CompletedProcess(
            [*map(str, command)], *json.loads(printed.read_bytes())
        )


class SmallSearch(OneSearch):
    """Of an LSTM."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            folder, "small", "tune_lstm.py", *SMALL, "--num-samples", 6, "--gpus-per-trial", 0.5
        )


class SmallGANSearch(OneSearch):
    """Of a GAN on scikit-learn's digits."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            folder, "digits", "tune_gan.py", "--dataset", "digits", "--num-samples", 4,
            "--max-steps", GAN_STEPS, "--confirm", 1, "--finalists", 1,
            "--final-steps", FINAL_STEPS, "--max-concurrent", 1, "--no-dashboard",
        )  # fmt: skip


def pytest_configure() -> None:
    """Under ``nohup`` children would ignore the signal of a terminal that closes, as this process
    does."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts a search, Ray or a browser as ``ray``, and what trains networks as
    ``training``.

    ``make test-fast`` leaves both out. Tests that look at a search of the session come first, so
    that one worker waits for it while the other goes on.
    """
    for name in ("small_search", "small_gan_search"):
        items.sort(key=lambda item: name not in getattr(item, "fixturenames", ()))
    for item in items:
        if item.path.is_relative_to(ROOT / "tests" / "trainables") or item.path.is_relative_to(
            ROOT / "examples"
        ):
            item.add_marker("training")
        names = vars(getattr(item, "module", None) or item)
        starts = {run, start} & {names.get("run"), names.get("start")} or {
            "ray",
            "sync_playwright",
            "tune_run",
        } & names.keys()
        if starts or STARTED & set(getattr(item, "fixturenames", ())):
            item.add_marker("ray")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two workers for the whole suite, since a third takes longer to start than it saves. A file by
    itself needs none."""
    return 2 if config.args_source == pytest.Config.ArgsSource.TESTPATHS else 0


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all workers of pytest-xdist have in common."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session", autouse=True)
def one_thread_and_a_cache_of_its_own(common: Path) -> None:
    """Judges that tests train are kept for the session, and not in the user's own cache. A
    worker has one thread, and threads that wait leave the core to others."""
    os.environ.update(XDG_CACHE_HOME=str(common / "cache"), OMP_NUM_THREADS="1")
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small_search(common: Path) -> SmallSearch:
    return SmallSearch(common / "small")


@pytest.fixture(scope="session")
def small_gan_search(common: Path) -> SmallGANSearch:
    return SmallGANSearch(common / "gan")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """PostgreSQL, started for the session; skips if it is not installed."""
    programs = find_postgres()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: no postgres in /usr/lib/postgresql or PATH")
    server = Postgres(programs)
    try:
        yield server
    finally:
        server.remove()
