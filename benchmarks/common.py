"""What several benchmarks share: steps timed in turns, work spread over processes, one LSTM
training, and the size of a folder.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from timeit import timeit
from typing import Any

from rich.console import Console
from rich.progress import track


def milliseconds(
    candidates: Mapping[str, Callable[[], None]], rounds: int, steps: int
) -> dict[str, float]:
    """The median duration of a step of each candidate, after one round that does not count.

    The candidates take turns, ``steps`` at a time, so that a busy moment hits all of them.
    """
    times = [
        {name: timeit(step, number=steps) for name, step in candidates.items()}
        for _ in range(rounds + 1)
    ]
    return {name: median(turn[name] for turn in times[1:]) / steps * 1e3 for name in candidates}


def in_processes(
    work: Callable[[Any], Any], tasks: Sequence[Any], processes: int, title: str
) -> Iterator[Any]:
    """What ``work`` returns for each task, as it comes."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        results = pool.imap_unordered(work, tasks)
        yield from track(results, title, total=len(tasks), console=Console(stderr=True))
        pool.close()
        pool.join()  # else the processes are ended by a signal, at which Ray prints their stacks


def train_lstm(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of one LSTM training on one thread, a row a report."""
    import torch  # here, since the other libraries' environment has no torch

    from trainables.lstm.trainable import LSTMTrial

    torch.set_num_threads(1)
    trial = LSTMTrial(config)
    rows = [trial.step()]
    while not rows[-1]["done"]:
        rows.append(trial.step())
    return rows


def megabytes(folder: Path) -> float:
    """The size of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
