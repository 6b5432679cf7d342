"""The checks before a search starts: its space, its address, and the machine's cores, memory, disk
and limits.

What would fail later is refused here, before Ray starts.
"""

import os
from pathlib import Path

import torch
from rich.filesize import decimal

from command_line import UsageError
from records.checks.ablation import HAND_TUNED
from records.places import is_uri
from tuning.ablation import hand_tuned
from tuning.engine.address import address_of, check_address
from tuning.engine.recorder import KEEP_CHECKPOINTS, KEEP_WEIGHTS
from tuning.engine.room import room_on
from tuning.folders import MB, OTHER_STORAGE, check_folder, ray_folder
from tuning.machine import check_limits, free_memory, usable_cores
from tuning.options import SearchOptions
from tuning.task import Task

WORKER_BYTES = 300 * MB
"""Memory that a worker process needs for itself before it trains anything."""
OTHER_CACHE = "set XDG_CACHE_HOME to another folder"
RECORD_BYTES = 50 * MB
"""Disk space that the study, the records and the logs of a run need at least."""


def check_space(options: SearchOptions, task: Task) -> None:
    """Raise UsageError if the space has nothing that a mode of the search works on."""
    if options.synchronous and not task.space.mutable:
        raise UsageError(
            "--scheduler pbt changes settings during a training, and this space has none that may"
            " change (mutable): take asha, hyperband or none"
        )
    if options.ablation and not hand_tuned(task.space):
        raise UsageError(
            "--ablation starts from the hand-tuned settings, and this space has no baseline whose"
            f" name begins with {HAND_TUNED}: leave it out"
        )


def check_machine(options: SearchOptions, task: Task) -> None:
    """Raise UsageError if the search cannot run on this machine, or if nothing answers at its
    address. Ray itself would try an address for minutes."""
    place = None if options.in_process else address_of(options)
    if place:
        check_address(*place)
    elif options.pip:
        raise UsageError("--pip is for the nodes of a cluster: give its --address, or leave it out")
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
    kept = max(KEEP_WEIGHTS, options.finalists) + len(task.space.baselines)
    stored = kept + KEEP_CHECKPOINTS * slots
    checkpoints = demand.checkpoint * stored * options.seeds_per_trial if demand else 0
    remedy = OTHER_CACHE if is_uri(options.storage_path) else OTHER_STORAGE
    check_folder(options.run_path(), RECORD_BYTES + checkpoints, remedy)
    if not place and not options.in_process:
        ray_folder()
        _check_given_token()
        check_limits(slots, dashboard=not options.no_dashboard)


def _check_given_token() -> None:
    """Raise UsageError if RAY_AUTH_TOKEN_PATH is set and its file holds no token. Ray's processes
    would end without a message."""
    file = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if file is None or "RAY_AUTH_TOKEN" in os.environ:
        return
    try:
        problem = None if Path(file).read_text(encoding="utf-8").strip() else "the file is empty"
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or "the file is not text"
    if problem:
        raise UsageError(
            f"RAY_AUTH_TOKEN_PATH={file}: {problem}. Unset the variable, or make a token with"
            " ray get-auth-token --generate"
        )


def _check_memory(options: SearchOptions, task: Task, slots: int) -> None:
    """Raise UsageError if the trials do not fit in the memory of their GPU, or of this machine if
    they have no GPU."""
    if options.gpus_per_trial and torch.cuda.device_count():
        fraction = min(1.0, options.gpus_per_trial)
        memory = torch.cuda.get_device_properties(0).total_memory * fraction
        check_memory(task, memory, f"{fraction:g} of a GPU", seeds=options.seeds_per_trial)
    else:
        check_memory(task, free_memory(), "this machine", slots, options.seeds_per_trial)


def check_memory(task: Task, free: float, where: str, slots: int = 0, seeds: int = 1) -> None:
    """Raise UsageError if trials with the largest settings need more than ``free`` bytes of memory.
    The message names the setting to lower.

    Args:
        where: The owner of that memory, for the message.
        slots: Trials that share a machine's memory, each in its own worker process; 0 for one trial
            in the memory of its GPU.
        seeds: Networks that each trial trains.
    """
    if task.demand is None:
        return
    settings, demand = task.largest_settings, task.demand
    needed = demand(settings).memory * seeds
    together = (needed + WORKER_BYTES) * slots if slots else needed
    if together <= free:
        return

    def rest(name: str) -> tuple[float, float]:
        """The fraction of memory that is needed with half of a setting; then the larger first."""
        half = demand({**settings, name: settings[name] / 2}).memory * seeds
        return round(half / needed, 2), -settings[name]

    numbers = (n for n, value in settings.items() if isinstance(value, int | float) and value > 1)
    name = min(numbers, key=rest)
    settable = name in {**task.space.parameters, **task.space.fixed}
    setting = f"--set {name}" if settable else f"--{name.replace('_', '-')}"
    trials = f"{slots} trials at once need" if slots > 1 else "a trial needs"
    raise UsageError(
        f"{trials} about {decimal(int(together))} of memory and {where} has {decimal(int(free))}"
        f" free: lower {setting} (now up to {settings[name]:,.6g})"
        + (", or --seeds-per-trial" if seeds > 1 else "")
        + (", or --max-concurrent" if slots > 1 else "")
    )


def _slots(options: SearchOptions, cores: int) -> int:
    """Trials that will run at once on this machine, computed before Ray starts."""
    gpus = torch.cuda.device_count() if options.gpus_per_trial else 0
    request = {"CPU": options.cpus_per_trial, **({"GPU": options.gpus_per_trial} if gpus else {})}
    room = room_on({"CPU": cores, "GPU": gpus}, request)
    wanted = max(options.num_samples, options.confirm)
    return max(1, min(room, options.max_concurrent or room, wanted))
