"""Where the weights of a recurrent network start: its recurrent matrices, the scale of the others,
and the LSTM's gate biases.

A gate's bias decides how long a memory cell keeps what it holds: with forget gate f, a share f^T of
it is left after T steps, so half of it survives 20 steps only from b_f = 3.3 on, and 200 from 5.7
on (sigmoid(b_f)^T = 1/2).
"""

from typing import Literal

import torch
from torch import nn

from trainables.lstm.model import LSTM, RNN

RecurrentInit = Literal["normal", "orthogonal", "identity"]
ForgetInit = Literal["constant", "chrono"]

INPUT_GATE, FORGET_GATE = 0, 1


@torch.no_grad()
def initialise(
    model: LSTM | RNN,
    init_scale: float,
    recurrent_init: RecurrentInit,
    generator: torch.Generator | None = None,
) -> None:
    """Scale every weight that ``torch.randn`` drew to standard deviation ``init_scale``; start W_h
    as ``recurrent_init`` says.

    ``orthogonal`` (Saxe et al. 2014, https://arxiv.org/abs/1312.6120) keeps the length of whatever
    passes through W_h, and ``identity`` (Le et al. 2015, https://arxiv.org/abs/1504.00941) hands
    the hidden state on as it is; both in every gate.
    """
    for weights in (model.W_x, model.W_ph, model.W_h):
        weights.mul_(init_scale)
    for recurrent in model.W_h:  # (H, H)
        if recurrent_init == "orthogonal":
            nn.init.orthogonal_(recurrent, generator=generator)
        elif recurrent_init == "identity":
            nn.init.eye_(recurrent)


@torch.no_grad()
def open_gates(model: LSTM, forget_bias: float) -> None:
    """Start every forget gate's bias at ``forget_bias`` (Gers et al. 2000; Jozefowicz et al. 2015 recommend 1)."""
    model.b[FORGET_GATE] = forget_bias


@torch.no_grad()
def chrono(model: LSTM, longest: int, generator: torch.Generator | None = None) -> None:
    """Chrono initialisation: b_f = log U(1, ``longest`` - 1) and b_i = -b_f, so the cells' memories
    span all times up to ``longest`` steps (Tallec & Ollivier 2018,
    https://arxiv.org/abs/1804.11188).
    """
    spans = torch.rand(model.b.shape[1], generator=generator) * max(0, longest - 2) + 1  # (H,)
    model.b[FORGET_GATE] = spans.log().to(model.b.device)
    model.b[INPUT_GATE] = -model.b[FORGET_GATE]
