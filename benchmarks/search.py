"""How much training a search spends until it finds what works: ours beside its peers, on recorded
learning curves.

make bench-search                                # replay lstm_extended_curves.csv.gz, peers in
.venv-bench python -m benchmarks.search --record 512         # train the curves, 15 s a setting and
core; goes on where it was cut off

Every strategy searches the LSTM's extended space at T = 50, one trial at a time, with the same
budget, from the same seeds, and is told no settings beforehand. A trial's reports come from the
recorded curve of the nearest setting (``curves.py``). What is counted is work: time steps trained
over all trials, stopped ones included. Method and limits: docs/decisions/search-efficiency.md
"""

import contextlib
import functools
import gzip
import importlib.util
import io
import logging
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.curves import TRAINING, Curves, Ledger, sobol_settings, write
from benchmarks.strategies import SLOW, STRATEGIES
from command_line import read_arguments, run_script
from search_spaces.lstm import SPACES

HERE = Path(__file__).parent
PEERS = HERE.parent / ".venv-bench" / "bin" / "python"
SPACE = SPACES["lstm", "extended"]
KEPT = ("step", "work", "length", "log_work", "accuracy", "progress", "work_to_converge", "ended")
PROGRESS = Console(stderr=True)
GOALS = {"converged": "first converged", "near best": "within 10% of best"}


@dataclass(frozen=True)
class Options:
    """Compare search strategies by the training they spend on recorded learning curves."""

    record: int = 0
    """Train this many settings, less those already recorded, and write them to --curves, in place of comparing."""
    curves: Path = HERE / "lstm_extended_curves.csv.gz"
    """The recorded learning curves."""
    seeds: int = 50
    """Searches of each strategy."""
    first_seed: int = 0
    """Seed of the first one."""
    budget: float = 10.0
    """What a search may spend, in trials of full length."""
    strategies: tuple[str, ...] = tuple(name for name in STRATEGIES if name not in SLOW)
    """Which ones to compare: by default all but syne-cqr, which takes 40 s a search."""
    results: Path = HERE / "search.csv"
    """Where each search's result goes."""
    processes: int = 2
    """Searches at a time."""


