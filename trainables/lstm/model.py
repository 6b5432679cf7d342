"""The LSTM and the vanilla RNN, from their equations and by torch's fused kernel.

The equations are those of Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al.
(2000), without peepholes. ``forward_reference`` is the method to read: a loop over time with one
line for each equation. ``forward_native`` gives the same parameters to the kernel behind
``torch.nn.LSTM`` and ``torch.nn.RNN`` (oneDNN on a CPU, cuDNN on a GPU); trials use it. Shapes: T
time steps, B batch, D input features, H hidden units, C classes.

Weights start as ``torch.randn``, biases and the first states as zeros; ``initialisation.py`` has
other starts.
"""

import json
import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import one_hot

from trainables.lstm.palindromes import NUM_DIGITS

Kernel = Literal["native", "reference"]
Encoding = Literal["raw", "standardised", "one-hot"]
"""How a digit enters: as the number itself, scaled to mean 0 and variance 1, or as 10 units."""

DIGIT_MEAN = (NUM_DIGITS - 1) / 2
DIGIT_STD = math.sqrt((NUM_DIGITS**2 - 1) / 12)


def _randn(*shape: int, generator: torch.Generator | None) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape, generator=generator))


class RecurrentClassifier(nn.Module, ABC):
    """Reads a sequence of digits and names its class after the last step: p = W_ph h + b_p.

    Args:
        encoding: How the digits enter; D is 10 for ``one-hot``, else 1.
        kernel: ``native`` runs torch's fused kernel, ``reference`` the loop over time.
    """

    gates: ClassVar[int]

    def __init__(
        self,
        hidden_dim: int = 128,
        num_classes: int = NUM_DIGITS,
        *,
        encoding: Encoding = "raw",
        kernel: Kernel = "native",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.kernel, self.encoding = kernel, encoding
        input_dim = NUM_DIGITS if encoding == "one-hot" else 1
        self.W_x = _randn(self.gates, hidden_dim, input_dim, generator=generator)
        self.W_h = _randn(self.gates, hidden_dim, hidden_dim, generator=generator)
        self.b = nn.Parameter(torch.zeros(self.gates, hidden_dim))
        self.W_ph = _randn(num_classes, hidden_dim, generator=generator)
        self.b_p = nn.Parameter(torch.zeros(num_classes))
        # torch's kernels add a second bias, which is a constant zero here.
        self.no_bias: Tensor
        self.register_buffer("no_bias", torch.zeros(self.gates * hidden_dim), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits p (B, C) for digits ``x`` (T, B, 1)."""
        return self.read(self.hidden_states(x)[-1])

    def hidden_states(self, x: Tensor) -> Tensor:
        """The hidden states (T, B, H) after every time step, for digits ``x`` (T, B, 1)."""
        forward = self.forward_native if self.kernel == "native" else self.forward_reference
        return forward(self.encode(x))

    def read(self, h: Tensor) -> Tensor:
        """Logits (..., C) for hidden states (..., H)."""
        return h @ self.W_ph.T + self.b_p

    def encode(self, x: Tensor) -> Tensor:
        """Digits (T, B, 1) as the network sees them, (T, B, D)."""
        match self.encoding:
            case "raw":
                return x
            case "standardised":
                return (x - DIGIT_MEAN) / DIGIT_STD
            case "one-hot":
                return one_hot(x.squeeze(-1).long(), NUM_DIGITS).to(x.dtype)

    @abstractmethod
    def forward_reference(self, x: Tensor) -> Tensor:
        """The hidden states (T, B, H) of inputs (T, B, D), by a loop over time."""

    @abstractmethod
    def forward_native(self, x: Tensor) -> Tensor:
        """The hidden states (T, B, H) of inputs (T, B, D), by torch's fused kernel."""

    def _native_parameters(self) -> list[Tensor]:
        """The parameters as torch's kernels expect them: (gates * H, D), (gates * H, H) and two
        biases (gates * H,)."""
        return [self.W_x.flatten(0, 1), self.W_h.flatten(0, 1), self.b.flatten(), self.no_bias]

    def _zeros(self, x: Tensor) -> Tensor:
        return x.new_zeros(x.shape[1], self.W_h.shape[-1])  # (B, H)


class LSTM(RecurrentClassifier):
    """g = tanh(W_gx x + W_gh h + b_g);  i, f, o = sigmoid(W_.x x + W_.h h + b_.);  c = g i + c f;
    h = tanh(c) o.

    The four gates' matrices are stacked in the order i, f, g, o, which is torch's: ``W_x`` (4, H,
    D), ``W_h`` (4, H, H), ``b`` (4, H). So ``W_h[1]`` is W_fh.
    """

    gates = 4

    def forward_reference(self, x: Tensor) -> Tensor:
        W_ix, W_fx, W_gx, W_ox = self.W_x  # each (H, D)
        W_ih, W_fh, W_gh, W_oh = self.W_h  # each (H, H)
        b_i, b_f, b_g, b_o = self.b  # each (H,)
        h = c = self._zeros(x)  # (B, H)
        states = []
        for x_t in x:  # (B, D)
            g = torch.tanh(x_t @ W_gx.T + h @ W_gh.T + b_g)  # (B, H)
            i = torch.sigmoid(x_t @ W_ix.T + h @ W_ih.T + b_i)  # (B, H)
            f = torch.sigmoid(x_t @ W_fx.T + h @ W_fh.T + b_f)  # (B, H)
            o = torch.sigmoid(x_t @ W_ox.T + h @ W_oh.T + b_o)  # (B, H)
            c = g * i + c * f  # (B, H)
            h = torch.tanh(c) * o  # (B, H)
            states.append(h)
        return torch.stack(states)

    def forward_native(self, x: Tensor) -> Tensor:
        zeros = self._zeros(x).unsqueeze(0)  # (1, B, H)
        states, _, _ = torch.lstm(
            x, [zeros, zeros], self._native_parameters(), True, 1, 0.0, self.training, False, False
        )
        return states


class RNN(RecurrentClassifier):
    """h = tanh(W_hx x + W_hh h + b_h): ``W_x`` (1, H, D), ``W_h`` (1, H, H), ``b`` (1, H)."""

    gates = 1

    def forward_reference(self, x: Tensor) -> Tensor:
        (W_hx,), (W_hh,), (b_h,) = self.W_x, self.W_h, self.b
        h = self._zeros(x)  # (B, H)
        states = []
        for x_t in x:  # (B, D)
            h = torch.tanh(x_t @ W_hx.T + h @ W_hh.T + b_h)  # (B, H)
            states.append(h)
        return torch.stack(states)

    def forward_native(self, x: Tensor) -> Tensor:
        zeros = self._zeros(x).unsqueeze(0)  # (1, B, H)
        states, _ = torch.rnn_tanh(
            x, zeros, self._native_parameters(), True, 1, 0.0, self.training, False, False
        )
        return states


MODELS: dict[str, type[LSTM] | type[RNN]] = {"lstm": LSTM, "rnn": RNN}


def load_model(folder: str | Path, device: str = "cpu") -> LSTM | RNN:
    """The network in the folder of an exported trial, such as ``runs/NAME/best``.

    It takes raw digits (T, B, 1) of any length T. Raises OSError if ``config.json`` or
    ``model.safetensors`` is missing.
    """
    config = json.loads((Path(folder) / "config.json").read_bytes())
    encoding = config.get("encoding", "raw")
    model = MODELS[config["model"]](config["hidden_dim"], encoding=encoding).to(device)
    model.load_state_dict(load_file(Path(folder) / "model.safetensors", device=device))
    return model.eval()
