"""How often the interval of a demo's answer holds what many more fresh seeds show.

    python -m benchmarks.verdict                             # the table, from verdict.csv
    python -m benchmarks.verdict --demos runs/demo-lstm-*    # first add the demos in these runs
    python -m benchmarks.verdict --record                    # first train what is lacking

A demo trains the best settings of its search and the best baseline on the same 5 fresh seeds and
gives an interval for the mean difference of the objective. ``--record`` trains both settings of
each demo on up to 100 more seeds, about 25 s each on a core, and goes on where it was cut off. Each
of the seeds is trained with all settings before the next one.

The table has, for each demo, its interval, the mean difference over the seeds recorded since, and
how often the interval of 5 seeds drawn from these with replacement holds that mean.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import t

from benchmarks.common import in_processes, train_lstm
from command_line import UsageError, read_arguments, run_script
from records.checks.statistics import fraction_interval, mean_interval
from records.run import Run
from records.versus_baseline import versus_baseline
from search_spaces.lstm import SPACES

TASK = ("input_length", "max_steps")
SETTINGS = ("lr", "max_norm")
METRICS = ("mean_accuracy", "steps_to_converge")
COLUMNS = ("demo", "baseline", *TASK, *SETTINGS, "seed", *METRICS)
"""``demo``: the run's name, or nothing for a seed that was trained since. ``baseline``: its name,
or nothing for settings that the search found."""
FIRST_SEED = 800_000_000
"""The seeds trained since: larger than those of any search with a --seed below 800."""
CONFIDENCE = 0.95
ENOUGH = 20
"""Fewer seeds since do not show how often an interval of 5 of them would hold."""


@dataclass(frozen=True)
class Options:
    """Compare the interval of each demo's answer with many more fresh seeds."""

    demos: tuple[Path, ...] = ()
    """First add the demos in these runs of the LSTM's core space to the table."""
    record: bool = False
    """First train the settings of all demos on more fresh seeds."""
    trainings: Path = Path(__file__).parent / "verdict.csv"
    """The recorded trainings."""
    seeds: int = 100
    """How many more fresh seeds --record trains."""
    processes: int = 2
    """Trainings at once."""
    draws: int = 2000
    """Draws of 5 of the recorded seeds for each demo."""

    def __post_init__(self) -> None:
        for name in ("seeds", "processes", "draws"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} must be at least 1, got {getattr(self, name)}")


def train(row: dict[str, Any]) -> dict[str, Any]:
    """The training that a row of the table names, with its ``METRICS`` filled in."""
    config = {**SPACES["lstm", "core"].fixed, "model": "lstm"}
    config |= {name: row[name] for name in (*TASK, *SETTINGS, "seed")}
    last = train_lstm(config)[-1]
    return {**row, **{name: last[name] for name in METRICS}}


def add_demo(path: Path, trainings: Path) -> None:
    """Add a demo's trainings on fresh seeds to the table, unless it has them.

    Raises UsageError if the run did not train both settings.
    """
    run = Run.open(path)
    answer = versus_baseline(run)
    if answer is None:
        raise UsageError(f"{path} has no best settings and baseline on fresh seeds")
    known = read(trainings)
    rows = [
        {
            "demo": run.name,
            "baseline": one.config.get("baseline"),
            **{name: one.config[name] for name in (*TASK, *SETTINGS)},
            "seed": seed,
            **{name: trained.last.get(name) for name in METRICS},
        }
        for one in (answer.best, answer.baseline)
        for seed, trained in run.on_fresh_seeds[one.number].items()
    ]
    if run.name not in {*known["demo"]}:
        table = pd.concat([known, pd.DataFrame(rows)], ignore_index=True)
        table.to_csv(trainings, index=False)


def record(options: Options) -> None:
    """Train each demo's settings on the seeds that the table lacks; each is added as it ends."""
    table = read(options.trainings)
    settings = ["baseline", *TASK, *SETTINGS]
    wanted = table.dropna(subset="demo")[settings].drop_duplicates().to_dict("records")
    since = table[table["demo"].isna()]
    trained = {*zip(since["lr"], since["max_norm"], since["seed"], strict=True)}
    tasks = [
        {**{str(name): value for name, value in one.items() if value is not pd.NA}, "seed": seed}
        for seed in range(FIRST_SEED, FIRST_SEED + options.seeds)
        for one in wanted
        if (one["lr"], one["max_norm"], seed) not in trained
    ]
    with options.trainings.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        for row in in_processes(train, tasks, options.processes, "training"):
            writer.writerow(row)
            file.flush()


