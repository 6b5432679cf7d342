"""Searches whose runs are at a URI, on a real S3 server on this machine: the machine of a search is
lost, and the storage is out of reach for a while.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from records.heartbeat import FRESH_S
from records.places import below
from records.remote import RemoteFolder
from records.trial_directory import in_order
from tests.conftest import run, start
from tests.support.processes import descendants, kill, wait_for
from tests.support.s3 import S3, VARIABLES, Proxy, s3_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SEARCH = (
    "--input-length", 4, "--max-steps", 800, "--num-samples", 3, "--scheduler", "none",
    "--set", "lr=1e-4..2e-4", "--confirm", 1, "--finalists", 1, "--no-dashboard",
)  # fmt: skip
"""No trial converges, and each saves a checkpoint at step 500."""
CLOCKS = ("timestamp", "time_this_iter_s")

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3_server() as started:
        yield started


def lines(uri: str) -> Rows:
    """Every report of every trial at a URI, in the order in which it was written."""
    there = RemoteFolder(uri)
    files = {path: there.read(path) for path in there.files() if path.endswith("result.json")}
    return {path: [json.loads(line) for line in text.splitlines()] for path, text in files.items()}


def results(rows: Rows) -> Rows:
    """What the trials reported, without the time that it took."""
    return {
        path: [{name: one[name] for name in one if name not in CLOCKS} for one in in_order(reports)]
        for path, reports in rows.items()
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """The results of the same search in a folder of this machine."""
    folder = tmp_path_factory.mktemp("undisturbed")
    result = run("tune_lstm.py", *SEARCH, "--name", "whole", cwd=folder)
    assert result.returncode == 0, result.stderr
    return results(lines(f"file://{folder}/runs/whole"))


def on_machine(folder: Path) -> Mapping[str, str]:
    """The environment of a user of another machine, which has a cache of its own."""
    folder.mkdir(exist_ok=True)
    return {"XDG_CACHE_HOME": str(folder / "cache"), "TUNE_PATIENCE_S": "120"}


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=900)
    assert "Traceback" not in out + err
    return process.returncode, out, err


def saved(uri: str) -> list[str]:
    """The folders of trials that have not ended, with a checkpoint and the reports up to it."""
    there = RemoteFolder(uri)
    trials = {path.split("/")[0] for path in there.files() if path.endswith("state.pt")}
    return [
        one
        for one in trials
        if b'"ended": null' in there.read(f"{one}/trial.json")
        and b'"step": 500' in there.read(f"{one}/result.json")
    ]


def test_a_search_goes_on_on_another_machine(server: S3, undisturbed: Rows, tmp_path: Path) -> None:
    runs = server.uri("lost")
    place, one, two = below(runs, "lost"), tmp_path / "one", tmp_path / "two"
    variables = on_machine(one)
    process = start(
        "tune_lstm.py", *SEARCH, "--storage-path", runs, "--name", "lost", cwd=one,
        variables=variables,
    )  # fmt: skip
    wait_for(lambda: "search.json" in RemoteFolder(place).names(), process, within=600)
    resume = ("--resume", "--storage-path", runs)
    second = start("tune_lstm.py", *resume, cwd=tmp_path, variables=on_machine(two))
    wait_for(lambda: bool(saved(place)), process, within=600, every=0.5)
    kill({process.pid, *descendants(process.pid)})
    process.communicate()
    shutil.rmtree(one)
    before, had = lines(place), saved(place)
    status, _, err = ended(second)
    assert status == 2
    assert "tune_lstm.py: error: run lost is being searched on " in err
    assert err.count("\n") == 1
    time.sleep(FRESH_S)
    status, out, err = ended(start("tune_lstm.py", *resume, cwd=two, variables=on_machine(two)))
    assert status == 0, err
    after = lines(place)
    assert results(after) == undisturbed
    assert {path: after[path][: len(rows)] for path, rows in before.items()} == before
    assert had
    for trial in had:  # it went on from its checkpoint
        assert [row["step"] for row in after[f"{trial}/result.json"]].count(100) == 1
    check_answer(out, place)
    check_report(place, tmp_path / "three")


def check_answer(out: str, uri: str) -> None:
    """The last lines name the URI, so that they can be pasted; the winner's files are there."""
    there = RemoteFolder(uri)
    assert out.splitlines()[-2] == f"run        {uri}"
    assert out.splitlines()[-1].endswith(f" '{uri}'")
    assert {"config.json", "model.safetensors"} <= set(there.names("best"))
    assert ".searching" not in there.names()
    search = json.loads(there.read("search.json"))
    assert [session["how"] for session in search["sessions"]] == ["running", "finished"]
    assert VARIABLES["AWS_SECRET_ACCESS_KEY"] not in json.dumps(search)
    left = [path for path in there.files() if path.rpartition("/")[2].startswith(("tuner", "exp"))]
    assert left == []


def check_report(uri: str, folder: Path) -> None:
    """A report is built from the URI alone, and its commands go on with the URI."""
    variables = on_machine(folder)
    site = folder / "site"
    built = ended(start("reports/build.py", uri, "--output", site, cwd=folder, variables=variables))
    assert built[0] == 0, built[2]
    page = (site / "lost" / "index.html").read_text()
    assert "endpoint_override=127.0.0.1" in page
    assert str(folder) not in page


def test_a_storage_that_is_out_of_reach_for_a_while_is_waited_for(
    server: S3, undisturbed: Rows, tmp_path: Path
) -> None:
    proxy = Proxy(server.address)
    runs, here = server.uri("outage", proxy.address), tmp_path / "here"
    process = start(
        "tune_lstm.py", *SEARCH, "--storage-path", runs, "--name", "cut", cwd=tmp_path,
        variables=on_machine(here),
    )  # fmt: skip
    place = below(server.uri("outage"), "cut")
    wait_for(lambda: any(len(rows) > 2 for rows in lines(place).values()), process, within=600)
    proxy.cut()
    time.sleep(20)
    proxy.mend()
    status, _, err = ended(process)
    assert status == 0, err
    assert f"waiting: the storage {below(runs, 'cut')} failed (network connection: " in err
    assert "works again after" in err
    assert results(lines(place)) == undisturbed


def test_ctrl_c_leaves_all_that_was_recorded_at_the_uri(server: S3, tmp_path: Path) -> None:
    runs, place = server.uri("stopped"), below(server.uri("stopped"), "stopped")
    process = start(
        "tune_lstm.py", *SEARCH, "--storage-path", runs, "--name", "stopped", cwd=tmp_path,
        variables=on_machine(tmp_path / "here"),
    )  # fmt: skip
    wait_for(lambda: any(lines(place).values()), process, within=600)
    os.kill(process.pid, signal.SIGINT)
    began = time.monotonic()
    status, out, _ = ended(process)
    assert status == 130
    assert time.monotonic() - began < 15
    assert f"--resume --name stopped --storage-path '{runs}'" in out
    there = RemoteFolder(place)
    assert json.loads(there.read("search.json"))["sessions"][0]["how"] == "interrupted"
    assert ".searching" not in there.names()
    (copy,) = (tmp_path / "here").glob("cache/*/searches/s3/*/stopped/stopped")
    rows = {
        f"{file.parent.name}/result.json": file.read_bytes()
        for file in copy.glob("trial_*/result.json")
    }
    assert {path: there.read(path) for path in rows} == rows
