"""How the weights of a recurrent network start: their scale, the recurrent matrices, and the
LSTM's gate biases.

The bias of the forget gate f decides how long a memory cell keeps its content: after T steps a
fraction f^T is left. Half of it survives 20 steps if b_f is at least 3.3, and 200 steps if it is at
least 5.7 (sigmoid(b_f)^T = 1/2).
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
    """Scale all weights to standard deviation ``init_scale``, then set W_h by ``recurrent_init``.

    ``orthogonal`` (Saxe et al. 2014, https://arxiv.org/abs/1312.6120): W_h keeps the length of any
    vector. ``identity`` (Le et al. 2015, https://arxiv.org/abs/1504.00941): W_h leaves the hidden
    state unchanged. Both set every gate's matrix; ``normal`` sets none.
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
    """Set every forget gate's bias to ``forget_bias`` (Gers et al. 2000; 1 is recommended by
    Jozefowicz et al. 2015)."""
    model.b[FORGET_GATE] = forget_bias


@torch.no_grad()
def chrono(model: LSTM, longest: int, generator: torch.Generator | None = None) -> None:
    """Chrono initialisation: b_f = log U(1, ``longest`` - 1) and b_i = -b_f.

    The cells then keep their content for times up to ``longest`` steps.
    Source: Tallec & Ollivier 2018, https://arxiv.org/abs/1804.11188
    """
    spans = torch.rand(model.b.shape[1], generator=generator) * max(0, longest - 2) + 1  # (H,)
    model.b[FORGET_GATE] = spans.log().to(model.b.device)
    model.b[INPUT_GATE] = -model.b[FORGET_GATE]
