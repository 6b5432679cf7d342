"""The example's whole life: training, and a search killed, resumed, confirmed and reported."""

import json
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.conftest import run, start

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from trainable import ModularAdditionTrial  # noqa: E402

GOOD = {"lr": 0.01, "weight_decay": 1.0, "beta1": 0.9, "beta2": 0.98}
CONFIG = {**GOOD, "p": 11, "train_fraction": 0.6, "report_every": 50, "max_steps": 1000, "seed": 1}
SMALL = "--p 11 --max-steps 400 --num-samples 3 --confirm 2 --no-dashboard --name sums"
SHOWN = ("modular addition", "Learning curves", "Fresh seeds", "weight_decay", "EDGE01")


def test_it_learns_sums_that_it_has_not_seen_and_resumes_exactly(tmp_path: Path) -> None:
    whole, begun = ModularAdditionTrial(CONFIG), ModularAdditionTrial(CONFIG)
    begun.step(), begun.step()
    begun.save_checkpoint(str(tmp_path))
    resumed = ModularAdditionTrial({**CONFIG, "restore_from": [str(tmp_path)]})
    for trial in (whole, resumed):
        while trial.step_number < 200:
            trial.step()
    assert resumed.last_row == whole.last_row
    for name, weights in whole.model.state_dict().items():
        assert torch.equal(weights, resumed.model.state_dict()[name])
    while not whole.step()["done"]:
        pass
    assert whole.last_row["test_accuracy"] > 0.9


@pytest.mark.parametrize("place", ["here", pytest.param("outside", marks=pytest.mark.slow)])
def test_its_search_is_killed_resumed_confirmed_and_reported(place: str, tmp_path: Path) -> None:
    folder = HERE if place == "here" else shutil.copytree(HERE, tmp_path / "mine")
    process = start(str(folder / "tune.py"), *SMALL.split(), "--max-concurrent", 1, cwd=tmp_path)
    sums, deadline = tmp_path / "runs" / "sums", time.monotonic() + 60
    while not (sums / "trial_0000" / "result.json").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    command = shlex.split(out.partition("go on with: ")[2])
    result = run(str(tmp_path / command[1]), *command[2:], cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (sums / "best" / "model.safetensors").exists()
    confirmation = json.loads((sums / "best" / "confirmation.json").read_text())
    assert len(confirmation["candidates"][0]["confirmed"]) == 2
    report = run("reports/build.py", cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    page = (tmp_path / "reports" / "site" / "sums" / "index.html").read_text()
    assert [words for words in (*SHOWN, 'src="slices.png"') if words not in page] == []
