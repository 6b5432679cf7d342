"""Workers that die, and workers that Ray's memory monitor kills: the trial goes on, in its own
folder, with its own weights."""

import functools
import json
import shlex
from pathlib import Path

import pytest

from records.checkpoint import read_identity
from records.run_directory import RunDirectory
from tests.conftest import run, start
from tests.support.processes import kill, named, wait_for

SEARCH = (
    "--input-length", 6, "--max-steps", 2000, "--num-samples", 2, "--confirm", 0, "--name", "lost",
    "--no-dashboard",
    "--max-concurrent", 1, "--scheduler", "none",
)  # fmt: skip


def reports(folder: Path) -> int:
    file = folder / "result.json"
    return len(file.read_text().splitlines()) if file.exists() else 0


def has_reports(folder: Path, count: int) -> bool:
    return reports(folder) >= count


@pytest.mark.slow
def test_a_trial_that_loses_two_workers_is_as_one_that_lost_none(tmp_path: Path) -> None:
    process = start("tune_lstm.py", *SEARCH, cwd=tmp_path)
    trial = tmp_path / "runs/lost/trial_0000"
    for count in (7, 13):
        wait_for(functools.partial(has_reports, trial, count), process, every=0.02)
        kill(named(process.pid, "ray::LSTMTrial"))
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert err.count("worker lost") == 2
    undisturbed = run("tune_lstm.py", *SEARCH[:-7], "--name", "whole", *SEARCH[-5:], cwd=tmp_path)
    assert undisturbed.returncode == 0, undisturbed.stderr
    assert out.replace("lost", "whole") == undisturbed.stdout
    lost, whole = RunDirectory(tmp_path / "runs/lost"), RunDirectory(tmp_path / "runs/whole")
    assert [path.name for path in sorted(lost.path.glob("trial_*"))] == ["trial_0000", "trial_0001"]
    for number in (0, 1):
        one, other = (
            [
                {name: value for name, value in row.items() if not name.startswith("time")}
                for row in run.trial(number).rows()
            ]
            for run in (lost, whole)
        )
        assert one == other
    assert (lost.path / "best/model.safetensors").read_bytes() == (
        whole.path / "best/model.safetensors"
    ).read_bytes()
    saved = read_identity(lost.path / "best")
    assert saved is not None
    assert int(saved["step"]) == json.loads((lost.path / "best/metrics.json").read_text())["step"]
    assert not (trial / "error.txt").exists()


@pytest.mark.slow
def test_out_of_memory_is_retried_with_less_at_once_and_then_a_failure_with_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.01")  # of all memory: less than is in use
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "200")
    search = shlex.split(
        "--input-length 6 --max-steps 1500 --num-samples 3 --confirm 0 --name oom --no-dashboard"
    )
    result = run("tune_lstm.py", *search, cwd=tmp_path)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    lines = result.stderr.splitlines()
    assert sum("out of memory   it goes on in another worker" in line for line in lines) >= 3
    assert "out of memory: Ray's memory monitor killed its worker" in lines[-1]
    assert "--resume --name oom" in lines[-1]
    record = RunDirectory(tmp_path / "runs/oom").trial(0).read()
    assert record is not None
    assert (record.ended, record.error) == (
        "error",
        "out of memory: Ray's memory monitor killed its worker",
    )
