"""What a trial costs beyond its own work: the real command beside a bare Ray Tune tuner, on trials
that do next to nothing.

A trial here trains one step at T = 2 and is evaluated. The same work is timed in turn in as many
plain processes as there are cores, under ``tune.Tuner`` as it comes but for ``reuse_actors=True``,
and through tune_lstm.py: sampler, study, run directory and console included. The seconds are those
between the end of an early trial and the last one, so that starting Ray does not count. The memory
of the command's main process and the size of its run directory are sampled on the way.

python benchmarks/trial_overhead.py                  # 100 trials
python benchmarks/trial_overhead.py --trials 1000    # what grows with a search
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

from command_line import read_arguments, run_script
from search_spaces.lstm import SPACES

SCRIPT = Path(__file__).parent.parent / "tune_lstm.py"
SETTINGS = {**SPACES["lstm", "core"].fixed, "model": "lstm", "input_length": 2, "max_steps": 1}
STARTED = 10
"""Trials that have ended before the clock starts."""


@dataclass(frozen=True)
class Options:
    """Measure what a trial costs beyond its own work."""

    trials: int = 100
    """Trials of the command; work and bare tuner are measured over 100 of them at most."""
    sampler: str = "tpe"
    """As tune_lstm.py's."""
    sample_every: int = 100
    """Ended trials between two samples of memory and disk."""


def work(trials: int) -> list[float]:
    """One process's share of the work; returns when each trial ended."""
    import torch

    from trainables.lstm.trainable import LSTMTrial

    torch.set_num_threads(1)
    trial = LSTMTrial({**SETTINGS, "lr": 1e-3, "max_norm": 1.0, "seed": 0})
    ends = []
    for seed in range(trials):
        trial.reset({**SETTINGS, "lr": 1e-3, "max_norm": 1.0, "seed": seed})
        trial.step()
        ends.append(time.monotonic())
    return ends


def bare_tuner(trials: int) -> list[float]:
    """The same trials under Ray Tune alone, its random search and its own loggers; returns when each ended."""
    import ray
    from ray import tune

    from trainables.lstm.trainable import LSTMTrial

    ends = []

    class Clock(tune.Callback):
        def on_trial_complete(
            self, iteration: int, trials: list[Any], trial: Any, **info: Any
        ) -> None:
            ends.append(time.monotonic())

    os.environ.update(RAY_worker_niceness="0")
    ray.init(address="local", num_cpus=cores(), include_dashboard=False, log_to_driver=False)
    space = {
        **SETTINGS,
        "lr": tune.loguniform(1e-4, 1e-1),
        "max_norm": tune.loguniform(1e-3, 1e1),
        "seed": 0,
    }
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        tune.Tuner(
            LSTMTrial,
            param_space=space,
            tune_config=tune.TuneConfig(num_samples=trials, reuse_actors=True),
            run_config=tune.RunConfig(storage_path=folder, callbacks=[Clock()], verbose=0),
        ).fit()
        ray.shutdown()
    return ends


def command(options: Options, folder: str, samples: Table) -> list[float]:
    """The real command; returns when each trial ended and adds memory and disk to ``samples`` on the way."""
    arguments = [
        "--input-length",
        "2",
        "--max-steps",
        "1",
        "--confirm",
        "0",
        "--no-dashboard",
        "--name",
        "trivial",
    ]
    arguments += ["--num-samples", str(options.trials), "--sampler", options.sampler]
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
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
                samples.add_row(
                    f"{len(ends):,}",
                    f"{pace:.3f}",
                    f"{memory(process.pid):.0f}",
                    f"{disk(folder):.1f}",
                )
    if process.wait():
        sys.exit(f"the command failed with status {process.returncode}")
    samples.add_row("at the end", "", "", f"{disk(folder):.1f}")
    return ends


def memory(pid: int) -> float:
    """MB of memory that a process has in use."""
    return (
        int(
            subprocess.run(
                ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=True
            ).stdout
        )
        / 1e3
    )


def disk(folder: str) -> float:
    """MB of all files in a folder."""
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) / 1e6


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(ends: list[float]) -> float:
    """Seconds from one trial's end to the next, over all cores."""
    return (ends[-1] - ends[STARTED - 1]) / (len(ends) - STARTED)


def main() -> None:
    options = read_arguments(Options)
    compared = min(options.trials, 100)
    samples = Table(
        "trials ended",
        "s a trial lately",
        "main process, MB",
        "run directory, MB",
        title="The command on its way",
    )
    processes = multiprocessing.get_context(
        "spawn"
    )  # each clean, and Ray's own is started and ended in one
    with processes.Pool(cores()) as pool:
        alone = sorted(
            end
            for ends in pool.map(work, [compared // cores() + STARTED] * cores())
            for end in ends
        )
    with processes.Pool(1) as pool:
        bare = pool.apply(bare_tuner, (compared,))
    with tempfile.TemporaryDirectory() as folder:
        ours = command(options, folder, samples)
    table = Table(
        "", "s a trial", "beyond its work", "× bare", title=f"Trivial trials on {cores()} cores"
    )
    for name, ends in (
        ("the work alone", alone),
        ("bare Ray Tune", bare),
        (f"tune_lstm.py, {options.sampler}", ours),
    ):
        table.add_row(
            name,
            f"{each(ends):.3f}",
            f"{each(ends) - each(alone):.3f}",
            f"{each(ends) / each(bare):.2f}",
        )
    Console().print(table, samples)


if __name__ == "__main__":
    run_script(main)
