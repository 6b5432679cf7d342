"""Which figure and which first rung keep the winners: recorded learning curves replayed through Ray
Tune's own ASHA.

python benchmarks/early_stopping.py            # replay lstm_core_curves.csv python
benchmarks/early_stopping.py --record   # train the curves again (about 15 minutes on 2 cores)

The curves are 3 hand-tuned and 61 quasi-random settings of the LSTM's core space at T = 20, trained
for at most 3,000 steps. A replay draws 20 of them in random order, one after the other, and asks of
each rule what it spent and whether it stopped the setting that would have converged first.
"""

import multiprocessing
import statistics
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from ray.tune.schedulers import AsyncHyperBandScheduler
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import qmc

from command_line import read_arguments, run_script

CURVES = Path(__file__).parent / "lstm_core_curves.csv"
MAX_STEPS = 3000
SETTINGS = 61
DRAWN, REPLAYS = 20, 200
RULES = [(grace, factor) for grace in (200, 300, 500, 700, 1000) for factor in (2, 3, 4)]


@dataclass(frozen=True)
class Options:
    """Replay recorded learning curves through ASHA with other figures, first rungs and reduction factors."""

    record: bool = False
    """Train the curves again and write lstm_core_curves.csv."""


def train(task: tuple[int, float, float]) -> list[dict[str, Any]]:
    from trainables.lstm.trainable import LSTMTrial

    torch.set_num_threads(1)
    seed, lr, max_norm = task
    settings = {
        "lr": lr,
        "max_norm": max_norm,
        "lr_gamma": 1.0,
        "model": "lstm",
        "input_length": 20,
        "batch_size": 128,
    }
    trial = LSTMTrial({**settings, "hidden_dim": 128, "max_steps": MAX_STEPS, "seed": seed})
    rows = [trial.step()]
    while not rows[-1]["done"]:
        rows.append(trial.step())
    kept = ("step", "loss", "accuracy", "steps_to_converge")
    return [
        {"setting": seed, "lr": lr, "max_norm": max_norm, **{name: row[name] for name in kept}}
        for row in rows
    ]


def record() -> None:
    from search_spaces.lstm import HAND_TUNED

    tasks = [
        (place, values["lr"], values["max_norm"])
        for place, values in enumerate(HAND_TUNED.values())
    ]
    points = qmc.scale(qmc.Sobol(2, seed=1).random(64)[:SETTINGS], [-4, -3], [-1, 1])
    tasks += [(len(HAND_TUNED) + place, *(10**point)) for place, point in enumerate(points)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        trials = track(pool.imap(train, tasks), "training", total=len(tasks))
        rows = [row for trial in trials for row in trial]
    pd.DataFrame(rows).to_csv(CURVES, index=False, float_format="%.6g")


class Setting:
    """One recorded setting: per report its figures, and the step from which on it had converged, or None."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.steps = list(table["step"])
        self.last = self.steps[-1]
        converged = table["steps_to_converge"].iloc[-1]
        self.converged = None if pd.isna(converged) or self.last == MAX_STEPS else int(converged)
        accuracy, loss = table["accuracy"].to_numpy(), table["loss"].to_numpy()
        self.figures = {
            "accuracy": accuracy,
            "−loss": -loss,
            "−lowest loss": -np.minimum.accumulate(loss),
            "mean_accuracy": np.cumsum(accuracy) / np.arange(1, len(accuracy) + 1),
        }


def replay(settings: list[Setting], figure: str, grace: int, factor: int) -> tuple[int, bool]:
    """Training steps spent, and whether the setting that converges first was stopped before it did."""
    scheduler = AsyncHyperBandScheduler(
        time_attr="step",
        metric="value",
        mode="max",
        max_t=10_000,
        grace_period=grace,
        reduction_factor=factor,
    )
    spent, reached = 0, []
    for place, setting in enumerate(settings):
        trial = cast(Any, SimpleNamespace(trial_id=str(place)))
        scheduler.on_trial_add(cast(Any, None), trial)
        for step, value in zip(setting.steps, setting.figures[figure], strict=True):
            result = {"step": step, "value": value}
            if (
                step < setting.last
                and scheduler.on_trial_result(cast(Any, None), trial, result) == "STOP"
            ):
                break
        else:
            reached.append(setting.converged)
        spent += step
    best = min((s.converged for s in settings if s.converged), default=None)
    return spent, best is not None and best not in reached


def main() -> None:
    options = read_arguments(Options)
    if options.record:
        record()
    settings = [Setting(table) for _, table in pd.read_csv(CURVES).groupby("setting")]
    converged = sorted(s.converged for s in settings if s.converged)
    console = Console()
    console.print(
        f"{len(settings)} settings, {len(converged)} converge within {MAX_STEPS:,} steps, the first after {converged[0]:,}"
    )
    everything = statistics.mean(s.last for s in settings) * DRAWN
    table = Table(
        "figure", "first rung", "factor", f"steps for {DRAWN} trials", "of all", "best one stopped"
    )
    for figure in settings[0].figures:
        for grace, factor in RULES:
            draws = np.random.default_rng(0)
            results = [
                replay(
                    [settings[k] for k in draws.permutation(len(settings))[:DRAWN]],
                    figure,
                    grace,
                    factor,
                )
                for _ in range(REPLAYS)
            ]
            spent, lost = (
                statistics.mean(r[0] for r in results),
                statistics.mean(r[1] for r in results),
            )
            table.add_row(
                figure,
                f"{grace}",
                f"{factor}",
                f"{spent:,.0f}",
                f"{spent / everything:.0%}",
                f"{lost:.0%}",
            )
    console.print(table)


if __name__ == "__main__":
    run_script(main)
