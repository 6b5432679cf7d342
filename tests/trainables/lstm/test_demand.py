"""The formula for the memory of an LSTM's trial, compared with a process's measured memory."""

import json
from pathlib import Path

import pytest

from search_spaces.lstm import SPACES
from tests.trainables.conftest import peaks
from trainables.lstm.demand import demand
from trainables.lstm.trainable import LSTMTrial

TEXTBOOK = {
    **SPACES["lstm", "extended"].baselines["textbook"], "encoding": "one-hot", "averaging": 0.9,
    "recurrent_init": "normal", "max_steps": 100, "seed": 0, "model": "lstm",
}  # fmt: skip
TINY, SMALL, MIDDLE, WIDE = (
    {**TEXTBOOK, "input_length": length, "batch_size": batch, "hidden_dim": hidden}
    for length, batch, hidden in ((2, 2, 2), (50, 128, 128), (20, 512, 256), (5, 16, 1000))
)
CONFIGS = [MIDDLE, {**MIDDLE, "model": "rnn"}, SMALL, WIDE]

TRAIN = """
from trainables.lstm.trainable import LSTMTrial
def train(config):
    trial = LSTMTrial(config)
    trial.advance()
    trial.advance()
    trial._measure(trial.evaluation_stream, 10_000)
"""


@pytest.mark.slow
def test_memory_is_within_a_factor_of_3_of_what_is_measured() -> None:
    measured = peaks(TRAIN, TINY, CONFIGS)
    for config, peak in zip(CONFIGS, measured, strict=True):
        assert demand(config).memory / 3 < peak < demand(config).memory * 3, json.dumps(config)


def test_a_checkpoint_is_as_large_as_said(tmp_path: Path) -> None:
    config = {**SMALL, "input_length": 3, "batch_size": 2, "hidden_dim": 200}
    trial = LSTMTrial(config)
    trial.advance()
    trial.save_checkpoint(str(tmp_path))
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert size == pytest.approx(demand(config).checkpoint, rel=0.2)
