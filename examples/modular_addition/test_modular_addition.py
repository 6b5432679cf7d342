"""The example from end to end: it resumes exactly, it learns, and its search is killed, resumed, confirmed and reported."""

import json
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import run, start

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from trainable import ModularAdditionTrial  # noqa: E402

GOOD = {
    "p": 11,
    "train_fraction": 0.6,
    "lr": 0.01,
    "weight_decay": 1.0,
    "beta1": 0.9,
    "beta2": 0.98,
    "report_every": 50,
}


def trained(steps: int, **config: Any) -> ModularAdditionTrial:
    trial = ModularAdditionTrial({**GOOD, "seed": 1, "max_steps": 1000, **config})
    while trial.step_number < steps and not trial.step()["done"]:
        pass
    return trial


def test_it_learns_sums_that_it_has_not_seen() -> None:
    assert trained(1000).last_row["test_accuracy"] > 0.9


def test_a_trial_that_goes_on_is_as_one_that_never_stopped(tmp_path: Path) -> None:
    whole, begun = trained(200), trained(100)
    begun.save_checkpoint(str(tmp_path))
    resumed = ModularAdditionTrial(
        {**GOOD, "seed": 1, "max_steps": 1000, "restore_from": [str(tmp_path)]}
    )
    while resumed.step_number < 200:
        resumed.step()
    assert resumed.last_row == whole.last_row
    for name, weights in whole.model.state_dict().items():
        assert torch.equal(weights, resumed.model.state_dict()[name])


@pytest.mark.parametrize("place", ["here", pytest.param("outside", marks=pytest.mark.slow)])
def test_its_search_is_killed_resumed_confirmed_and_reported(place: str, tmp_path: Path) -> None:
    script = HERE / "tune.py"
    if place == "outside":
        script = Path(shutil.copytree(HERE, tmp_path / "mine")) / "tune.py"
    small = (
        "--p",
        11,
        "--max-steps",
        400,
        "--num-samples",
        4,
        "--confirm",
        2,
        "--no-dashboard",
        "--name",
        "sums",
    )
    process = start(str(script), *small, cwd=tmp_path)
    first = tmp_path / "runs" / "sums" / "trial_0000" / "result.json"
    deadline = time.monotonic() + 60
    while not first.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    command = shlex.split(out.partition("go on with: ")[2])
    result = run(str(tmp_path / command[1]), *command[2:], cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    best = tmp_path / "runs" / "sums" / "best"
    assert (best / "model.safetensors").exists()
    assert (
        len(json.loads((best / "confirmation.json").read_text())["candidates"][0]["confirmed"]) == 2
    )
    report = run("reports/build.py", cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    page = (tmp_path / "reports" / "site" / "sums" / "index.html").read_text()
    for words in (
        "modular addition",
        "Learning curves",
        "Fresh seeds",
        "weight_decay",
        'src="slices.png"',
        "EDGE01",
    ):
        assert words in page
