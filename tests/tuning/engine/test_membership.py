"""A search on real nodes, of which one is killed, one is added and one lacks a package."""

import os
import re
import signal
from pathlib import Path
from urllib.parse import quote

import optuna
import pytest

from records.remote import RemoteFolder
from records.run_directory import RunDirectory
from tests.conftest import start
from tests.support.far_nodes import far_nodes
from tests.support.nodes import ON_LOOPBACK
from tests.support.postgres import Postgres
from tests.support.processes import wait_for
from tests.support.s3 import s3_server

pytestmark = pytest.mark.slow

SMALL = (
    "--input-length", 10, "--max-steps", 1500, "--num-samples", 8, "--cpus-per-trial", 2,
    "--confirm", 2, "--finalists", 1, "--scheduler", "none", "--name", "far",
)  # fmt: skip


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ON_LOOPBACK.items():
        monkeypatch.setenv(name, value)


def search(run: Path, folder: Path, *options: object) -> str:
    """Search on two nodes, of which one is killed while two others join; returns what was said."""
    with far_nodes(folder / "far", "second") as far:
        first = far.join("first", 2)
        where = ("--address", far.cluster.address, *options)
        process = start(os.fspath(far.project / "tune_lstm.py"), *SMALL, *where, cwd=folder)
        wait_for(lambda: len([*run.glob("trial_*/result.json")]) == 2, process)
        os.killpg(first.pid, signal.SIGKILL)
        far.join("third", 2)
        far.join("bare", 2, packages=("ray", "torch"))
        out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    assert "Traceback" not in out + err
    assert "fresh seeds" in out
    return err


def check_trials(run: Path) -> None:
    """Every trial that was asked for has ended well, in one folder."""
    trials = [record for _, record in RunDirectory(run).trials()]
    assert [record.number for record in trials] == [*range(8)]
    assert all(record.ended and record.error is None for record in trials)
    assert len([*run.glob("trial_*")]) == 8


def test_slots_follow_the_nodes_and_every_trial_ends(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "far"
    said = search(run, tmp_path, "--storage-path", run.parent)
    check_trials(run)
    assert "node 127.0.0.1 (first) left" in said
    assert "node 127.0.0.1 (third) joined" in said
    assert "trials at once from now on: 2" in said
    refused = "no trial is placed on node 127.0.0.1 (bare), which joined: it cannot import ray.tune"
    assert refused in said, said
    # One trial may have been on its way there.
    assert said.partition(refused)[2].count("worker lost") <= 1, said


def test_the_same_with_the_run_on_s3_and_the_study_in_postgresql(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.url(quote(postgres.password, safe=""))
    monkeypatch.setenv("TUNE_OPTUNA_STORAGE", url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run = tmp_path / "cache/ray-tune-optuna-search/searches/s3/bucket/runs/far"
    with s3_server() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        search(run, tmp_path, "--storage-path", "s3://bucket/runs")
        check_trials(run)
        there = RemoteFolder("s3://bucket/runs/far").files()
        assert "best/model.safetensors" in there
        assert len([name for name in there if re.fullmatch(r"trial_\d+/trial.json", name)]) == 8
    states = [trial.state.name for trial in optuna.load_study(study_name="far", storage=url).trials]
    assert states == ["COMPLETE"] * 8
