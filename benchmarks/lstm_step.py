"""One training step of the LSTM and the RNN at T = 20: our kernels beside torch's own module and
the bare matrix products.

All are timed in turns within one run, on one thread, and given as ratios to torch's own module: the
times themselves are the machine's. python benchmarks/lstm_step.py
"""

import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from command_line import run_script
from trainables.lstm.model import MODELS
from trainables.lstm.palindromes import draw_batch

INPUT_LENGTH, BATCH, HIDDEN = 20, 128, 128
ROUNDS, STEPS = 15, 10


class TorchModule(nn.Module):
    """torch.nn.LSTM or torch.nn.RNN and a linear layer: what one would write instead."""

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
        x, target = draw_batch(BATCH, INPUT_LENGTH, stream)
        loss = cross_entropy(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def matrix_products(gates: int) -> Callable[[], None]:
    """The recurrent products of one step and nothing else: forward and backward step by step, the weights' gradient at once."""
    h, w, grad = (
        torch.randn(BATCH, HIDDEN),
        torch.randn(HIDDEN, gates * HIDDEN),
        torch.randn(BATCH, gates * HIDDEN),
    )
    all_h, all_grad = (
        torch.randn(INPUT_LENGTH * BATCH, HIDDEN),
        torch.randn(INPUT_LENGTH * BATCH, gates * HIDDEN),
    )

    def step() -> None:
        for _ in range(INPUT_LENGTH):
            _ = h @ w
            _ = grad @ w.T
        _ = all_h.T @ all_grad

    return step


def measure(candidates: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Median milliseconds of a step, the candidates taking turns so that a busy moment hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(ROUNDS + 1):
        for name, step in candidates.items():
            start = time.perf_counter()
            for _ in range(STEPS):
                step()
            times[name].append((time.perf_counter() - start) / STEPS * 1000)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def main() -> None:
    torch.set_num_threads(1)
    table = Table(
        "model",
        "step",
        "ms",
        "× torch's module",
        title=f"T = {INPUT_LENGTH}, batch {BATCH}, 1 thread, float32",
    )
    for name, layer, gates in (("lstm", nn.LSTM, 4), ("rnn", nn.RNN, 1)):
        torch_module = f"torch.nn.{layer.__name__}"
        times = measure(
            {
                torch_module: training_step(TorchModule(layer)),
                "native kernel": training_step(MODELS[name](kernel="native")),
                "reference loop": training_step(MODELS[name](kernel="reference")),
                "matrix products alone": matrix_products(gates),
            }
        )
        for step, milliseconds in times.items():
            table.add_row(
                name, step, f"{milliseconds:.2f}", f"{milliseconds / times[torch_module]:.2f}"
            )
    Console().print(table)


if __name__ == "__main__":
    run_script(main)
