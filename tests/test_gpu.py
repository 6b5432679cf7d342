"""Searches on a real GPU: ``make test-gpu`` runs all of them. Without a GPU they are skipped."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ray
import torch

from tests.conftest import ROOT, environment, run
from tests.trainables.gan.conftest import COURSEWORK
from tests.trainables.lstm.test_trainable import CONFIG
from trainables import resumable
from trainables.gan.images import load_images
from trainables.gan.model import load_generator
from trainables.gan.shared import create_shared
from trainables.gan.trainable import GANTrial
from trainables.lstm.model import load_model
from trainables.lstm.palindromes import draw_batch
from trainables.lstm.trainable import LSTMTrial
from trainables.resumable import ResumableTrainable

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]

SEARCHES = {
    "lstm": "tune_lstm.py --input-length 4 --max-steps 700 --confirm 2",
    "gan": "tune_gan.py --dataset digits --max-steps 90 --confirm 1 --final-steps 20",
}


def search(name: str, fraction: float, folder: Path) -> subprocess.CompletedProcess[str]:
    """A small search on this machine's GPUs; the cores are no limit."""
    script, *options = SEARCHES[name].split()
    share = ("--gpus-per-trial", fraction, "--cpus-per-trial", 0.05)
    more = ("--num-samples", 6, "--finalists", 1, "--no-dashboard", "--name", name)
    return run(script, *options, *share, *more, cwd=folder)


@pytest.mark.parametrize("fraction", [0.5, 0.25])
@pytest.mark.parametrize("name", [*SEARCHES])
def test_a_search_shares_the_gpu_and_its_weights_are_read_on_a_cpu(
    name: str, fraction: float, tmp_path: Path
) -> None:
    result = search(name, fraction, tmp_path)
    assert result.returncode == 0, result.stderr
    slots = int(1 / fraction) * torch.cuda.device_count()
    assert f" {slots} at once on this machine" in result.stderr
    assert f"{fraction:g} GPU a trial" in result.stderr
    path = tmp_path / "runs" / name
    states = [*path.glob("trial_*/checkpoint_*/state.pt")]
    assert states
    for state in states:
        assert torch.load(state, weights_only=True)["cuda_rng"] is not None
    load: Any = load_model if name == "lstm" else load_generator
    cpu, gpu = (load(path / "best", device) for device in ("cpu", "cuda"))
    stream = torch.Generator().manual_seed(1)
    x = draw_batch(50, 4, stream)[0] if name == "lstm" else cpu.draw_latents(50, stream)
    with torch.inference_mode():
        assert next(cpu.parameters()).device.type == "cpu"
        torch.testing.assert_close(cpu(x), gpu(x.cuda()).cpu(), rtol=1e-3, atol=1e-4)


def lstm(**more: object) -> LSTMTrial:
    return LSTMTrial({**CONFIG, **more})


def gan(**more: object) -> GANTrial:
    return GANTrial({**COURSEWORK, **more})


@pytest.mark.parametrize("name", [*SEARCHES])
def test_a_trial_cut_off_goes_on_bit_for_bit_on_the_gpu(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:2")  # as in a trial
    monkeypatch.setattr(resumable, "assigned_device", lambda: torch.device("cuda"))
    make: Any = lstm
    if name == "gan":
        images = load_images("digits", "nowhere")
        shared = create_shared(images, lambda line: None, tmp_path / "judges")
        monkeypatch.setattr(GANTrial, "shared", shared)
        make = gan
    whole: ResumableTrainable = make()
    whole.step()
    (tmp_path / "checkpoint").mkdir()
    whole.save_checkpoint(str(tmp_path / "checkpoint"))
    expected = [whole.step() for _ in range(2)]
    again: ResumableTrainable = make(restore_from=[str(tmp_path / "checkpoint")])
    assert again.step_number > 0
    assert [again.step() for _ in range(2)] == expected
    weights = again.model.state_dict()
    for key, tensor in whole.model.state_dict().items():
        assert tensor.device.type == "cuda"
        assert torch.equal(tensor, weights[key])


def test_a_trial_has_its_fraction_of_the_memory_and_no_more() -> None:
    def allocated(fraction: float) -> bool:
        from trainables.device import assigned_device

        device = assigned_device()
        total = torch.cuda.get_device_properties(device).total_memory
        try:
            torch.empty(int(fraction * total), dtype=torch.uint8, device=device)
        except torch.OutOfMemoryError:
            return False
        return True

    ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        task = ray.remote(num_gpus=0.25)(allocated)
        assert ray.get([task.remote(0.2), task.remote(0.3)]) == [True, False]
    finally:
        ray.shutdown()


HUNGRY = """
import sys
from dataclasses import replace

import torch
from trainables.lstm.trainable import LSTMTrial
from tune_lstm import LSTMOptions, lstm_task
from tuning.search import Search


class Hungry(LSTMTrial):
    def advance(self):
        if self.config["trial"] == 1:
            total = torch.cuda.get_device_properties(self.device).total_memory
            torch.empty(int(0.6 * total), dtype=torch.uint8, device=self.device)
        return super().advance()


options = LSTMOptions(
    num_samples=3, name="hungry", input_length=3, max_steps=200, confirm=0, no_dashboard=True,
    gpus_per_trial=0.5,
)
sys.exit(Search(options, replace(lstm_task(options), trainable=Hungry)).run())
"""


def test_out_of_memory_is_one_trials_failure_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "tune.py").write_text(HUNGRY)
    result = subprocess.run(
        [sys.executable, "tune.py"],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    cause = "CUDA out of memory: lower --set batch_size, or raise --gpus-per-trial"
    assert sum(line.strip() == cause for line in result.stderr.splitlines()) == 1
    records = [
        json.loads(file.read_text())
        for file in sorted(tmp_path.glob("runs/hungry/trial_*/trial.json"))
    ]
    assert [record["ended"] for record in records] == ["budget", "error", "budget"]
    text = (tmp_path / "runs/hungry/trial_0001/error.txt").read_text()
    assert "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate" in text


@pytest.mark.parametrize("name", [*SEARCHES])
def test_the_probe_recommends_a_fraction_and_leaves_no_run(name: str, tmp_path: Path) -> None:
    script, *options = SEARCHES[name].split()
    result = run(
        script, *options, "--probe-gpu", "--cpus-per-trial", 0.05, cwd=tmp_path, timeout=550
    )
    assert result.returncode == 0, result.stderr
    said = result.stdout.splitlines()
    assert torch.cuda.get_device_name(0) in said[0]
    rows = [re.split(r"\s{2,}", line.strip()) for line in said if re.match(r" +\d+ ", line)]
    assert [int(row[0]) for row in rows[:4]] == [1, 2, 4, 8]
    (best,) = re.findall(r"^recommend  --gpus-per-trial (\S+)$", result.stdout, re.MULTILINE)
    assert float(best) in (1, 0.5, 0.25, 0.125)
    assert said[-1].endswith(f" --gpus-per-trial {best}")
    assert not (tmp_path / "runs").exists()
