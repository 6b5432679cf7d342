"""The LSTM and the vanilla RNN, written from their equations, each beside torch's own fused kernel on the same parameters.

The equations are those of Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000), without peepholes.
``forward_reference`` is the one to read: a plain loop over time, a line an equation. ``forward_native`` hands the very
same tensors to the kernel behind ``torch.nn.LSTM`` / ``torch.nn.RNN`` (oneDNN on a CPU, cuDNN on a GPU) and is what trials
use. Shapes: T time steps, B batch, D input features, H hidden units, C classes.

Weights start as ``torch.randn``, biases and the first states as zeros.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

Kernel = Literal["native", "reference"]


def _randn(*shape: int, generator: torch.Generator | None) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape, generator=generator))


class RecurrentClassifier(nn.Module, ABC):
    """Reads a sequence and names its class after the last step: p = W_ph h + b_p.

    Args:
        kernel: ``native`` runs torch's fused kernel, ``reference`` the loop over time. Both read the same parameters.
    """

    gates: ClassVar[int]

    def __init__(
        self,
        input_dim: int = 1,
        hidden_dim: int = 128,
        num_classes: int = 10,
        *,
        kernel: Kernel = "native",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.kernel = kernel
        self.W_x = _randn(self.gates, hidden_dim, input_dim, generator=generator)
        self.W_h = _randn(self.gates, hidden_dim, hidden_dim, generator=generator)
        self.b = nn.Parameter(torch.zeros(self.gates, hidden_dim))
        self.W_ph = _randn(num_classes, hidden_dim, generator=generator)
        self.b_p = nn.Parameter(torch.zeros(num_classes))
        # torch's kernels add a second bias; ours has one, so the second is a constant zero.
        self.no_bias: Tensor
        self.register_buffer("no_bias", torch.zeros(self.gates * hidden_dim), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits p of shape (B, C) for ``x`` of shape (T, B, D)."""
        h = self.forward_native(x) if self.kernel == "native" else self.forward_reference(x)
        return h @ self.W_ph.T + self.b_p  # (B, C)

    @abstractmethod
    def forward_reference(self, x: Tensor) -> Tensor:
        """The last hidden state h, shape (B, H), by a loop over time."""

    @abstractmethod
    def forward_native(self, x: Tensor) -> Tensor:
        """The last hidden state h, shape (B, H), by torch's fused kernel."""

    def _native_parameters(self) -> list[Tensor]:
        """The parameters in the layout of torch's kernels: (gates * H, D), (gates * H, H) and two biases (gates * H,)."""
        return [self.W_x.flatten(0, 1), self.W_h.flatten(0, 1), self.b.flatten(), self.no_bias]

    def _zeros(self, x: Tensor) -> Tensor:
        return x.new_zeros(x.shape[1], self.W_h.shape[-1])  # (B, H)


class LSTM(RecurrentClassifier):
    """g = tanh(W_gx x + W_gh h + b_g);  i, f, o = sigmoid(W_.x x + W_.h h + b_.);  c = g i + c f;  h = tanh(c) o.

    The four gates' matrices are stacked in the order i, f, g, o, which is torch's: ``W_x`` (4, H, D), ``W_h`` (4, H, H),
    ``b`` (4, H). So ``W_h[1]`` is W_fh.
    """

    gates = 4

    def forward_reference(self, x: Tensor) -> Tensor:
        W_ix, W_fx, W_gx, W_ox = self.W_x  # each (H, D)
        W_ih, W_fh, W_gh, W_oh = self.W_h  # each (H, H)
        b_i, b_f, b_g, b_o = self.b  # each (H,)
        h = c = self._zeros(x)  # (B, H)
        for x_t in x:  # (B, D)
            g = torch.tanh(x_t @ W_gx.T + h @ W_gh.T + b_g)  # (B, H)
            i = torch.sigmoid(x_t @ W_ix.T + h @ W_ih.T + b_i)  # (B, H)
            f = torch.sigmoid(x_t @ W_fx.T + h @ W_fh.T + b_f)  # (B, H)
            o = torch.sigmoid(x_t @ W_ox.T + h @ W_oh.T + b_o)  # (B, H)
            c = g * i + c * f  # (B, H)
            h = torch.tanh(c) * o  # (B, H)
        return h

    def forward_native(self, x: Tensor) -> Tensor:
        zeros = self._zeros(x).unsqueeze(0)  # (1, B, H)
        _, h, _ = torch.lstm(x, [zeros, zeros], self._native_parameters(), True, 1, 0.0, self.training, False, False)
        return h[0]


class RNN(RecurrentClassifier):
    """h = tanh(W_hx x + W_hh h + b_h): ``W_x`` (1, H, D), ``W_h`` (1, H, H), ``b`` (1, H)."""

    gates = 1

    def forward_reference(self, x: Tensor) -> Tensor:
        (W_hx,), (W_hh,), (b_h,) = self.W_x, self.W_h, self.b
        h = self._zeros(x)  # (B, H)
        for x_t in x:  # (B, D)
            h = torch.tanh(x_t @ W_hx.T + h @ W_hh.T + b_h)  # (B, H)
        return h

    def forward_native(self, x: Tensor) -> Tensor:
        zeros = self._zeros(x).unsqueeze(0)  # (1, B, H)
        _, h = torch.rnn_tanh(x, zeros, self._native_parameters(), True, 1, 0.0, self.training, False, False)
        return h[0]


MODELS: dict[str, type[LSTM] | type[RNN]] = {"lstm": LSTM, "rnn": RNN}
