"""Memory and disk of an LSTM or RNN trial, as a closed formula of its settings.

T time steps, B palindromes a batch, H hidden units, G gates. The factors are what torch 2.14 was
seen to keep on a CPU; tests/trainables/lstm/test_demand.py measures them again.
"""

from collections.abc import Mapping
from typing import Any

from trainables.demand import Demand
from trainables.lstm.model import MODELS
from trainables.lstm.palindromes import NUM_DIGITS
from trainables.lstm.trainable import EVALUATION_BATCH, EVALUATION_PALINDROMES

FLOAT = 4
"""Bytes of a number."""
COPIES = 7
"""Of the weights while training: the network, its running average, gradients, Adam's two averages, and temporaries."""
SAVED = 5
"""Of the weights in a checkpoint: the exported model, the network, its running average, Adam's two averages."""


def demand(settings: Mapping[str, Any]) -> Demand:
    """What a trial with these ``settings`` needs; Adam, averaging and one-hot digits, the costliest, are assumed."""
    T, B, H = settings["input_length"], settings["batch_size"], settings["hidden_dim"]
    G = MODELS[settings["model"]].gates
    weights = FLOAT * (G * H * (NUM_DIGITS + H + 1) + NUM_DIGITS * (H + 1))
    digits = 150 * T * B  # as integers, as numbers, one-hot
    activations = FLOAT * T * B * H * (4 * G + 1)  # forward and backward
    evaluation = 30 * T * EVALUATION_PALINDROMES + 3 * FLOAT * T * EVALUATION_BATCH * H
    return Demand(
        memory=COPIES * weights + max(digits + activations, evaluation), checkpoint=SAVED * weights
    )
