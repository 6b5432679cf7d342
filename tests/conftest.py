"""What several tests share: the scripts run as a user runs them, and one small real search that many tests look at."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import torch
from filelock import FileLock

ROOT = Path(__file__).parent.parent

Command = Callable[..., subprocess.CompletedProcess[str]]


def environment() -> dict[str, str]:
    """The tests' own, in which no cluster is named."""
    return {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}


def start(
    script: str, *arguments: object, cwd: Path, variables: Mapping[str, str] | None = None, **options: object
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

GAN_STEPS = 504
"""Nine reports of 56 steps, and one sample grid."""


class OneSearch:
    """A finished search and what it printed: made by the worker that asks first, for all of them to look at."""

    def __init__(self, folder: Path, name: str, *command: object) -> None:
        self.folder = folder
        self.path = folder / "runs" / name
        folder.mkdir(exist_ok=True)
        printed = folder / "printed.json"
        with FileLock(folder / "lock"):
            if not printed.exists():
                result = run(*map(str, command), "--name", name, cwd=folder)
                printed.write_text(json.dumps([result.returncode, result.stdout, result.stderr]), encoding="utf-8")
        self.result = subprocess.CompletedProcess([*map(str, command)], *json.loads(printed.read_bytes()))


class SmallSearch(OneSearch):
    """Of an LSTM."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "small", "tune_lstm.py", *SMALL, "--num-samples", 6, "--gpus-per-trial", 0.5)


class SmallGANSearch(OneSearch):
    """Of a GAN on scikit-learn's digits."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            folder, "digits", "tune_gan.py", "--dataset", "digits", "--num-samples", 4, "--max-steps", GAN_STEPS,
            "--confirm", 1, "--final-steps", 60, "--no-dashboard",
        )  # fmt: skip


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two workers for the whole suite, since a search does not keep two cores busy; a file by itself needs none."""
    return 2 if config.args_source == pytest.Config.ArgsSource.TESTPATHS else 0


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all workers of pytest-xdist have in common."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session", autouse=True)
def one_thread_and_a_cache_of_its_own(common: Path) -> None:
    """Judges that tests train are kept for the session, and not in the user's own cache. Two workers have a core each."""
    os.environ.update(XDG_CACHE_HOME=str(common / "cache"), OMP_NUM_THREADS="1")
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small_search(common: Path) -> SmallSearch:
    return SmallSearch(common / "small")


@pytest.fixture(scope="session")
def small_gan_search(common: Path) -> SmallGANSearch:
    return SmallGANSearch(common / "gan")


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server on this machine's loopback that asks the user ``tester`` for a password."""

    port: int
    password: str

    def url(self, password: str) -> str:
        """Its URL with ``password`` as it is to stand there."""
        return f"postgresql://tester:{password}@127.0.0.1:{self.port}/postgres"

    def query(self, statement: str) -> list[Any]:
        """The rows that a statement returns."""
        place = {"host": "127.0.0.1", "port": self.port, "dbname": "postgres"}
        with psycopg.connect(user="tester", password=self.password, **place) as connection:  # type: ignore[arg-type]
            return connection.execute(statement.encode()).fetchall()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """PostgreSQL from Debian's packages or from PATH, started for the session; skips if it is not installed."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    found = str(installed[-1]) if installed else shutil.which("postgres")
    if found is None:
        pytest.skip("PostgreSQL is not installed: no postgres in /usr/lib/postgresql or PATH")
    user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    password = "pä@s:s/w#r d%41"
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        (folder / "password").write_text(password, encoding="utf-8")
        if user:
            shutil.chown(folder, user)
            shutil.chown(folder / "password", user)
        create: list[str | Path] = [
            "-D",
            folder / "data",
            "-U",
            "tester",
            f"--pwfile={folder / 'password'}",
            "-A",
            "scram-sha-256",
        ]
        create += ["--no-sync", "--encoding=UTF8", "--locale=C"]
        subprocess.run([Path(found).parent / "initdb", *create], user=user, cwd=folder, stdout=subprocess.DEVNULL, check=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options: list[str | Path] = [
            "-D",
            folder / "data",
            "-p",
            str(port),
            "-k",
            folder,
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "fsync=off",
        ]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen([found, *options], user=user, cwd=folder, stdout=log, stderr=log)
        try:
            ready: list[str | Path] = [Path(found).parent / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
            while subprocess.run(ready, check=False).returncode and server.poll() is None:
                pass
            assert server.poll() is None, (folder / "log").read_text(encoding="utf-8")
            yield Postgres(port, password)
        finally:
            server.terminate()
            server.wait(timeout=30)
    finally:
        shutil.rmtree(folder)
