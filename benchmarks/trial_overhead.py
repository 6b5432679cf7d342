"""What a trial costs beyond its own work: the real command and a bare Ray Tune tuner, on trials
that do next to nothing.

    python -m benchmarks.trial_overhead                  # 100 trials
    python -m benchmarks.trial_overhead --trials 1000    # what grows with a search

A trial here trains one step at T = 2 and is evaluated. The same trials run in three ways:

- alone, in as many plain processes as there are cores;
- under ``tune.Tuner`` with its defaults, but with ``reuse_actors=True``;
- through tune_lstm.py, with sampler, study, run directory and console.

The clock runs from the end of an early trial to the end of the last one, so that starting Ray does
not count. Meanwhile the memory of the command's main process and the size of its run directory are
sampled.
"""

import contextlib
import io
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.common import megabytes
from command_line import UsageError, read_arguments, run_script
from search_spaces.lstm import SPACES
from tuning.machine import usable_cores

SCRIPT = Path(__file__).parent.parent / "tune_lstm.py"
SETTINGS = {**SPACES["lstm", "core"].fixed, "model": "lstm", "input_length": 2, "max_steps": 1}
STARTED = 10
"""Trials that have ended before the clock starts."""


@dataclass(frozen=True)
class Options:
    """Measure what a trial costs beyond its own work."""

    trials: int = 100
    """Trials of the command, more than 10. The other two ways run 100 of them at most."""
    sampler: str = "tpe"
    """The sampler of tune_lstm.py."""
    sample_every: int = 100
    """Ended trials between two samples of memory and disk."""

    def __post_init__(self) -> None:
        if self.trials <= STARTED:
            raise UsageError(f"--trials must be more than {STARTED}, got {self.trials}")


def work(trials: int) -> list[float]:
    """Run trials in this process alone; returns when each trial ended."""
    import torch

    from trainables.lstm.trainable import LSTMTrial

    torch.set_num_threads(1)
    settings = {**SETTINGS, "lr": 1e-3, "max_norm": 1.0}
    trial = LSTMTrial({**settings, "seed": 0})
    ends = []
    for seed in range(trials):
        trial.reset({**settings, "seed": seed})
        trial.step()
        ends.append(time.monotonic())
    return ends


def bare_tuner(trials: int) -> list[float]:
    """Run trials under Ray Tune alone, with its random search; returns when each trial ended."""
    import ray
    from ray import tune

    from trainables.lstm.trainable import LSTMTrial

    ends = []

    class Clock(tune.Callback):
        def on_trial_complete(self, *args: Any, **info: Any) -> None:
            ends.append(time.monotonic())

    os.environ.update(RAY_worker_niceness="0")
    cores = usable_cores().usable
    ray.init(address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False)
    lr, max_norm = tune.loguniform(1e-4, 1e-1), tune.loguniform(1e-3, 1e1)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        tune.Tuner(
            LSTMTrial,
            param_space={**SETTINGS, "lr": lr, "max_norm": max_norm, "seed": 0},
            tune_config=tune.TuneConfig(num_samples=trials, reuse_actors=True),
            run_config=tune.RunConfig(storage_path=folder, callbacks=[Clock()], verbose=0),
        ).fit()
        ray.shutdown()
    return ends


def command(options: Options, folder: Path, samples: Table) -> list[float]:
    """Run the real command in ``folder``; returns when each trial ended.

    Adds a row to ``samples`` every ``options.sample_every`` trials.
    """
    trivial = ["--input-length", "2", "--max-steps", "1", "--confirm", "0", "--no-dashboard"]
    asked = ["--num-samples", str(options.trials), "--sampler", options.sampler]
    process = subprocess.Popen(
        [sys.executable, SCRIPT, *trivial, *asked],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stderr is not None
    ends: list[float] = []
    for line in process.stderr:
        if line.startswith("trial "):
            ends.append(time.monotonic())
            if len(ends) == STARTED or len(ends) % options.sample_every == 0:
                latest = ends[-options.sample_every - 1 :]
                pace = (latest[-1] - latest[0]) / (len(latest) - 1)
                sizes = f"{memory(process.pid):.0f}", f"{megabytes(folder):.1f}"
                samples.add_row(f"{len(ends):,}", f"{pace:.3f}", *sizes)
    if process.wait():
        sys.exit(f"tune_lstm.py failed with status {process.returncode}")
    samples.add_row("at the end", "", "", f"{megabytes(folder):.1f}")
    return ends


def memory(pid: int) -> float:
    """MB of memory that a process has in use."""
    ps = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=True)
    return int(ps.stdout) / 1e3


def pace_of(ends: list[float]) -> float:
    """Seconds from one trial's end to the next, over all cores."""
    return (ends[-1] - ends[STARTED - 1]) / (len(ends) - STARTED)


def main() -> None:
    options = read_arguments(Options)
    cores, compared = usable_cores().usable, min(options.trials, 100)
    samples = Table(
        "trials ended", "s a trial lately", "main process, MB", "run directory, MB",
        title="While the command runs",
    )  # fmt: skip
    # every process is new, and Ray starts and ends in one of its own
    processes = multiprocessing.get_context("spawn")
    with processes.Pool(cores) as pool:
        trials = [compared // cores + STARTED] * cores
        alone = sorted(end for ends in pool.map(work, trials) for end in ends)
    with processes.Pool(1) as pool:
        bare = pool.apply(bare_tuner, (compared,))
    with tempfile.TemporaryDirectory() as folder:
        ours = command(options, Path(folder), samples)
    table = Table(
        "", "s a trial", "beyond its work", "× bare", title=f"Trivial trials, {cores} cores"
    )
    ways = {"alone": alone, "bare Ray Tune": bare, f"tune_lstm.py, {options.sampler}": ours}
    for name, ends in ways.items():
        pace = pace_of(ends)
        beyond, ratio = pace - pace_of(alone), pace / pace_of(bare)
        table.add_row(name, f"{pace:.3f}", f"{beyond:.3f}", f"{ratio:.2f}")
    Console().print(table, samples)


if __name__ == "__main__":
    run_script(main)
