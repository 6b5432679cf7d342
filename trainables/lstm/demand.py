"""Memory and disk that an LSTM or RNN trial needs, as a formula of its settings.

T time steps, B palindromes in a batch, H hidden units, G gates. The factors were measured with
torch 2.14 on a CPU; tests/trainables/lstm/test_demand.py measures them again.
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
"""Copies of the weights in training: the network, its running average, gradients, Adam's two
averages, temporaries."""
SAVED = 5
"""Copies of the weights in a checkpoint: the exported model, the network, its running average,
Adam's two averages."""


def demand(settings: Mapping[str, Any]) -> Demand:
    """What a trial with these ``settings`` needs, with Adam, averaging and one-hot digits, which
    need most."""
    T, B, H = settings["input_length"], settings["batch_size"], settings["hidden_dim"]
    G = MODELS[settings["model"]].gates
    weights = FLOAT * (G * H * (NUM_DIGITS + H + 1) + NUM_DIGITS * (H + 1))
    digits = 150 * T * B  # as integers, as numbers, one-hot
    activations = FLOAT * T * B * H * (4 * G + 1)  # forward and backward
    evaluation = 30 * T * EVALUATION_PALINDROMES + 3 * FLOAT * T * EVALUATION_BATCH * H
    return Demand(COPIES * weights + max(digits + activations, evaluation), SAVED * weights)
