"""How often the interval of a demo's answer holds what many more fresh seeds show.

    python -m benchmarks.verdict                                # the table, from verdict.csv
    python -m benchmarks.verdict --record runs/demo-lstm-*      # first train what it lacks

A demo trains the best settings of its search and the best baseline on the same 5 fresh seeds and
gives an interval for the mean difference of the objective. ``--record`` trains both settings of
each run on up to 100 more seeds, about 20 s each on a core, and goes on where it was cut off. Each
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
from records.versus_baseline import VersusBaseline, versus_baseline

COLUMNS = ("demo", "baseline", "lr", "max_norm", "seed", "mean_accuracy", "steps_to_converge")
"""``demo``: the run's name, or nothing for a seed that was trained since. ``baseline``: its name,
or nothing for settings that the search found."""
FIRST_SEED = 800_000_000
"""The seeds trained since: larger than those of any search with a --seed below 800."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Options:
    """Compare the interval of each demo's answer with many more fresh seeds."""

    record: tuple[Path, ...] = ()
    """First train the settings of these runs of the LSTM (core space) on more fresh seeds."""
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


def train(task: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    """One training with its fixed settings and its values of ``COLUMNS``; returns these, filled
    in."""
    fixed, row = task
    last = train_lstm({**fixed, **{name: row[name] for name in ("lr", "max_norm", "seed")}})[-1]
    return {**row, **{name: last[name] for name in ("mean_accuracy", "steps_to_converge")}}


def demo_rows(answer: VersusBaseline, run: Run) -> list[dict[str, Any]]:
    """What the demo itself has trained on fresh seeds."""
    return [
        {
            "demo": run.name,
            "baseline": one.config.get("baseline"),
            **one.settings,
            "seed": seed,
            **{name: trained.last.get(name) for name in ("mean_accuracy", "steps_to_converge")},
        }
        for one in (answer.best, answer.baseline)
        for seed, trained in run.on_fresh_seeds[one.number].items()
    ]


def record(options: Options) -> None:
    """Add to the table the demos' own trainings, then those on more seeds, as they end."""
    runs = [Run.open(path) for path in options.record]
    known = read(options.trainings) if options.trainings.exists() else pd.DataFrame(columns=COLUMNS)
    since = known[known["demo"].isna()]
    trained = {*zip(since["lr"], since["max_norm"], since["seed"], strict=True)}
    wanted: dict[tuple[Any, ...], tuple[dict[str, Any], dict[str, Any]]] = {}
    with options.trainings.open("a", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        if known.empty:
            table.writeheader()
        for run in runs:
            answer = versus_baseline(run)
            if answer is None:
                raise UsageError(f"{run.path} has no best settings and baseline on fresh seeds")
            if run.name not in {*known["demo"]}:
                table.writerows(demo_rows(answer, run))
            for one in (answer.best, answer.baseline):
                for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
                    row = {"baseline": one.config.get("baseline"), **one.settings, "seed": seed}
                    wanted[row["lr"], row["max_norm"], seed] = (dict(run.fixed), row)
        file.flush()
        tasks = [wanted[key] for key in sorted(wanted.keys() - trained, key=lambda key: key[2])]
        for row in in_processes(train, tasks, options.processes, "training"):
            table.writerow(row)
            file.flush()


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"demo": "string", "baseline": "string"})


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
            f"{one.coverage(draws):.1%}",
        )
    console = Console(width=110)
    console.print(table)
    count, n = sum(one.holds for one in found), len(found)
    low, high = fraction_interval(count, n)
    console.print(
        f"{count} of {n} intervals hold the mean (95% interval {low:.0%} to {high:.0%}); of the"
        f" intervals of drawn seeds, {mean(one.coverage(draws) for one in found):.1%} do"
    )


def main() -> None:
    options = read_arguments(Options)
    if options.record:
        record(options)
    found = demos(read(options.trainings))
    if not found:
        raise UsageError(f"{options.trainings} has no demo: --record one")
    print_table(found, options.draws)


if __name__ == "__main__":
    run_script(main)