def read(path: Path) -> pd.DataFrame:
    """The table in a file; empty if there is none."""
    text = {"demo": "string", "baseline": "string"}
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS).astype(text)
    return pd.read_csv(path, dtype=text)


@dataclass(frozen=True)
class Demo:
    """A demo and the trainings of its two settings since.

    Attributes:
        lr, max_norm: The best settings of its search.
        differences: The objective of the best settings minus the baseline's on the demo's seeds.
        since: The same on the seeds trained since.
    """

    name: str
    lr: float
    max_norm: float
    differences: NDArray[np.float64]
    since: NDArray[np.float64]

    @property
    def holds(self) -> bool:
        """Whether the demo's interval holds the mean of ``since``."""
        low, high = mean_interval([*self.differences])
        return bool(low <= self.since.mean() <= high)

    def coverage(self, draws: int) -> float:
        """How often the interval of as many seeds as the demo had, drawn from ``since`` with
        replacement, holds the mean of ``since``."""
        n = len(self.differences)
        drawn = np.random.default_rng(0).choice(self.since, (draws, n))
        half = t.ppf((1 + CONFIDENCE) / 2, n - 1) * drawn.std(axis=1, ddof=1) / np.sqrt(n)
        return float((abs(drawn.mean(axis=1) - self.since.mean()) <= half).mean())


def demos(table: pd.DataFrame) -> list[Demo]:
    """The demos in a table of trainings, in order."""
    since = {
        settings: rows.set_index("seed")["mean_accuracy"]
        for settings, rows in table[table["demo"].isna()].groupby(["lr", "max_norm"])
    }
    found = []
    for name, rows in table.dropna(subset="demo").groupby("demo"):
        sides = rows[rows["baseline"].isna()], rows[rows["baseline"].notna()]
        settings = [(float(side["lr"].iloc[0]), float(side["max_norm"].iloc[0])) for side in sides]
        here = (side.set_index("seed")["mean_accuracy"] for side in sides)
        later = (since[one] for one in settings)
        found.append(Demo(str(name), *settings[0], differences(*here), differences(*later)))
    return found


def differences(mine: "pd.Series[float]", its: "pd.Series[float]") -> NDArray[np.float64]:
    """Their differences on the seeds that both have."""
    both = pd.concat([mine, its], axis=1, join="inner").to_numpy()
    return np.asarray(both[:, 0] - both[:, 1])


def print_table(found: list[Demo], draws: int) -> None:
    table = Table()
    titles = ("demo", "its interval", "seeds since", "their mean", "holds", f"of {draws:,} draws")
    for title in ("best settings", *titles):
        table.add_column(title, justify="left" if title == "best settings" else "right")
    for one in found:
        low, high = mean_interval([*one.differences])
        table.add_row(
            f"lr={one.lr:.3g} max_norm={one.max_norm:.3g}",
            one.name,
            f"{low:.3f} to {high:.3f}",
            str(len(one.since)),
            f"{one.since.mean():.3f}",
            "yes" if one.holds else "no",
            f"{one.coverage(draws):.1%}" if len(one.since) >= ENOUGH else "too few",
        )
    console = Console(width=110)
    console.print(table)
    count, n = sum(one.holds for one in found), len(found)
    low, high = fraction_interval(count, n)
    console.print(f"{count} of {n} intervals hold the mean (95% interval {low:.0%} to {high:.0%})")
    if all(len(one.since) >= ENOUGH for one in found):
        held = mean(one.coverage(draws) for one in found)
        console.print(f"{held:.1%} of the intervals of drawn seeds do")


def main() -> None:
    options = read_arguments(Options)
    for path in options.demos:
        add_demo(path, options.trainings)
    if options.record:
        record(options)
    found = demos(read(options.trainings))
    if not found:
        raise UsageError(f"{options.trainings} has no demo: --record one")
    print_table(found, options.draws)


if __name__ == "__main__":
    run_script(main)
