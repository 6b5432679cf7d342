"""Which metric and which first rung let ASHA keep the settings that win: recorded learning curves,
replayed through Ray Tune's own ASHA.

    python -m benchmarks.early_stopping             # replay lstm_core_curves.csv
    python -m benchmarks.early_stopping --record    # train the curves again: 15 minutes on 2 cores

The curves are the 3 hand-tuned and 61 quasi-random settings of the LSTM's core space at T = 20,
trained for at most 3,000 steps. A replay takes 20 of them in random order, one after the other. For
each rule it counts the steps spent, and whether the setting that would have converged first was
stopped. Results and limits: docs/decisions/early-stopping.md
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
from ray.tune.schedulers import AsyncHyperBandScheduler
from rich.console import Console
from rich.table import Table

from benchmarks.common import in_processes, train_lstm
from benchmarks.curves import sobol_settings
from command_line import read_arguments, run_script
from search_spaces.lstm import HAND_TUNED, SPACES

SPACE = SPACES["lstm", "core"]
DRAWN = 20
"""Settings in a replay."""
RULES = [(grace, factor) for grace in (200, 300, 500, 700, 1000) for factor in (2, 3, 4)]


@dataclass(frozen=True)
class Options:
    """Replay recorded learning curves through ASHA with other metrics, first rungs and factors."""

    record: bool = False
    """First train the curves again and write them to --curves."""
    curves: Path = Path(__file__).parent / "lstm_core_curves.csv"
    """The recorded learning curves."""
    settings: int = 64
    """How many settings --record trains, the hand-tuned ones first."""
    max_steps: int = 3000
    """The steps that the curves were, or with --record are, trained for at most."""
    replays: int = 200
    """Replays of each rule."""


def train(task: tuple[int, dict[str, float], int]) -> list[dict[str, Any]]:
    """The rows of one setting's training, with its number as the seed."""
    number, values, max_steps = task
    settings = {**SPACE.fixed, "model": "lstm", "input_length": 20, "max_steps": max_steps}
    rows = train_lstm({**settings, **values, "seed": number})
    kept = ("step", "loss", "accuracy", "steps_to_converge")
    return [{"setting": number, **values, **{name: row[name] for name in kept}} for row in rows]


def record(options: Options) -> None:
    drawn = sobol_settings(SPACE, max(0, options.settings - len(HAND_TUNED)))
    settings = [*HAND_TUNED.values(), *drawn][: options.settings]
    tasks = [(number, dict(values), options.max_steps) for number, values in enumerate(settings)]
    rows = [row for trial in in_processes(train, tasks, 2, "training") for row in trial]
    table = pd.DataFrame(rows).sort_values(["setting", "step"])
    table.to_csv(options.curves, index=False, float_format="%.6g")


class Setting:
    """One recorded setting: the values of each metric at its reports, and the step from which on it
    had converged, or None.
    """

    def __init__(self, table: pd.DataFrame, max_steps: int) -> None:
        self.steps = list(table["step"])
        self.last = self.steps[-1]
        converged = table["steps_to_converge"].iloc[-1]
        self.converged = None if pd.isna(converged) or self.last == max_steps else int(converged)
        accuracy, loss = table["accuracy"].to_numpy(), table["loss"].to_numpy()
        self.metrics = {
            "accuracy": accuracy,
            "−loss": -loss,
            "−lowest loss": -np.minimum.accumulate(loss),
            "mean_accuracy": np.cumsum(accuracy) / np.arange(1, len(accuracy) + 1),
        }


def replay(settings: list[Setting], metric: str, grace: int, factor: int) -> tuple[int, bool]:
    """The training steps spent, and whether the setting that converges first was stopped before."""
    scheduler = AsyncHyperBandScheduler(
        time_attr="step", metric="value", mode="max",
        max_t=10_000, grace_period=grace, reduction_factor=factor,
    )  # fmt: skip
    nobody = cast(Any, None)
    spent, reached = 0, []
    for number, setting in enumerate(settings):
        trial = cast(Any, SimpleNamespace(trial_id=str(number)))
        scheduler.on_trial_add(nobody, trial)
        for step, value in zip(setting.steps, setting.metrics[metric], strict=True):
            row = {"step": step, "value": value}
            if step < setting.last and scheduler.on_trial_result(nobody, trial, row) == "STOP":
                break
        else:
            reached.append(setting.converged)
        spent += step
    best = min((s.converged for s in settings if s.converged), default=None)
    return spent, best is not None and best not in reached


def replays(
    settings: list[Setting], metric: str, grace: int, factor: int, count: int
) -> tuple[float, float]:
    """The mean steps of ``count`` replays, and the fraction that stopped the best setting."""
    draws = np.random.default_rng(0)
    orders = [draws.permutation(len(settings))[:DRAWN] for _ in range(count)]
    results = [replay([settings[k] for k in order], metric, grace, factor) for order in orders]
    return mean(spent for spent, _ in results), mean(lost for _, lost in results)


def main() -> None:
    options = read_arguments(Options)
    if options.record:
        record(options)
    table = pd.read_csv(options.curves)
    settings = [Setting(curve, options.max_steps) for _, curve in table.groupby("setting")]
    converged = [s.converged for s in settings if s.converged]
    first = f", the first after {min(converged):,}" if converged else ""
    console = Console()
    console.print(
        f"{len(settings)} settings, {len(converged)} converge within {options.max_steps:,} steps"
        + first
    )
    everything = mean(s.last for s in settings) * min(DRAWN, len(settings))
    shown = Table(
        "metric", "first rung", "factor", f"steps for {DRAWN} trials", "of all", "best one stopped"
    )
    for metric in settings[0].metrics:
        for grace, factor in RULES:
            spent, lost = replays(settings, metric, grace, factor, options.replays)
            cells = f"{spent:,.0f}", f"{spent / everything:.0%}", f"{lost:.0%}"
            shown.add_row(metric, str(grace), str(factor), *cells)
    console.print(shown)


if __name__ == "__main__":
    run_script(main)
