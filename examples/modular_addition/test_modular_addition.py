"""The example's whole life: training, and a search killed, resumed, confirmed and reported."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from command_line import UsageError
from tests.conftest import run, start
from tests.support.processes import wait_for

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from trainable import ModularAdditionTrial  # noqa: E402
from tune import AdditionOptions  # noqa: E402

GOOD = {"lr": 0.01, "weight_decay": 1.0, "beta1": 0.9, "beta2": 0.98}
CONFIG = {**GOOD, "p": 13, "train_fraction": 0.7, "report_every": 50, "max_steps": 1000, "seed": 3}
SMALL = "--p 11 --max-steps 200 --num-samples 3 --confirm 2 --no-dashboard --name sums"
SHOWN = ("modular addition", "Learning curves", "Fresh seeds", "weight_decay", "EDGE02")


def test_it_learns_sums_that_it_has_not_seen_and_resumes_exactly(tmp_path: Path) -> None:
    config = {**CONFIG, "schedule": [[150, {"lr": 0.005}]]}
    whole, begun = ModularAdditionTrial(config), ModularAdditionTrial(config)
    begun.step(), begun.step()
    begun.save_checkpoint(str(tmp_path))
    resumed = ModularAdditionTrial({**config, "restore_from": [str(tmp_path)]})
    assert resumed.step_number == begun.step_number
    for trial in (whole, resumed):
        while not trial.step()["done"]:
            pass
    assert resumed.last_row == whole.last_row
    for name, weights in whole.model.state_dict().items():
        assert torch.equal(weights, resumed.model.state_dict()[name])
    assert whole.optimizer.param_groups[0]["lr"] == 0.005
    assert whole.last_row["test_accuracy"] > 0.9


def test_what_no_search_can_use_is_refused() -> None:
    for wrong in ({"p": 4}, {"max_steps": 0}, {"target": 5}):
        with pytest.raises(UsageError, match=f"--{next(iter(wrong)).replace('_', '-')} must be"):
            AdditionOptions(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", ["here", pytest.param("outside", marks=pytest.mark.slow)])
def test_its_search_is_killed_resumed_confirmed_and_reported(place: str, tmp_path: Path) -> None:
    folder = HERE if place == "here" else shutil.copytree(HERE, tmp_path / "mine")
    sums, command = tmp_path / "runs" / "sums", [str(folder / "tune.py"), *SMALL.split()]
    process = start(*command, "--max-concurrent", 1, "--finalists", 1, cwd=tmp_path)
    wait_for((sums / "trial_0000" / "result.json").exists, process)
    process.kill()  # SIGKILL
    process.communicate()
    reported = (sums / "trial_0000" / "result.json").read_text().rpartition("\n")[0]
    more = ["--ablation"] if place == "outside" else []
    result = run(*command, "--resume", *more, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (sums / "trial_0000" / "result.json").read_text().startswith(reported)
    assert (sums / "best" / "model.safetensors").exists()
    confirmation = json.loads((sums / "best" / "confirmation.json").read_text())
    assert len(confirmation["candidates"][0]["confirmed"]) == 2
    assert bool(list(sums.glob("ablation/*/*/result.json"))) == (place == "outside")
    report = run("reports/build.py", cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    page = (tmp_path / "reports" / "site" / "sums" / "index.html").read_text()
    assert [words for words in (*SHOWN, 'src="slices.png"') if words not in page] == []
