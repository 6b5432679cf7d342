"""docs/watching.md: its commands for optuna-dashboard show a search that runs, and do not disturb
it."""

import json
import os
import shlex
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from records.outcome import outcome_of
from records.run_directory import RunDirectory
from tests.conftest import SMALL, start
from tests.support.postgres import Postgres
from tests.support.processes import wait_for
from tests.test_docs import commands

SEARCH = (*SMALL[:4], "--num-samples", 8, "--confirm", 0, "--no-dashboard", "--name", "seen")

STATES = {"complete": "Complete", "stopped": "Pruned", "failed": "Fail"}


@contextmanager
def dashboard(url: str, folder: Path, **variables: str) -> Iterator[str]:
    """optuna-dashboard itself on a database; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    program = Path(sys.executable).parent / "optuna-dashboard"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "--port", port, url],
            cwd=folder,
            env={**os.environ, **variables},
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def ask(address: str, question: str, method: str = "GET") -> Any:
    """What the dashboard's JSON API answers; None while it starts."""
    try:
        request = urllib.request.Request(f"{address}/api/{question}", method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError:
        raise
    except urllib.error.URLError:
        return None


def study_commands() -> list[str]:
    """The URLs of the page: a run's own database, and one in PostgreSQL."""
    words = [shlex.split(one) for one in commands("docs/watching.md")]
    return [line[-1] for line in words if line[0] == "optuna-dashboard"]


def watched(search: "subprocess.Popen[str]", address: str, run: RunDirectory) -> None:
    """Read in three threads while the search runs, then compare."""
    wait_for(lambda: bool(ask(address, "studies")), search)
    (summary,) = ask(address, "studies")["study_summaries"]
    assert summary["study_name"] == "seen"
    question, running = f"studies/{summary['study_id']}?after=0", set[int]()

    def read() -> None:
        while search.poll() is None:
            trials = ask(address, question)["trials"]
            running.update(one["number"] for one in trials if one["state"] == "Running")
            time.sleep(0.1)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    out, err = search.communicate(timeout=300)
    for reader in readers:
        reader.join()
    assert search.returncode == 0, err
    assert "8 trials: " in out
    assert "waiting" not in err
    assert len(running) >= 4

    with pytest.raises(urllib.error.HTTPError):
        ask(address, f"studies/{summary['study_id']}", method="DELETE")
    time.sleep(3)  # it keeps what it has read for two seconds
    found = {
        one["number"]: (
            one["state"],
            {param["name"]: float(param["param_external_value"]) for param in one["params"]},
        )
        for one in ask(address, question)["trials"]
    }
    assert found == {
        record.number: (
            STATES[outcome_of(record.ended).kind],
            {name: record.config[name] for name in ("lr", "max_norm")},
        )
        for _, record in run.trials()
    }


@pytest.mark.slow
def test_optuna_dashboard_reads_a_running_search_and_cannot_harm_it(tmp_path: Path) -> None:
    search, run = start("tune_lstm.py", *SEARCH, cwd=tmp_path), tmp_path / "runs/seen"
    wait_for(lambda: (run / "trial_0000").exists(), search)
    own, _ = study_commands()
    with dashboard(own.replace("NAME", "seen"), tmp_path) as address:
        watched(search, address, RunDirectory(run))


@pytest.mark.slow
def test_optuna_dashboard_reads_a_study_in_postgresql(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.url(urllib.parse.quote(postgres.password, safe=""))
    search = start("tune_lstm.py", *SEARCH, cwd=tmp_path, variables={"TUNE_OPTUNA_STORAGE": url})
    run = tmp_path / "runs/seen"
    wait_for(lambda: (run / "trial_0000").exists(), search)
    _, in_postgres = study_commands()
    server = postgres.url("").partition("@")[2]
    place = in_postgres.replace("user@host/db", f"tester@{server}")
    with dashboard(place, tmp_path, PGPASSWORD=postgres.password) as address:
        watched(search, address, RunDirectory(run))
