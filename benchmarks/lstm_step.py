"""One training step of the LSTM and the RNN at T = 20: our kernels, torch's own module, the bare
matrix products, and five seeds at once.

    python -m benchmarks.lstm_step

All take turns in one run, on one thread. Compare their ratios to torch's own module: the times
themselves depend on the machine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from benchmarks.common import milliseconds
from command_line import read_arguments, run_script
from trainables.lstm.model import MODELS
from trainables.lstm.palindromes import draw_batch

T, BATCH, HIDDEN = 20, 128, 128
STEPS = 10
"""Steps that are timed at once."""
SEEDS = 5


@dataclass(frozen=True)
class Options:
    """Time one training step of the LSTM and the RNN."""

    rounds: int = 15
    """How many times each step is timed. The table has the medians."""


class TorchModule(nn.Module):
    """torch.nn.LSTM or torch.nn.RNN with a linear layer: what one would write instead of ours."""

    def __init__(self, layer: type[nn.LSTM] | type[nn.RNN]) -> None:
        super().__init__()
        self.layer = layer(1, HIDDEN)
        self.output = nn.Linear(HIDDEN, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.output(self.layer(x)[0][-1])
        return logits


def training_step(model: nn.Module) -> Callable[[], None]:
    stream = torch.Generator().manual_seed(0)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)

    def step() -> None:
        x, target = draw_batch(BATCH, T, stream)
        loss = cross_entropy(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def matrix_products(gates: int) -> Callable[[], None]:
    """The recurrent products of one training step and nothing else.

    Forward and backward go time step by time step, the gradient of the weights is one product.
    """
    width = gates * HIDDEN
    h, w, grad = torch.randn(BATCH, HIDDEN), torch.randn(HIDDEN, width), torch.randn(BATCH, width)
    all_h, all_grad = torch.randn(T * BATCH, HIDDEN), torch.randn(T * BATCH, width)

    def step() -> None:
        for _ in range(T):
            _ = h @ w
            _ = grad @ w.T
        _ = all_h.T @ all_grad

    return step


def in_turns(name: str) -> Callable[[], None]:
    """A step of each of several networks in turns, as ``--seeds-per-trial`` takes them."""
    steps = [training_step(MODELS[name](kernel="native")) for _ in range(SEEDS)]

    def step() -> None:
        for one in steps:
            one()

    return step


def in_one_batch(name: str) -> Callable[[], None]:
    """A step of several networks with their weights stacked along a batch dimension.

    Source: https://docs.pytorch.org/tutorials/intermediate/ensembling.html
    """
    models = [MODELS[name](kernel="reference") for _ in range(SEEDS)]
    weights, buffers = stack_module_state(list(models))
    stream = torch.Generator().manual_seed(0)
    optimizer = torch.optim.RMSprop(weights.values(), lr=1e-3)
    run = vmap(partial(functional_call, models[0]))

    def step() -> None:
        batches = [draw_batch(BATCH, T, stream) for _ in range(SEEDS)]
        x, target = (torch.stack(parts) for parts in zip(*batches, strict=True))
        logits = run((weights, buffers), (x,))  # (seeds, B, C)
        loss = SEEDS * cross_entropy(logits.flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        squares = [
            p.grad.flatten(1).square().sum(1) for p in weights.values() if p.grad is not None
        ]
        norms = torch.stack(squares).sum(0).sqrt()  # (seeds,)
        factors = (1.0 / (norms + 1e-6)).clamp(max=1.0)
        for p in weights.values():
            if p.grad is not None:
                p.grad *= factors.view(-1, *[1] * (p.grad.dim() - 1))
        optimizer.step()

    return step


def main() -> None:
    options = read_arguments(Options)
    torch.set_num_threads(1)
    title = f"T = {T}, batch {BATCH}, 1 thread, float32"
    table = Table("model", "step", "ms", "× torch's module", title=title)
    for name, layer, gates in (("lstm", nn.LSTM, 4), ("rnn", nn.RNN, 1)):
        torch_module = f"torch.nn.{layer.__name__}"
        steps = {
            torch_module: training_step(TorchModule(layer)),
            "native kernel": training_step(MODELS[name](kernel="native")),
            "reference loop": training_step(MODELS[name](kernel="reference")),
            "matrix products alone": matrix_products(gates),
            f"{SEEDS} seeds in turns": in_turns(name),
            f"{SEEDS} seeds in one batch": in_one_batch(name),
        }
        times = milliseconds(steps, options.rounds, STEPS)
        for step, ms in times.items():
            table.add_row(name, step, f"{ms:.2f}", f"{ms / times[torch_module]:.2f}")
    Console().print(table)


if __name__ == "__main__":
    run_script(main)
