"""What can be known to fail is refused here, before Ray or a trial starts: cores, memory, disk, limits, an address."""

import os
from pathlib import Path

import torch

from command_line import UsageError
from tuning.engine.address import address_of, check_address
from tuning.engine.recorder import KEEP_CHECKPOINTS, KEEP_WEIGHTS
from tuning.engine.room import room_on
from tuning.machine import (
    MB,
    check_folder,
    check_limits,
    free_memory,
    in_words,
    ray_folder,
    usable_cores,
)
from tuning.options import SearchOptions
from tuning.task import Task

WORKER_BYTES = 300 * MB
"""Memory that a worker process has to itself before it trains anything."""
RECORD_BYTES = 50 * MB
"""Disk that a run needs at least for its study, its records and its logs."""


def check_machine(options: SearchOptions, task: Task) -> None:
    """Refuse what cannot run here, before anything starts: cores, memory, disk, limits of this
    user, an address.

    An address where nothing answers is refused here because Ray itself tries for minutes. Raises
    UsageError.
    """
    place = address_of(options)
    if place:
        check_address(*place)
    cores = usable_cores()
    if not place and options.cpus_per_trial > cores.usable:
        raise UsageError(
            f"--cpus-per-trial {options.cpus_per_trial:g} is more than this machine has ({cores}):"
            f" ask for {cores.usable} at most"
        )
    slots = 1 if place else _slots(options, cores.usable)
    demand = task.demand(task.largest_settings) if task.demand else None
    if demand and not place:
        _check_memory(options, task, slots)
    check_folder(
        options.run_path(),
        RECORD_BYTES
        + (demand.checkpoint * (KEEP_WEIGHTS + KEEP_CHECKPOINTS * slots) if demand else 0),
    )
    if not place:
        ray_folder()
        _check_given_token()
        check_limits(slots, dashboard=not options.no_dashboard)


def _check_given_token() -> None:
    """Raise UsageError if RAY_AUTH_TOKEN_PATH names no file with a token, for which Ray's processes die in silence."""
    file = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if file is None or "RAY_AUTH_TOKEN" in os.environ:
        return
    try:
        problem = None if Path(file).read_text(encoding="utf-8").strip() else "the file is empty"
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or "the file is no text"
    if problem:
        raise UsageError(
            f"RAY_AUTH_TOKEN_PATH={file}: {problem}. Unset it, or make a token with ray get-auth-token --generate"
        )


def _check_memory(options: SearchOptions, task: Task, slots: int) -> None:
    """Refuse trials that this machine's memory cannot hold, or the GPU's if they have a share of one."""
    if options.gpus_per_trial and torch.cuda.device_count():
        share = min(1.0, options.gpus_per_trial)
        check_memory(
            task, torch.cuda.get_device_properties(0).total_memory * share, f"{share:g} of a GPU"
        )
    else:
        check_memory(task, free_memory(), "this machine", slots)


def check_memory(task: Task, free: float, where: str, slots: int = 0) -> None:
    """Raise UsageError if trials with the largest settings need more memory than is ``free``, with
    the setting to lower.

    Args:
        slots: Trials that share a machine's memory, each in a worker process; 0 for one trial in
            the memory of its GPU.
    """
    if task.demand is None:
        return
    settings, demand = task.largest_settings, task.demand
    needed = demand(settings).memory
    together = (needed + WORKER_BYTES) * slots if slots else needed
    if together <= free:
        return
    numbers = [
        name for name, value in settings.items() if isinstance(value, int | float) and value > 1
    ]
    weights = {
        name: demand({**settings, name: settings[name] / 2}).memory / needed for name in numbers
    }
    name = min(numbers, key=lambda name: (round(weights[name], 2), -settings[name]))
    setting = (
        f"--set {name}" if name in {**task.space.parameters, **task.space.fixed} else _flag(name)
    )
    trials, fewer = (
        (f"{slots} trials at once need", ", or --max-concurrent")
        if slots > 1
        else ("a trial needs", "")
    )
    raise UsageError(
        f"{trials} about {in_words(together)} of memory and {where} has {in_words(free)} free: lower {setting}"
        f" (at most {settings[name]:,.6g} now){fewer}"
    )


def _slots(options: SearchOptions, cores: int) -> int:
    """Trials that run at once on this machine, before Ray has been asked."""
    gpus = torch.cuda.device_count() if options.gpus_per_trial else 0
    request = {"CPU": options.cpus_per_trial, **({"GPU": options.gpus_per_trial} if gpus else {})}
    room = room_on({"CPU": cores, "GPU": gpus}, request)
    return max(
        1, min(room, options.max_concurrent or room, max(options.num_samples, options.confirm))
    )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
