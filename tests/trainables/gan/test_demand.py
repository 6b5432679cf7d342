"""The formula for the memory of a GAN's trial, compared with a process's measured memory."""

import json
from pathlib import Path

import pytest

from search_spaces.gan import R3GAN
from tests.trainables.conftest import peaks
from trainables.gan.demand import DIGITS, demand
from trainables.gan.images import load_images
from trainables.gan.trainable import GANTrial

DIGIT_TRIAL = {**R3GAN, "dataset": "digits", "judge": "search", "max_steps": 100, "seed": 0}
TINY = {**DIGIT_TRIAL, "batch_size": 8, "latent_dim": 10}
SMALL = {**TINY, "batch_size": 128, "latent_dim": 100}
MIDDLE = {**TINY, "batch_size": 1_000, "latent_dim": 2_000}
LATENT = {**TINY, "latent_dim": 30_000}

SHARED = """
from trainables.gan.images import load_images
from trainables.gan.judge import Judge
from trainables.gan.quality import Gaussian, Evaluator
from trainables.gan.shared import Shared
from trainables.gan.trainable import GANTrial
import torch
real = Gaussian(torch.zeros(128).double(), torch.eye(128).double())
bare = Evaluator(Judge().eval(), 1.0, real, torch.zeros(2, 128), torch.ones(10) / 10, {"fd": 1.0})
GANTrial.shared = Shared(load_images("digits", ""), {"search": bare, "final": bare})
"""
TRAIN = """
def train(config):
    trial = GANTrial(config)
    for trial.step_number in (1, 2):
        trial.advance()
    trial.evaluate({"train_told_apart": [0.5]})
"""


@pytest.mark.slow
def test_memory_is_within_a_factor_of_3_of_what_is_measured() -> None:
    configs = [SMALL, MIDDLE, LATENT, {**SMALL, "shift": 6}]
    for config, peak in zip(configs, peaks(SHARED + TRAIN, TINY, configs), strict=True):
        assert demand(config).memory / 3 < peak < demand(config).memory * 3, json.dumps(config)


def test_a_checkpoint_is_as_large_as_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, object] = {}
    exec(SHARED, names)
    monkeypatch.setattr(GANTrial, "shared", names["GANTrial"].shared)  # type: ignore[attr-defined]
    trial = GANTrial(SMALL)
    trial.step_number = 1
    trial.advance()
    trial.save_checkpoint(str(tmp_path))
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert size == pytest.approx(demand(SMALL).checkpoint, rel=0.2)


def test_no_more_digits_are_made_than_there_are() -> None:
    assert len(load_images("digits", "").train) == DIGITS
