"""What can be known to fail is refused here, before Ray or a trial starts: cores, memory, disk, limits, an address."""

import os
import re
import socket
from pathlib import Path

import torch
from ray._private import services

from command_line import UsageError
from tuning.engine.recorder import KEEP_CHECKPOINTS, KEEP_WEIGHTS
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
        _check_address(*place)
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


def address_of(options: SearchOptions) -> tuple[str, str] | None:
    """Where the search runs and what says so: --address or RAY_ADDRESS; None for this machine.

    "local" and nothing are this machine. "auto" is RAY_ADDRESS, or the cluster that ``ray start``
    made on this machine: Ray itself would also join the private Ray of another search. Raises
    UsageError if there is no such cluster.
    """
    given, environment = options.address or "", os.environ.get("RAY_ADDRESS", "").strip()
    source, address = (
        ("RAY_ADDRESS", environment)
        if environment and given in ("", "auto")
        else ("--address", given)
    )
    if address == "auto":
        cluster = services.find_bootstrap_address(None)
        if not cluster:
            raise UsageError(
                f"{source} auto: no Ray cluster was started on this machine. Start one with ray start --head, give host:port,"
                f" or leave {source} out"
            )
        address = cluster
    return None if address in ("", "local") else (source, address)


def _check_address(source: str, address: str) -> None:
    """Raise UsageError if ``address`` is none that a search can join, or if nothing answers there."""
    scheme, found, _ = address.partition("://")
    if found:
        hint = {
            "http": "that is a dashboard's address, which ray job submit takes",
            "https": "that is a dashboard's address, which ray job submit takes",
            "ray": "a search does not run through Ray Client",
        }.get(scheme.lower(), f"{scheme}:// is unknown")
        raise UsageError(
            f"{source} {address}: {hint}. Give the host and port of the cluster itself, such as 10.0.0.1:6379"
        )
    match = re.fullmatch(
        r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[^\s:/\[\]]+)):(?P<port>[0-9]{1,5})", address
    )
    if not match or not 1 <= int(match["port"]) <= 65535:
        raise UsageError(
            f"{source} takes host:port with a port from 1 to 65535, [IPv6]:port, auto or local, got {address}"
        )
    try:
        with socket.create_connection(
            (match["six"] or match["four"], int(match["port"])), timeout=5
        ) as connection:
            speaks = _speaks_http2(connection)
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"{source} {address}: no Ray cluster can be joined there: {error}"
        ) from None
    if not speaks and os.environ.get("RAY_USE_TLS", "0") == "0":
        raise UsageError(
            f"{source} {address}: no Ray cluster can be joined there: another program listens at that port"
        )


def _speaks_http2(connection: socket.socket) -> bool:
    """Whether an HTTP/2 server, as Ray's control store is one, answers: with a frame of settings
    (RFC 9113, 3.4 and 4.1).

    Ray itself would try for many minutes to join another program. Raises TimeoutError if nothing is
    answered.
    """
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    header = connection.recv(9, socket.MSG_WAITALL)
    return len(header) == 9 and header[3] == 4 and header[5:] == bytes(4)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def room_on(node: dict[str, float], request: dict[str, float]) -> int:
    """Trials that fit on one node. A fraction of a GPU never spans two: 0.4 gives two trials a GPU, not five on two."""
    room = int(node.get("CPU", 0) / request["CPU"] + 1e-9)
    gpu = request.get("GPU", 0)
    if gpu:
        gpus = int(node.get("GPU", 0))
        room = min(room, gpus * int(1 / gpu + 1e-9) if gpu <= 1 else int(gpus / gpu))
    return room
