"""How often the interval of a demo's answer holds what many more fresh seeds show.

    python -m benchmarks.verdict                             # the table, from verdict.csv
    python -m benchmarks.verdict --demos runs/demo-lstm-*    # first add the demos in these runs
    python -m benchmarks.verdict --record                    # first train what is lacking

A demo trains the best settings of its search and the best baseline on the same 5 fresh seeds and
gives an interval for the mean difference of the objective. ``--record`` trains both settings of
each demo on up to 100 more seeds, about 25 s each on a core, and goes on where it was cut off. Each
of the seeds is trained with all settings before the next one.

The table has each demo's interval and the mean difference over the seeds recorded since. Below it:
how often intervals of differences drawn from a demo's recorded ones miss, beside Student's, and how
often two settings that are equally good would be told apart.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.common import in_processes, train_lstm
from command_line import UsageError, read_arguments, run_script
from records.checks.check import Interval
from records.checks.statistics import fraction_interval, mean_of, paired_interval
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
    """Draws of as many differences as a demo has seeds, of each demo."""

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
    def all(self) -> NDArray[np.float64]:
        """The differences on all seeds."""
        return np.append(self.differences, self.since)

    @property
    def holds(self) -> bool:
        """Whether the demo's interval holds the mean of ``since``."""
        low, high = paired_interval([*self.differences])
        return bool(low <= self.since.mean() <= high)


def student(differences: Sequence[float]) -> Interval:
    """Student's interval, which takes no account of skewed differences."""
    return mean_of(differences).student(0.95)


def misses(
    values: NDArray[np.float64],
    n: int,
    draws: int,
    interval: Callable[[Sequence[float]], Interval] = paired_interval,
) -> NDArray[np.float64]:
    """How often the interval of ``n`` of the values, drawn with replacement, ends below and begins
    above the mean of all: two fractions."""
    drawn = np.random.default_rng(0).choice(values, (draws, n)).tolist()
    low, high = np.array([interval(one) for one in drawn]).T
    return np.array([(high < values.mean()).mean(), (low > values.mean()).mean()])


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


def print_table(found: list[Demo], baseline: NDArray[np.float64], draws: int) -> None:
    """Print each demo's interval, and how often others like it miss.

    ``baseline``: the objective of the baseline on every recorded seed.
    """
    table = Table()
    for title in ("best settings", "demo", "its interval", "seeds since", "their mean", "holds"):
        table.add_column(title, justify="left" if title == "best settings" else "right")
    for one in found:
        low, high = paired_interval([*one.differences])
        table.add_row(
            f"lr={one.lr:.3g} max_norm={one.max_norm:.3g}",
            one.name,
            f"{low:.3f} to {high:.3f}",
            str(len(one.since)),
            f"{one.since.mean():.3f}",
            "yes" if one.holds else "no",
        )
    console = Console(width=110)
    console.print(table)
    count, demos_seen = sum(one.holds for one in found), len(found)
    low, high = fraction_interval(count, demos_seen)
    n = len(found[0].differences)
    console.print(
        f"{count} of {demos_seen} intervals hold the mean (95% interval {low:.0%} to {high:.0%})"
    )
    for words, interval in (("intervals", paired_interval), ("Student's intervals", student)):
        rates = [misses(one.all, n, draws, interval) for one in found]
        below, above = np.mean(rates, axis=0)
        console.print(
            f"of {words} of {n} differences drawn from a demo's, {1 - below - above:.1%} hold their"
            f" mean, {below:.1%} end below it, {above:.1%} begin above it"
        )
    apart = sum(misses(np.subtract.outer(baseline, baseline).ravel(), n, 20 * draws))
    console.print(
        f"of intervals of {n} differences between {len(baseline)} seeds of the baseline"
        f" ({baseline.min():.2f} to {baseline.max():.2f}), {apart:.1%} miss zero"
    )


def main() -> None:
    options = read_arguments(Options)
    for path in options.demos:
        add_demo(path, options.trainings)
    if options.record:
        record(options)
    table = read(options.trainings)
    found = demos(table)
    if not found:
        raise UsageError(f"{options.trainings} has no demo: --record one")
    baseline = table.loc[table["baseline"].notna(), "mean_accuracy"].to_numpy()
    print_table(found, baseline, options.draws)


if __name__ == "__main__":
    run_script(main)
