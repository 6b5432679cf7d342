"""Ray for one search: started on this machine alone or reached by its address, and how many trials
it has room for.

Whatever can be known to fail is refused before anything starts. A Ray that this search starts is
for this search only: all its ports are on the loopback address, and Ray's token authentication is
on. Its workers have normal priority, since Ray's default, niceness 15, starves them on a machine
with any other busy process. No usage statistics are sent.
"""

import contextlib
import logging
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ray
from ray._private import ray_constants
from ray._private.authentication.authentication_token_setup import (
    maybe_enable_token_auth_if_token_available,
)

from command_line import UsageError
from tuning.engine.address import address_of
from tuning.engine.ray_processes import ray_processes, signals_kept
from tuning.engine.room import room_on
from tuning.folders import make_own, ray_folder, token_file
from tuning.machine import usable_cores
from tuning.options import SearchOptions

START_TIMEOUT_S = 180
"""How long Ray may take to start on this machine: seconds are usual, a minute on a busy one."""


@dataclass(frozen=True)
class Cluster:
    """Where the trials run.

    Attributes:
        slots: Trials that run at the same time.
        trial_resources: What Ray reserves for one trial.
        alone: What Ray reserves for a trial that runs with no other beside it: on this machine,
            what all slots have.
        dashboard: Its address, or None.
        notice: One line the user should read, or None.
        joined: Whether it ran already, perhaps on other machines.
    """

    slots: int
    trial_resources: dict[str, float]
    alone: dict[str, float]
    dashboard: str | None
    description: str
    notice: str | None
    joined: bool = False


def connect(options: SearchOptions) -> Cluster:
    """Start Ray here, or join the cluster at ``--address`` (or at RAY_ADDRESS, which ``ray job
    submit`` sets).

    Raises UsageError if Ray does not start, if nothing answers at the address, or if no node can
    ever run a trial.
    """
    os.environ.update(
        RAY_DEDUP_LOGS="0",
        RAY_worker_niceness="0",
        RAY_USAGE_STATS_ENABLED="0",
    )
    place, cores = address_of(options), usable_cores()
    notice = None
    if place is None:
        context, notice = _start(options, cores.usable)
    else:
        context = _join(*place)
    logging.getLogger("ray").setLevel(logging.ERROR)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = options.gpus_per_trial
    if gpus and place is None and not any(node.get("GPU") for node in nodes):
        gpus, notice = 0.0, "this machine has no GPU that Ray sees: searching on CPUs"
    request = {"CPU": options.cpus_per_trial, **({"GPU": gpus} if gpus else {})}
    room = sum(room_on(node, request) for node in nodes)
    if room == 0:
        raise UsageError(f"no node of the cluster can run a trial that needs {_words(request)}")
    if options.synchronous and 0 < options.max_concurrent < room:
        raise UsageError(
            f"--scheduler pbt runs as many trials as there is room for, here {room}: leave out --max-concurrent"
            f" {options.max_concurrent}, or ask for more --cpus-per-trial"
        )
    slots = min(room, options.max_concurrent or room)
    if place:
        where = f"{len(nodes)} node{'s' * (len(nodes) > 1)} at {place[1]}"
    else:
        where = "this machine" + (f" ({cores})" if cores.usable < cores.present else "")
    return Cluster(
        slots=slots,
        trial_resources=request,
        alone=request if place else _together(request, slots),
        dashboard=f"http://{context.dashboard_url}" if context.dashboard_url else None,
        description=f"{where}, {_words(request)} a trial",
        notice=notice,
        joined=place is not None,
    )


def _start(options: SearchOptions, cores: int) -> tuple[Any, str | None]:
    """Ray on this machine alone, with a note if its token is not where ``ray get-auth-token`` looks."""
    folder, note = ray_folder(), None
    if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        token = token_file()
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)
        if token.parent.name != ".ray":
            note = f"nothing can be written in ~/.ray: the dashboard's token is in {token}"
    if not folder.parent.exists():
        make_own(folder.parent)
    os.environ["TMPDIR"] = str(folder.parent)  # where Ray's dashboard has sockets of its own
    try:
        with _within(START_TIMEOUT_S), _on_loopback(), ray_processes.starting():
            context = ray.init(
                address="local",
                num_cpus=min(cores, _most_cores(options, cores)),
                include_dashboard=not options.no_dashboard,
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
    return context, note


def _join(source: str, address: str) -> Any:
    """The Ray that runs at ``address`` already."""
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    # `ray start` asks for the token of ~/.ray where there is one; ray.init sends it only where
    # RAY_AUTH_MODE says so.
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    try:
        with signals_kept():
            context = ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
        ray_processes.joined()
        return context
    except Exception as error:
        hint = ". Does this machine have the cluster's token? See docs/cluster.md" * isinstance(
            error, ConnectionError
        )
        raise UsageError(
            f"{source} {address}: no Ray cluster can be joined there: {_cause(error)}{hint}"
        ) from None


def _cause(error: Exception) -> str:
    """An error of Ray's in one line: the whole of it, or the last error that is named in a log that it quotes."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [
        type(error).__name__
    ]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception): ", line)]
    return named[-1] if named else " ".join(lines)


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """All ports of the Ray that starts now are on 127.0.0.1, as Ray has it on Windows and macOS.

    By default it replaces 127.0.0.1 by an address of the network, where all its ports then listen.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextlib.contextmanager
def _within(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in what takes longer."""

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
    """The requests of all slots in one, for a process that can use many cores but a single GPU."""
    return {
        name: amount * slots if name == "CPU" else max(amount, min(1.0, amount * slots))
        for name, amount in request.items()
    }


def _most_cores(options: SearchOptions, cores: int) -> int:
    """CPUs to give Ray. Tune's population based training ignores how many trials may run at once, so the CPUs bound it."""
    held_back = options.synchronous and options.max_concurrent
    return max(1, int(options.max_concurrent * options.cpus_per_trial)) if held_back else cores


def _words(request: dict[str, float]) -> str:
    return " and ".join(f"{amount:g} {name}" for name, amount in request.items())
