"""``--probe-gpu``: how many trials should share a GPU, measured instead of guessed.

The settings of the first baseline are trained by 1, 2, 4 and 8 processes at once on one GPU. More
trials are worth it as long as all of them together take clearly more training steps per second, and
as long as even the largest settings fit in each one's part of the memory. Nothing is searched, and
no run directory is made.
"""

import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from command_line import UsageError, exit_usage_error, hide_arguments
from records.places import from_here
from search_spaces.sobol import design_point
from tuning.engine.address import address_of
from tuning.engine.cluster import connect
from tuning.engine.failure import out_of_gpu_memory
from tuning.engine.probe import (
    LEVELS,
    Level,
    device_words,
    gpu_nodes,
    measure,
    most_trials,
    reserved,
)
from tuning.engine.ray_processes import ray_processes
from tuning.engine.tuner import set_up_libraries, with_shared_data
from tuning.interruption import FAILED, early_exit
from tuning.machine import usable_cores
from tuning.options import SearchOptions
from tuning.preflight import check_machine, check_memory
from tuning.task import Task
from tuning.trouble import Trouble, failure_line, words
from tuning.words import settings_words

WORTH = 1.10
"""Twice as many trials are worth it if all together take at least 10% more steps per second."""


def probe(options: SearchOptions, task: Task, *, gpu: bool = True) -> int:
    """Measure, and print the table and the fraction of a GPU that a trial should have.

    Without ``gpu``, the trials train on CPU cores. Returns the exit status; the process ends with
    status 2 if no GPU can be used.
    """
    set_up_libraries()
    options = replace(options, gpus_per_trial=float(gpu), max_concurrent=0, no_dashboard=True)
    with tempfile.TemporaryDirectory(prefix="probe-") as folder:
        early_exit.last_words = partial(_last_words, folder)
        early_exit.lost = ray_processes.lost
        try:
            _check(options, task, gpu)
            _probe(options, task, Path(folder), gpu)
        except UsageError as error:
            exit_usage_error(str(error))
        except Trouble as error:
            print(failure_line(words(error)), file=sys.stderr, flush=True)
            return FAILED
        finally:
            ray_processes.shut_down()
    return 0


def _last_words(folder: str, lost: str | None) -> str:
    shutil.rmtree(folder, ignore_errors=True)
    ray_processes.kill()
    return failure_line(lost) if lost else "interrupted: start again with the same command"


def _check(options: SearchOptions, task: Task, gpu: bool) -> None:
    """Raise UsageError before Ray starts if this machine, or the address, cannot be probed."""
    if gpu and not address_of(options) and not torch.cuda.is_available():
        raise UsageError(
            f"--probe-gpu needs a GPU, and torch {torch.__version__} finds none on this machine:"
            " probe where there is one, or join a cluster that has one with --address"
        )
    check_machine(options, task)


def _probe(options: SearchOptions, task: Task, folder: Path, gpu: bool) -> None:
    def say(line: str) -> None:
        if not options.quiet:
            print(line, file=sys.stderr, flush=True)

    shared = task.prepare(say, folder).shared if task.prepare else None
    connect(replace(options, gpus_per_trial=0.0), task)
    cpus = options.cpus_per_trial
    most = most_trials(gpu_nodes(), cpus) if gpu else int(usable_cores().usable / cpus)
    if not most:
        raise UsageError(
            f"--probe-gpu needs a node with a GPU and {cpus:g} CPU for each trial, and Ray sees"
            " none: join a cluster that has one, or search with --gpus-per-trial 0"
        )
    counts = [count for count in LEVELS if count <= most]
    configs, origin = configs_of(options, task)
    trainable = with_shared_data(task.trainable, shared, in_ray=True)
    with reserved(counts[-1] * cpus, gpu=gpu) as group:
        print(f"device     {device_words(group)}")
        print(f"trained    {origin}: {settings_words(task.space.varied(configs[0]))}")
        levels: list[Level] = []
        for count in counts:
            say(f"training {count} at once")
            levels.append(measure(group, count, cpus, trainable, configs))
            if not levels[-1].memory:
                break
    _print_result(options, task, levels, configs[0])


def configs_of(options: SearchOptions, task: Task) -> tuple[list[dict[str, Any]], str]:
    """The configs of the trial that is trained, one for each of its seeds, and whose settings they
    have: those of the first baseline, or of the design's first point if there is no baseline."""
    space = task.space
    for name, values in space.baselines.items():
        settings, origin = {**values, "baseline": name}, f"the settings of “{name}”"
        break
    else:
        settings, origin = design_point(space, options.seed, 0), "the first point of the design"
    config = {**settings, **space.fixed, **task.settings, "trial": 0}
    seeds = range(options.seed, options.seed + options.seeds_per_trial)
    return [{**config, "seed": seed} for seed in seeds], origin