def train(task: tuple[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of one setting's training, its number as its seed."""
    import torch

    from trainables.lstm.trainable import LSTMTrial

    torch.set_num_threads(1)
    number, values = task
    trial = LSTMTrial({**SPACE.fixed, "model": "lstm", **TRAINING, **values, "seed": number})
    rows = [trial.step()]
    while not rows[-1]["done"]:
        rows.append(trial.step())
    return [{"setting": number, **values, **{name: row.get(name) for name in KEPT}} for row in rows]


def record(options: Options) -> None:
    """Train what is missing. What was trained is kept, setting by setting, in a plain file until all is packed."""
    partial = options.curves.with_suffix("").with_suffix(".partial.csv")
    columns = ["setting", *SPACE.parameters, *KEPT]
    recorded = recorded_so_far(options.curves, partial)
    recorded.to_csv(partial, columns=columns, index=False)
    whole = set(recorded["setting"])
    tasks = [one for one in enumerate(sobol_settings(SPACE, options.record)) if one[0] not in whole]
    with partial.open("a", encoding="utf-8") as file:
        for rows in in_processes(train, tasks, options, "training"):
            pd.DataFrame(rows, columns=columns).to_csv(
                file, header=False, index=False, float_format="%.6g"
            )
            file.flush()
    write(recorded_so_far(partial), options.curves)
    partial.unlink()


def recorded_so_far(*tables: Path) -> pd.DataFrame:
    """The settings that were written down whole; a line that was torn, and the rows before it, are left out."""
    found = [pd.DataFrame(columns=["setting", *SPACE.parameters, *KEPT])]
    for path in tables:
        if path.exists():
            text = (
                gzip.decompress(path.read_bytes()).decode()
                if path.suffix == ".gz"
                else path.read_text(encoding="utf-8")
            )
            found.append(pd.read_csv(io.StringIO(text[: text.rfind("\n") + 1])))
    rows = pd.concat([table for table in found if len(table)] or found)
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
    return {
        "strategy": name,
        "seed": seed,
        "trials": ledger.trials,
        **{goal: ledger.found.get(goal) for goal in GOALS},
    }


def compare(options: Options) -> pd.DataFrame:
    """A row a search. A library that this interpreter lacks is left to the peers' own; what that lacks, too, is left out."""
    here = [name for name in options.strategies if importlib.util.find_spec(STRATEGIES[name].needs)]
    elsewhere = [name for name in options.strategies if name not in here]
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    jobs = [(name, seed, options.curves, options.budget) for name in here for seed in seeds]
    with ray_session(any(STRATEGIES[name].needs == "ray" for name in here)):
        rows = list(in_processes(run, jobs, options, f"{len(here)} strategies"))
    results = [pd.DataFrame(rows, columns=["strategy", "seed", "trials", *GOALS])]
    if elsewhere and PEERS.exists() and Path(sys.executable) != PEERS:
        with tempfile.NamedTemporaryFile(suffix=".csv") as file:
            arguments = {**asdict(options), "results": file.name, "strategies": elsewhere}
            del arguments["record"]
            flags = [part for name, value in arguments.items() for part in flag(name, value)]
            subprocess.run(
                [PEERS, "-m", "benchmarks.search", *flags],
                check=True,
                stdout=subprocess.DEVNULL,
                cwd=HERE.parent,
            )
            results.append(pd.read_csv(file.name))
    return pd.concat(results, ignore_index=True)


def flag(name: str, value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return ["--" + name.replace("_", "-"), *map(str, values)]


def in_processes(
    work: Callable[[Any], Any], tasks: Sequence[Any], options: Options, title: str
) -> Iterator[Any]:
    """What ``work`` returns for each task, as it comes."""
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        yield from track(
            pool.imap_unordered(work, tasks), title, total=len(tasks), console=PROGRESS
        )
        pool.close()
        pool.join()  # else the processes are ended by a signal, at which Ray prints their stacks


@contextlib.contextmanager
def ray_session(needed: bool) -> Iterator[None]:
    """One Ray for all searches, which their processes join."""
    if not needed:
        yield
        return
    import ray

    os.environ.update(RAY_worker_niceness="0", RAY_USAGE_STATS_ENABLED="0")
    context: Any = ray.init(
        address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
    )
    os.environ["RAY_ADDRESS"] = context.address_info["address"]
    try:
        yield
    finally:
        ray.shutdown()


def table(results: pd.DataFrame, options: Options, curves: Curves) -> Table:
    """A row a strategy: work at the median and the quartiles of its seeds, and how many seeds did not get there."""
    shown = Table(
        "strategy",
        title=f"work until found, thousand time steps: median (quartiles), {options.seeds} seeds",
    )
    for title in GOALS.values():
        shown.add_column(title, justify="right")
        shown.add_column("not found", justify="right")
        shown.add_column("random / this", justify="right")
    shown.add_column("trials", justify="right")
    random = results[results["strategy"] == "random"]
    for name in options.strategies:
        mine = results[results["strategy"] == name]
        if mine.empty:
            continue
        cells = []
        for goal in GOALS:
            cells += [
                spread(mine[goal]),
                str(mine[goal].isna().sum()),
                ratio(random[goal], mine[goal]),
            ]
        shown.add_row(STRATEGIES[name].title, *cells, f"{mine['trials'].median():.0f}")
    return shown


def quantile(work: "pd.Series[float]", q: float) -> float:
    """The q-quantile of work, where a search that did not find it needed more than any other."""
    return float(np.quantile(work.fillna(np.inf), q, method="inverted_cdf"))


def spread(work: "pd.Series[float]") -> str:
    low, median, high = (
        "not found" if np.isinf(v) else f"{v / 1000:,.0f}"
        for v in (quantile(work, q) for q in (0.25, 0.5, 0.75))
    )
    return f"{median} ({low}, {high})"


def ratio(random: "pd.Series[float]", mine: "pd.Series[float]") -> str:
    if random.empty:
        return ""
    theirs, ours = quantile(random, 0.5), quantile(mine, 0.5)
    return "" if np.isinf(theirs) or np.isinf(ours) else f"{theirs / ours:.1f}"


def main() -> None:
    options = read_arguments(Options)
    options = replace(
        options, curves=options.curves.expanduser(), results=options.results.expanduser()
    )
    if options.record:
        record(options)
        return
    curves = read(options.curves)
    results = compare(options)
    results.sort_values(["strategy", "seed"]).to_csv(
        options.results, index=False, float_format="%.6g"
    )
    console = Console(width=None if sys.stdout.isatty() else 160)
    converged = [one for one in curves.settings if one.work_to_converge is not None]
    near = sum(curves.near_best(one) for one in converged)
    console.print(
        f"{len(curves.settings)} recorded settings, {len(converged)} converge, the first after {curves.best:,.0f} time steps,"
        f" {near} within 10% of it; a search may spend {options.budget:g} full trials = {options.budget * curves.max_work:,.0f}"
    )
    console.print(table(results, options, curves))
    missing = sorted(
        {STRATEGIES[n].needs for n in options.strategies}
        & {STRATEGIES[n].needs for n in set(options.strategies) - set(results["strategy"])}
    )
    if missing:
        console.print(
            f"left out: {', '.join(missing)}: not installed (make bench-search installs them)"
        )


if __name__ == "__main__":
    run_script(main)
