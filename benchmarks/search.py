"""How much training a search spends until it finds what works: ours and other libraries', on
recorded learning curves.

    make bench-search                           # replay lstm_extended_curves.csv.gz
    python -m benchmarks.search --record 305    # train the curves: 15 s each on a core

Every strategy searches the LSTM's extended space at T = 50, one trial at a time, with the same
budget and seeds and without baselines. A trial's reports are the recorded curve of the nearest
setting (``curves.py``). What counts is work: time steps trained over all trials, stopped ones
included. ``--record`` continues a recording that was cut off. Method and limits:
docs/decisions/search-efficiency.md
"""

import contextlib
import functools
import gzip
import importlib.util
import io
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.common import in_processes, train_lstm
from benchmarks.curves import TRAINING, Curves, Ledger, sobol_settings, write
from benchmarks.strategies import SLOW, STRATEGIES
from command_line import read_arguments, run_script
from search_spaces.lstm import SPACES

HERE = Path(__file__).parent
PEERS = HERE.parent / ".venv-bench" / "bin" / "python"
SPACE = SPACES["lstm", "extended"]
KEPT = ("step", "work", "length", "log_work", "accuracy", "progress", "work_to_converge", "ended")
COLUMNS = ["setting", *SPACE.parameters, *KEPT]
GOALS = {"converged": "first converged", "near best": "within 10% of best"}
"""What a search is to find, by its heading in the table."""


@dataclass(frozen=True)
class Options:
    """Compare search strategies by the training they spend on recorded learning curves."""

    record: int = 0
    """Compare nothing: train this many settings, without those already recorded, and write them to
    --curves."""
    curves: Path = HERE / "lstm_extended_curves.csv.gz"
    """The recorded learning curves."""
    seeds: int = 50
    """Searches of each strategy."""
    first_seed: int = 0
    """The seed of the first search."""
    budget: float = 10.0
    """What a search may spend, in trials of full length."""
    strategies: tuple[str, ...] = tuple(name for name in STRATEGIES if name not in SLOW)
    """The strategies to compare. Default: all but syne-cqr, which takes 40 s a search."""
    results: Path = HERE / "search.csv"
    """The file for each search's result."""
    processes: int = 2
    """Searches at a time."""


