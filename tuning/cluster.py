"""Ray for one search: started on this machine alone or reached by its address, and how many trials it has room for.

Whatever can be known to fail is refused before anything starts. A Ray that this search starts is for this search only:
all its ports are on the loopback address, and Ray's token authentication is on. Its workers have normal priority, since
Ray's default, niceness 15, starves them on a machine with any other busy process. No usage statistics are sent.
"""

import contextlib
import logging
import os
import re
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray._private import ray_constants, services
from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

from command_line import BadOptions
from tuning.experiment import Experiment
from tuning.machine import MB, check_folder, check_limits, free_memory, in_words, make_own, ray_folder, token_file, usable_cores
from tuning.options import SearchOptions
from tuning.ray_processes import ray_processes, signals_kept
from tuning.recorder import KEEP_CHECKPOINTS, KEEP_WEIGHTS

START_TIMEOUT_S = 180
"""How long Ray may take to start on this machine: seconds are usual, a minute on a busy one."""
WORKER_BYTES = 300 * MB
"""Memory that a worker process has to itself before it trains anything."""
RECORD_BYTES = 50 * MB
"""Disk that a run needs at least for its study, its records and its logs."""


@dataclass(frozen=True)
class Cluster:
    """Where the trials run.

    Attributes:
        slots: Trials that run at the same time.
        trial_resources: What Ray reserves for one trial.
        alone: What Ray reserves for a trial that runs with no other beside it: on this machine, what all slots have.
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


def check_machine(options: SearchOptions, experiment: Experiment) -> None:
    """Refuse what cannot run here, before anything starts: cores, memory, disk, limits of this user, an address.

    An address where nothing answers is refused here because Ray itself tries for minutes. Raises BadOptions.
    """
    place = _address(options)
    if place:
        _check_address(*place)
    cores = usable_cores()
    if not place and options.cpus_per_trial > cores.usable:
        raise BadOptions(
            f"--cpus-per-trial {options.cpus_per_trial:g} is more than this machine has ({cores}):"
            f" ask for {cores.usable} at most"
        )
    slots = 1 if place else _slots(options, cores.usable)
    demand = experiment.demand(experiment.largest_settings) if experiment.demand else None
    if demand and not place:
        _check_memory(options, experiment, slots)
    run = Path(options.storage_path).absolute() / (options.name or "")
    check_folder(run, RECORD_BYTES + (demand.checkpoint * (KEEP_WEIGHTS + KEEP_CHECKPOINTS * slots) if demand else 0))
    if not place:
        ray_folder()
        _check_given_token()
        check_limits(slots, dashboard=not options.no_dashboard)


def connect(options: SearchOptions) -> Cluster:
    """Start Ray here, or join the cluster at ``--address`` (or at RAY_ADDRESS, which ``ray job submit`` sets).

    Raises BadOptions if Ray does not start, if nothing answers at the address, or if no node can ever run a trial.
    """
    os.environ.update(
        RAY_DEDUP_LOGS="0",
        RAY_worker_niceness="0",
        RAY_USAGE_STATS_ENABLED="0",
    )
    place, cores = _address(options), usable_cores()
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
        raise BadOptions(f"no node of the cluster can run a trial that needs {_words(request)}")
    if options.scheduler == "pbt" and 0 < options.max_concurrent < room:
        raise BadOptions(
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
        raise BadOptions(f"Ray does not start on this machine: {_cause(error)} (its logs are in {logs})") from None
    return context, note


def _check_given_token() -> None:
    """Raise BadOptions if RAY_AUTH_TOKEN_PATH names no file with a token, for which Ray's processes die in silence."""
    file = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if file is None or "RAY_AUTH_TOKEN" in os.environ:
        return
    try:
        problem = None if Path(file).read_text(encoding="utf-8").strip() else "the file is empty"
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or "the file is no text"
    if problem:
        raise BadOptions(f"RAY_AUTH_TOKEN_PATH={file}: {problem}. Unset it, or make a token with ray get-auth-token --generate")


def _join(source: str, address: str) -> Any:
    """The Ray that runs at ``address`` already."""
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    # `ray start` asks for the token of ~/.ray where there is one; ray.init sends it only where RAY_AUTH_MODE says so.
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    try:
        with signals_kept():
            context = ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
        ray_processes.joined()
        return context
    except Exception as error:
        hint = ". Does this machine have the cluster's token? See docs/cluster.md" * isinstance(error, ConnectionError)
        raise BadOptions(f"{source} {address}: no Ray cluster can be joined there: {_cause(error)}{hint}") from None


