"""Ray for one search: started on this machine alone, or joined by its address, and how many trials
it has room for.

A Ray that this search starts serves only this search: its ports are on the loopback address, and
token authentication is on. Its workers have normal priority: Ray's default, niceness 15, starves
them if any other process is busy. No usage statistics are sent.
"""

import contextlib
import logging
import math
import os
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray._private import ray_constants
from ray._private.authentication.authentication_token_setup import (
    AUTH_MODE_ENV_VAR,
    maybe_enable_token_auth_if_token_available,
)

from command_line import UsageError
from tuning.engine.address import NOT_JOINED, address_of
from tuning.engine.ray_processes import ray_processes, signals_kept
from tuning.engine.room import request_words, room_on
from tuning.engine.shipping import runtime_environment
from tuning.folders import make_own, ray_folder, token_file
from tuning.machine import usable_cores
from tuning.options import SearchOptions
from tuning.task import Task

START_TIMEOUT_S = 180
"""How long Ray may take to start here. It takes seconds, or a minute on a busy machine."""

RISK = (
    "this cluster asks for no token: whoever reaches its ports can run code on it (CVE-2023-48022)."
    " Close them to others, or protect it with a token: docs/cluster.md"
)

RAY_ENVIRONMENT = {
    "RAY_DEDUP_LOGS": "0",
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@dataclass(frozen=True)
class Cluster:
    """Where the trials run.

    Attributes:
        slots: How many trials run at the same time.
        trial_resources: What Ray reserves for one trial.
        alone: What it reserves for a trial that runs alone: on this machine, all slots.
        dashboard: The dashboard's address, or None.
        description: The place and a trial's resources, in words.
        notes: What the user should read, a line each.
        joined: Whether it ran already, perhaps on other machines.
    """

    slots: int
    trial_resources: dict[str, float]
    alone: dict[str, float]
    dashboard: str | None
    description: str
    notes: tuple[str, ...] = ()
    joined: bool = False


def connect(options: SearchOptions, task: Task) -> Cluster:
    """Start Ray here, or join the cluster at ``--address`` (or at RAY_ADDRESS, which ``ray job
    submit`` sets).

    Raises UsageError if Ray does not start, if nothing answers at the address, or if no node can
    ever run a trial.
    """
    os.environ.update(RAY_ENVIRONMENT)
    place, cores, notes = address_of(options), usable_cores(), list[str]()
    # Tune's population based training ignores how many trials may run at once.
    population = options.max_concurrent if options.synchronous else 0
    if place is None:
        cpus = _cpus_of(population, options.cpus_per_trial) if population else cores.usable
        if note := _token():
            notes.append(note)
        context = _start(min(cpus, cores.usable), dashboard=not options.no_dashboard)
    else:
        environment = runtime_environment(task, options.run_path().parent, options.pip)
        context = _join(*place, environment)
    logging.getLogger("ray").setLevel(logging.ERROR)
    alive = [node for node in ray.nodes() if node["Alive"]]
    nodes = [node["Resources"] for node in alive]
    notes += [RISK] if place and _open_to_others(alive) else []
    request = {"CPU": options.cpus_per_trial}
    if options.gpus_per_trial:
        if place or any(node.get("GPU") for node in nodes):
            request["GPU"] = options.gpus_per_trial
        else:
            notes.append("this machine has no GPU that Ray sees: searching on CPUs")
    slots = _slots(nodes, request, options.max_concurrent, bool(population))
    if place:
        where = f"{len(nodes)} node{'s' * (len(nodes) > 1)} at {place[1]}"
    else:
        where = f"this machine ({cores})" if cores.usable < cores.present else "this machine"
    return Cluster(
        slots,
        request,
        alone=request if place else _together(request, slots),
        dashboard=f"http://{context.dashboard_url}" if context.dashboard_url else None,
        description=f"{where}, {request_words(request)} a trial",
        notes=tuple(notes),
        joined=place is not None,
    )


def _open_to_others(nodes: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the cluster asks for no token, although others than this machine reach its ports."""
    here = all(node["NodeManagerAddress"].startswith("127.") for node in nodes)
    return not here and os.environ.get(AUTH_MODE_ENV_VAR) != "token"


def _cpus_of(population: int, each: float) -> int:
    """CPUs on which so many trials run at once, and no more: Ray has whole ones only."""
    return math.ceil(population * each) if each >= 1 else max(1, int(population * each))


def _slots(
    nodes: Sequence[Mapping[str, float]], request: dict[str, float], most: int, all_slots: bool
) -> int:
    """How many trials run at once: as many as the nodes hold, but at most ``most`` (0: no bound).

    Raises UsageError if no node can run a trial, or if the trials would use ``all_slots``.
    """
    room = sum(room_on(node, request) for node in nodes)
    if room == 0:
        raise UsageError(
            f"no node of the cluster can run a trial that needs {request_words(request)}"
        )
    if all_slots and most < room:
        raise UsageError(
            f"--scheduler pbt runs as many trials as there is room for, here {room}:"
            f" leave out --max-concurrent {most}, or ask for more --cpus-per-trial"
        )
    return min(room, most or room)


def _token() -> str | None:
    """Make the token of the Ray that starts here, unless the user has set one.

    Returns a note if it is not where ``ray get-auth-token`` looks.
    """
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        return None
    token = token_file()
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)
    if token.parent.name == ".ray":
        return None
    return f"nothing can be written in ~/.ray: the dashboard's token is in {token}"


def _start(cpus: int, *, dashboard: bool) -> Any:
    """Start Ray on this machine alone; returns its context."""
    folder = ray_folder()
    if not folder.parent.exists():
        make_own(folder.parent)
    os.environ["TMPDIR"] = str(folder.parent)  # where Ray's dashboard has sockets of its own
    try:
        with _within(START_TIMEOUT_S), _on_loopback(), ray_processes.starting():
            context = ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=dashboard,
                dashboard_host="127.0.0.1",
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                _node_ip_address="127.0.0.1",
                _temp_dir=str(folder),
            )
    except Exception as error:  # Ray raises what its first failed step happens to raise
        with contextlib.suppress(Exception):
            ray.shutdown()
        logs = folder / "session_latest" / "logs"
        raise UsageError(
            f"Ray does not start on this machine: {_cause(error)} (its logs are in {logs})"
        ) from None
    return context


def _join(source: str, address: str, environment: dict[str, Any]) -> Any:
    """Join the Ray that runs at ``address`` already, and send it the code; returns its context."""
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    # `ray start` always sends a token that is in ~/.ray; ray.init sends it only if RAY_AUTH_MODE
    # says so.
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    try:
        with signals_kept():
            context = ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                runtime_env=environment,
            )
        ray_processes.joined()
    except Exception as error:
        hint = ". Does this machine have the cluster's token? See docs/cluster.md"
        hint *= isinstance(error, ConnectionError)
        raise UsageError(f"{source} {address}: {NOT_JOINED}: {_cause(error)}{hint}") from None
    return context


def _cause(error: Exception) -> str:
    """An error of Ray's in one line: the last error that a log in it names, or else all of it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception): ", line)]
    return (named or [" ".join(lines)])[-1] or type(error).__name__


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """Keep all ports of the Ray that starts now on 127.0.0.1, as Ray does on Windows and macOS.

    Elsewhere Ray replaces 127.0.0.1 by an address of the network, and all its ports listen there.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextlib.contextmanager
def _within(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in the body if it takes longer."""

    def late(*_: object) -> None:
        raise TimeoutError(f"it was not ready within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _together(request: dict[str, float], slots: int) -> dict[str, float]:
    """The resources of all slots for one process, which can use many cores but only one GPU."""
    return {
        name: amount * slots if name == "CPU" else max(amount, min(1.0, amount * slots))
        for name, amount in request.items()
    }
