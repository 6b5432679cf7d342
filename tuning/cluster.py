"""Ray for one search: started on this machine alone or reached by its address, and how many trials it has room for.

What can be refused is refused before anything starts. A Ray that this search starts is its own: loopback only, with
Ray's token authentication, its workers at normal priority (Ray's own default, niceness 15, starves them beside any other
busy process) and no usage statistics sent.
"""

import logging
import os
import re
import socket
from dataclasses import dataclass

import ray
from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

from command_line import BadOptions
from tuning.options import SearchOptions
from tuning.ray_processes import ray_processes, signals_kept


@dataclass(frozen=True)
class Cluster:
    """Where the trials run.

    Attributes:
        slots: Trials that run at the same time.
        trial_resources: What Ray reserves for one trial.
        alone: What Ray reserves for a trial that runs with no other beside it: on this machine, what all slots have.
        dashboard: Its address, or None.
        notice: One line the user should read, or None.
    """

    slots: int
    trial_resources: dict[str, float]
    alone: dict[str, float]
    dashboard: str | None
    description: str
    notice: str | None


def check_machine(options: SearchOptions) -> None:
    """Refuse what this machine's own Ray could never run, and an address where nothing answers (Ray tries for minutes).

    Raises BadOptions.
    """
    cores, address = _cores(), _address(options)
    if address is not None and re.fullmatch(r"[^/]+:\d+", address):
        host, port = address.rsplit(":", 1)
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except (OSError, OverflowError) as error:
            raise BadOptions(f"no Ray cluster can be joined at {address}: {error}") from None
    if address is None and options.cpus_per_trial > cores:
        raise BadOptions(f"--cpus-per-trial {options.cpus_per_trial:g} is more than this machine's {cores} cores")


def connect(options: SearchOptions) -> Cluster:
    """Start Ray here, or join the cluster at ``--address`` (or at RAY_ADDRESS, which ``ray job submit`` sets).

    Raises BadOptions where no node can ever run a trial, or where nothing answers at the address.
    """
    os.environ.update(
        RAY_DEDUP_LOGS="0",
        RAY_worker_niceness="0",
        RAY_USAGE_STATS_ENABLED="0",
    )
    logging.getLogger("ray").setLevel(logging.ERROR)
    address = _address(options)
    if address is None:
        with ray_processes.starting():
            context = ray.init(
                address="local",
                num_cpus=min(_cores(), _most_cores(options)),
                include_dashboard=not options.no_dashboard,
                dashboard_host="127.0.0.1",
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    else:
        # `ray start` asks for the token of ~/.ray where there is one; ray.init sends it only where RAY_AUTH_MODE says so.
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
        try:
            with signals_kept():
                context = ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            ray_processes.joined()
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise BadOptions(f"no Ray cluster can be joined at {address}: {reason}") from None
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus, notice = options.gpus_per_trial, None
    if gpus and address is None and not any(node.get("GPU") for node in nodes):
        gpus, notice = 0.0, "this machine has no GPU that Ray sees: searching on CPUs"
    request = {"CPU": options.cpus_per_trial, **({"GPU": gpus} if gpus else {})}
    room = sum(room_on(node, request) for node in nodes)
    if room == 0:
        raise BadOptions(f"no node of the cluster can run a trial that needs {_words(request)}")
    if options.scheduler == "pbt" and 0 < options.max_concurrent < room:
        raise BadOptions(
            f"--scheduler pbt runs as many trials as there is room for, here {room}: leave out --max-concurrent"
            f" {options.max_concurrent}, or ask for more --cpus-per-trial"
        )
    slots = min(room, options.max_concurrent or room)
    where = "this machine" if address is None else f"{len(nodes)} node{'s' * (len(nodes) > 1)} at {address}"
    return Cluster(
        slots=slots,
        trial_resources=request,
        alone=request if address else _together(request, slots),
        dashboard=f"http://{context.dashboard_url}" if context.dashboard_url else None,
        description=f"{where}, {_words(request)} a trial",
        notice=notice,
    )


def room_on(node: dict[str, float], request: dict[str, float]) -> int:
    """Trials that fit on one node. A fraction of a GPU never spans two: 0.4 gives two trials a GPU, not five on two."""
    room = int(node.get("CPU", 0) / request["CPU"] + 1e-9)
    gpu = request.get("GPU", 0)
    if gpu:
        gpus = int(node.get("GPU", 0))
        room = min(room, gpus * int(1 / gpu + 1e-9) if gpu <= 1 else int(gpus / gpu))
    return room


def _together(request: dict[str, float], slots: int) -> dict[str, float]:
    """The requests of all slots in one, for a process that can use many cores but a single GPU."""
    return {
        name: amount * slots if name == "CPU" else max(amount, min(1.0, amount * slots)) for name, amount in request.items()
    }


def _address(options: SearchOptions) -> str | None:
    return options.address or os.environ.get("RAY_ADDRESS")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _most_cores(options: SearchOptions) -> int:
    """How many cores Ray is to know of: Tune runs what it has room for of a population, whatever may run at once."""
    held_back = options.scheduler == "pbt" and options.max_concurrent
    return max(1, int(options.max_concurrent * options.cpus_per_trial)) if held_back else _cores()


def _words(request: dict[str, float]) -> str:
    return " and ".join(f"{amount:g} {name}" for name, amount in request.items())