def train(task: tuple[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of one setting's training, with its number as the seed."""
    number, values = task
    rows = train_lstm({**SPACE.fixed, "model": "lstm", **TRAINING, **values, "seed": number})
    return [{"setting": number, **values, **{name: row.get(name) for name in KEPT}} for row in rows]


def record(options: Options) -> None:
    """Train what is missing.

    Each setting is kept in a plain file as soon as it is trained; all are packed at the end.
    """
    partial = options.curves.with_suffix("").with_suffix(".partial.csv")
    recorded = recorded_so_far(options.curves, partial)
    recorded.to_csv(partial, columns=COLUMNS, index=False)
    whole = set(recorded["setting"])
    tasks = [one for one in enumerate(sobol_settings(SPACE, options.record)) if one[0] not in whole]
    with partial.open("a", encoding="utf-8") as file:
        for rows in in_processes(train, tasks, options.processes, "training"):
            table = pd.DataFrame(rows, columns=COLUMNS)
            table.to_csv(file, header=False, index=False, float_format="%.6g")
            file.flush()
    write(recorded_so_far(partial), options.curves)
    partial.unlink()


def recorded_so_far(*files: Path) -> pd.DataFrame:
    """The settings that the files hold whole, without a torn last line and what belongs to it."""
    tables = [pd.DataFrame(columns=COLUMNS)]
    for path in filter(Path.exists, files):
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
        tables.append(pd.read_csv(io.StringIO(text[: text.rfind("\n") + 1])))
    rows = pd.concat([table for table in tables if len(table)] or tables)
    whole = set(rows["setting"][rows["ended"].notna()])
    return rows[rows["setting"].isin(whole)].drop_duplicates(["setting", "step"])


@functools.cache
def read(path: Path) -> Curves:
    return Curves.read(path, SPACE)


def run(job: tuple[str, int, Path, float]) -> dict[str, Any]:
    """One search; returns its row of the results."""
    name, seed, path, budget = job
    ledger = Ledger(read(path), budget * read(path).max_work)
    STRATEGIES[name].search(ledger, seed)
    found = {goal: ledger.found.get(goal) for goal in GOALS}
    return {"strategy": name, "seed": seed, "trials": ledger.trials, **found}


def compare(options: Options) -> pd.DataFrame:
    """The results, a row a search.

    Strategies whose library is missing here run in the environment of the other libraries, and are
    left out if it is missing there as well.
    """
    here = [name for name in options.strategies if importlib.util.find_spec(STRATEGIES[name].needs)]
    elsewhere = tuple(name for name in options.strategies if name not in here)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    jobs = [(name, seed, options.curves, options.budget) for name in here for seed in seeds]
    needs_ray = any(STRATEGIES[name].needs == "ray" for name in here)
    with ray_session() if needs_ray else contextlib.nullcontext():
        rows = list(in_processes(run, jobs, options.processes, f"{len(here)} strategies"))
    results = [pd.DataFrame(rows, columns=["strategy", "seed", "trials", *GOALS])]
    if elsewhere and PEERS.exists() and Path(sys.executable) != PEERS:
        with tempfile.NamedTemporaryFile(suffix=".csv") as file:
            theirs = replace(options, strategies=elsewhere, results=Path(file.name))
            command = [str(PEERS), "-m", "benchmarks.search", *arguments(theirs)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=HERE.parent)
            results.append(pd.read_csv(file.name))
    return pd.concat(results, ignore_index=True)


def arguments(options: Options) -> list[str]:
    """The options as a command line."""
    words: list[str] = []
    for name, value in asdict(options).items():
        values = value if isinstance(value, tuple) else [value]
        words += ["--" + name.replace("_", "-"), *map(str, values)]
    return words


@contextlib.contextmanager
def ray_session() -> Iterator[None]:
    """One Ray for all searches, which their processes join."""
    import ray

    os.environ.update(RAY_worker_niceness="0", RAY_USAGE_STATS_ENABLED="0")
    quiet: Any = {"log_to_driver": False, "logging_level": logging.ERROR}
    context: Any = ray.init(address="local", include_dashboard=False, **quiet)
    os.environ["RAY_ADDRESS"] = context.address_info["address"]
    try:
        yield
    finally:
        ray.shutdown()


def table(results: pd.DataFrame, options: Options) -> Table:
    """A row a strategy: the median and the quartiles of the work over its seeds, and how many seeds
    found nothing.
    """
    title = f"work until found, thousand time steps: median (quartiles), {options.seeds} seeds"
    shown = Table("strategy", title=title)
    for heading in GOALS.values():
        for column in (heading, "not found", "random / this"):
            shown.add_column(column, justify="right")
    shown.add_column("trials", justify="right")
    random = results[results["strategy"] == "random"]
    for name in options.strategies:
        mine = results[results["strategy"] == name]
        if mine.empty:
            continue
        cells = []
        for goal in GOALS:
            missed = str(mine[goal].isna().sum())
            cells += [spread(mine[goal]), missed, ratio(random[goal], mine[goal])]
        shown.add_row(STRATEGIES[name].title, *cells, f"{mine['trials'].median():.0f}")
    return shown


def quantile(work: "pd.Series[float]", q: float) -> float:
    """The q-quantile of the work; a search that found nothing counts as more than any other."""
    return float(np.quantile(work.fillna(np.inf), q, method="inverted_cdf"))


def spread(work: "pd.Series[float]") -> str:
    quartiles = (quantile(work, q) for q in (0.25, 0.5, 0.75))
    low, median, high = ("not found" if np.isinf(q) else f"{q / 1000:,.0f}" for q in quartiles)
    return f"{median} ({low}, {high})"


def ratio(random: "pd.Series[float]", mine: "pd.Series[float]") -> str:
    """How many times the work of a strategy random search needs; empty if one of them has none."""
    if random.empty:
        return ""
    theirs, ours = quantile(random, 0.5), quantile(mine, 0.5)
    return "" if np.isinf(theirs) or np.isinf(ours) else f"{theirs / ours:.1f}"


def print_results(results: pd.DataFrame, options: Options) -> None:
    """The headline, the table, and what was left out of it."""
    curves = read(options.curves)
    converged = [one for one in curves.settings if one.work_to_converge is not None]
    near = sum(curves.near_best(one) for one in converged)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(
        f"{len(curves.settings)} recorded settings, {len(converged)} converge, the first after "
        f"{curves.best:,.0f} time steps, {near} within 10% of it; a search may spend "
        f"{options.budget:g} full trials = {options.budget * curves.max_work:,.0f}"
    )
    console.print(table(results, options))
    left_out = set(options.strategies) - set(results["strategy"])
    if missing := sorted({STRATEGIES[name].needs for name in left_out}):
        console.print(
            f"left out: {', '.join(missing)}: not installed (make bench-search installs them)"
        )


def main() -> None:
    options = read_arguments(Options)
    options = replace(
        options, curves=options.curves.expanduser(), results=options.results.expanduser()
    )
    if options.record:
        record(options)
        return
    results = compare(options).sort_values(["strategy", "seed"])
    results.to_csv(options.results, index=False, float_format="%.6g")
    print_results(results, options)


if __name__ == "__main__":
    run_script(main)