def room_each(level: Level) -> float:
    """Bytes that each trial of a level can have: the device's memory without CUDA contexts and what
    other programs use, in equal parts."""
    used, total = max(one.used for one in level.memory), level.memory[0].total
    others = max(0, used - sum(one.held for one in level.memory))
    return (total - others) / level.trials


def fits(level: Level, needed: float) -> bool:
    """Whether every trial of a level had the memory that it held, and would have the ``needed``
    bytes of the largest settings."""
    return bool(level.memory) and (
        max(needed, *(one.held for one in level.memory)) <= room_each(level)
    )


def recommended(levels: Sequence[Level], needed: float = 0.0) -> Level | None:
    """The last of ``levels``, in order, up to which each fits in memory and takes at least
    ``WORTH`` times the steps per second of the level before. None if the first does not fit."""
    best = None
    for level in levels:
        if not fits(level, needed) or (best and level.steps_per_s / best.steps_per_s < WORTH):
            break
        best = level
    return best


def _print_result(
    options: SearchOptions, task: Task, levels: Sequence[Level], config: dict[str, Any]
) -> None:
    """Print the table and the recommendation. Raises UsageError if not even one trial fits."""
    needed = 0.0
    if task.demand:
        needed = task.demand(task.largest_settings).memory * options.seeds_per_trial
    Console(highlight=False).print(table(levels))
    if needed:
        print(f"largest    settings of this space need about {decimal(int(needed))} a trial")
    best = recommended(levels, needed)
    if best is None:
        if levels[0].memory:
            check_memory(task, room_each(levels[0]), "the GPU", seeds=options.seeds_per_trial)
        raise UsageError(f"one trial alone: {out_of_gpu_memory(config, 1)}")
    for line in reasons(levels, best, needed):
        print(f"           {line}")
    print(f"recommend  --gpus-per-trial {1 / best.trials:g}")
    print(f"next       {search_command(1 / best.trials, sys.argv[1:])}")


def reasons(levels: Sequence[Level], best: Level, needed: float) -> Iterator[str]:
    """Why ``best`` and no more trials, in one line or two."""
    if best is not levels[0]:
        gain = best.steps_per_s / levels[0].steps_per_s
        yield f"{best.trials} trials on a GPU take {gain:.1f} times as many steps as 1"
    more = levels[levels.index(best) + 1 :]
    if more and not more[0].memory:
        yield f"{more[0].trials} trials run out of its memory"
    elif more and not fits(more[0], needed):
        yield f"{more[0].trials} trials with the largest settings do not fit in its memory"
    elif more:
        gain = more[0].steps_per_s / best.steps_per_s - 1
        yield f"{more[0].trials} trials change that by {gain:+.0%}: less than +{WORTH - 1:.0%}"
    elif best.trials < LEVELS[-1]:
        yield "there are no CPU cores for more trials: a lower --cpus-per-trial makes room"


def table(levels: Sequence[Level]) -> Table:
    """A row for each number of trials: steps per second, and memory in decimal units."""
    made = Table(box=None, pad_edge=False)
    for title in ("trials a GPU", "steps/s in all", "steps/s each", "memory each", "memory used"):
        made.add_column(title, justify="right")
    for level in levels:
        if not level.memory:
            made.add_row(str(level.trials), "—", "—", "too little", "—")
            continue
        held, used = (max(getattr(one, name) for one in level.memory) for name in ("held", "used"))
        made.add_row(
            str(level.trials),
            rate_words(level.steps_per_s),
            rate_words(level.steps_per_s / level.trials),
            decimal(held),
            f"{decimal(used)} of {decimal(level.memory[0].total)}",
        )
    return made


def rate_words(rate: float) -> str:
    """Steps per second, with a decimal below 100."""
    return f"{rate:,.1f}" if rate < 100 else f"{rate:,.0f}"


def search_command(fraction: float, arguments: Sequence[str]) -> str:
    """The command of a search with these arguments in which each trial has that fraction."""
    kept, dropped = list[str](), False
    for word in hide_arguments(arguments):
        if word.startswith("--"):
            name = word.partition("=")[0].replace("_", "-")
            dropped = name in ("--probe-gpu", "--gpus-per-trial")
        if not dropped:
            kept.append(word)
    script = from_here(sys.argv[0])
    return shlex.join(["python", script, *kept, "--gpus-per-trial", f"{fraction:g}"])