def _cause(error: Exception) -> str:
    """An error of Ray's in one line: the whole of it, or the last error that is named in a log that it quotes."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
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


def _check_memory(options: SearchOptions, experiment: Experiment, slots: int) -> None:
    """Refuse trials that this machine's memory cannot hold, or the GPU's if they have a share of one."""
    if options.gpus_per_trial and torch.cuda.device_count():
        share = min(1.0, options.gpus_per_trial)
        check_memory(experiment, torch.cuda.get_device_properties(0).total_memory * share, f"{share:g} of a GPU")
    else:
        check_memory(experiment, free_memory(), "this machine", slots)


def check_memory(experiment: Experiment, free: float, where: str, slots: int = 0) -> None:
    """Raise BadOptions if trials with the largest settings need more memory than is ``free``, with the setting to lower.

    Args:
        slots: Trials that share a machine's memory, each in a worker process; 0 for one trial in the memory of its GPU.
    """
    if experiment.demand is None:
        return
    settings, demand = experiment.largest_settings, experiment.demand
    needed = demand(settings).memory
    together = (needed + WORKER_BYTES) * slots if slots else needed
    if together <= free:
        return
    numbers = [name for name, value in settings.items() if isinstance(value, int | float) and value > 1]
    weights = {name: demand({**settings, name: settings[name] / 2}).memory / needed for name in numbers}
    name = min(numbers, key=lambda name: (round(weights[name], 2), -settings[name]))
    setting = f"--set {name}" if name in {**experiment.space.parameters, **experiment.space.fixed} else _flag(name)
    trials, fewer = (f"{slots} trials at once need", ", or --max-concurrent") if slots > 1 else ("a trial needs", "")
    raise BadOptions(
        f"{trials} about {in_words(together)} of memory and {where} has {in_words(free)} free: lower {setting}"
        f" (at most {settings[name]:,.6g} now){fewer}"
    )


def _slots(options: SearchOptions, cores: int) -> int:
    """Trials that run at once on this machine, before Ray has been asked."""
    gpus = torch.cuda.device_count() if options.gpus_per_trial else 0
    request = {"CPU": options.cpus_per_trial, **({"GPU": options.gpus_per_trial} if gpus else {})}
    room = room_on({"CPU": cores, "GPU": gpus}, request)
    return max(1, min(room, options.max_concurrent or room, max(options.num_samples, options.confirm)))


def _address(options: SearchOptions) -> tuple[str, str] | None:
    """Where the search runs and what says so: --address or RAY_ADDRESS; None for this machine.

    "local" and nothing are this machine. "auto" is RAY_ADDRESS, or the cluster that ``ray start`` made on this machine: Ray
    itself would also join the private Ray of another search. Raises BadOptions if there is no such cluster.
    """
    given, environment = options.address or "", os.environ.get("RAY_ADDRESS", "").strip()
    source, address = ("RAY_ADDRESS", environment) if environment and given in ("", "auto") else ("--address", given)
    if address == "auto":
        cluster = services.find_bootstrap_address(None)
        if not cluster:
            raise BadOptions(
                f"{source} auto: no Ray cluster was started on this machine. Start one with ray start --head, give host:port,"
                f" or leave {source} out"
            )
        address = cluster
    return None if address in ("", "local") else (source, address)


def _check_address(source: str, address: str) -> None:
    """Raise BadOptions if ``address`` is none that a search can join, or if nothing answers there."""
    scheme, found, _ = address.partition("://")
    if found:
        hint = {
            "http": "that is a dashboard's address, which ray job submit takes",
            "https": "that is a dashboard's address, which ray job submit takes",
            "ray": "a search does not run through Ray Client",
        }.get(scheme.lower(), f"{scheme}:// is unknown")
        raise BadOptions(f"{source} {address}: {hint}. Give the host and port of the cluster itself, such as 10.0.0.1:6379")
    match = re.fullmatch(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[^\s:/\[\]]+)):(?P<port>[0-9]{1,5})", address)
    if not match or not 1 <= int(match["port"]) <= 65535:
        raise BadOptions(f"{source} takes host:port with a port from 1 to 65535, [IPv6]:port, auto or local, got {address}")
    try:
        with socket.create_connection((match["six"] or match["four"], int(match["port"])), timeout=5) as connection:
            speaks = _speaks_http2(connection)
    except (OSError, UnicodeError) as error:
        raise BadOptions(f"{source} {address}: no Ray cluster can be joined there: {error}") from None
    if not speaks and os.environ.get("RAY_USE_TLS", "0") == "0":
        raise BadOptions(f"{source} {address}: no Ray cluster can be joined there: another program listens at that port")


def _speaks_http2(connection: socket.socket) -> bool:
    """Whether an HTTP/2 server, as Ray's control store is one, answers: with a frame of settings (RFC 9113, 3.4 and 4.1).

    Ray itself would try for many minutes to join another program. Raises TimeoutError if nothing is answered.
    """
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    header = connection.recv(9, socket.MSG_WAITALL)
    return len(header) == 9 and header[3] == 4 and header[5:] == bytes(4)


def _most_cores(options: SearchOptions, cores: int) -> int:
    """CPUs to give Ray. Tune's population based training ignores how many trials may run at once, so the CPUs bound it."""
    held_back = options.scheduler == "pbt" and options.max_concurrent
    return max(1, int(options.max_concurrent * options.cpus_per_trial)) if held_back else cores


def _words(request: dict[str, float]) -> str:
    return " and ".join(f"{amount:g} {name}" for name, amount in request.items())


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
