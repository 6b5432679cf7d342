"""For ``--probe-gpu``: trials that train together on one GPU, each in its own process, measured.

The processes are what Ray gives a search with ``--gpus-per-trial`` 1/k: k workers with that share
of one GPU and its bound on memory. One placement group reserves the GPU, and the CPU cores of the
largest k, on one node for the whole measurement. Without ``gpu`` the same workers train on CPU
cores.
"""

import contextlib
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import ray
import torch
from ray import cloudpickle
from ray.exceptions import RayError, RayTaskError
from ray.tune.trainable import trainable as ray_trainable
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from command_line import UsageError
from trainables.device import assigned_device
from trainables.resumable import ResumableTrainable
from tuning.engine.failure import OUT_OF_GPU_MEMORY
from tuning.engine.room import request_words
from tuning.trouble import Trouble

LEVELS = (1, 2, 4, 8)
"""Numbers of trials that train at once on the GPU."""

WARM_UP_STEPS = 20
"""Training steps, with an evaluation after them, before anything is timed."""

WINDOW_S = 2.0
WINDOWS, MOST_WINDOWS = 3, 10
STEADY = 0.05
"""Steps are counted in windows of 2 seconds, until the last three differ by 5% at most, or for ten
windows."""

RESERVED_WITHIN_S = 60.0
"""How long other jobs of a cluster may keep the GPU."""


# What runs on nodes is sent by value: they lack Optuna, which this module imports.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Memory(NamedTuple):
    """Bytes of memory on a trial's device.

    ``held``: the most that torch has reserved in the trial's process. ``used``: what all processes
    use, with their CUDA contexts. ``total``: what the device has. On a CPU, ``held`` is the largest
    resident set of the process.
    """

    held: int
    used: int
    total: int


class Level(NamedTuple):
    """So many ``trials`` at once: their training steps per second, all together, and the memory of
    each. ``memory`` is empty if a trial ran out of it."""

    trials: int
    steps_per_s: float
    memory: tuple[Memory, ...]


class ProbedTrial:
    """One trial in a process of its own, which trains as long as it is told."""

    def start(self, trainable: type[ResumableTrainable], configs: Sequence[dict[str, Any]]) -> None:
        """Build the trainings, one for each seed, and let each train and evaluate once."""
        # Each trainable makes itself a folder, in ~/ray_results if it is not told otherwise
        ray_trainable.DEFAULT_STORAGE_PATH = tempfile.gettempdir()  # type: ignore[attr-defined]
        self.configs = configs
        self.trainings = [trainable(dict(config)) for config in configs]
        for training in self.trainings:
            shutil.rmtree(training.logdir, ignore_errors=True)
            training.step()

    def train(self, seconds: float) -> float:
        """Training steps per second. A training at its last step starts anew, as the next trial of
        a search would in this process."""
        begun, steps = time.monotonic(), 0
        while time.monotonic() - begun < seconds:
            for training, config in zip(self.trainings, self.configs, strict=True):
                if training.step_number >= int(config["max_steps"]):
                    training.setup(dict(config))
                training.step_number += 1
                training.advance()
                steps += 1
        device = self.trainings[0].device
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # steps are queued, not done
        return steps / (time.monotonic() - begun)

    def memory(self) -> Memory:
        device = self.trainings[0].device
        if device.type == "cuda":
            free, total = torch.cuda.mem_get_info(device)
            return Memory(torch.cuda.max_memory_reserved(device), total - free, total)
        page, peak = os.sysconf("SC_PAGE_SIZE"), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        free, total = (os.sysconf(f"SC_{name}_PAGES") * page for name in ("AVPHYS", "PHYS"))
        return Memory(peak * 1024, total - free, total)


def most_trials(nodes: Sequence[Mapping[str, float]], cpus: float) -> int:
    """The most trials of ``cpus`` cores each that one GPU of any of the ``nodes`` can have, by
    their resources: the GPUs of a node share its cores. 0 if there is no node with the cores."""
    most = 0
    for node in nodes:
        room = int(node.get("CPU", 0) / cpus + 1e-9)
        most = max(most, min(room, max(1, room // int(node["GPU"]))))
    return most


def gpu_nodes() -> list[dict[str, float]]:
    """The resources of each node of the cluster with a GPU."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [node for node in nodes if node.get("GPU", 0) >= 1]


@contextlib.contextmanager
def reserved(cpus: float, *, gpu: bool) -> Iterator[PlacementGroup]:
    """One GPU and so many CPU cores of one node, or the cores alone.

    Raises UsageError if other jobs keep them.
    """
    bundle = {"CPU": cpus, **({"GPU": 1.0} if gpu else {})}
    group = placement_group([bundle])
    try:
        if not group.wait(RESERVED_WITHIN_S):
            raise UsageError(
                f"no node has had {request_words(bundle)} free for {RESERVED_WITHIN_S:.0f} s:"
                " probe when other jobs have ended, or lower --cpus-per-trial"
            )
        yield group
    finally:
        remove_placement_group(group)


def device_words(group: PlacementGroup) -> str:
    """The reserved device and its node, in words. Raises UsageError if torch cannot use the GPU."""
    gpu = group.bundle_specs[0].get("GPU", 0)
    # After CUDA has started, a process keeps its memory on the GPU: it ends after this task.
    task = ray.remote(max_calls=1)(_look).options(
        num_cpus=0, num_gpus=gpu, scheduling_strategy=_in(group)
    )
    try:
        name, problem = ray.get(task.remote())
    except RayError as error:
        raise _trouble(error) from None
    if problem:
        raise UsageError(problem)
    words: str = name
    return words


def _look() -> tuple[str, str | None]:
    """The device's name and its node, and why torch cannot use it or None."""
    node = ray.util.get_node_ip_address()
    try:
        device = assigned_device()
    except RuntimeError as error:
        return node, str(error)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU cores"
    return f"{name} on node {node}", None


def measure(
    group: PlacementGroup,
    trials: int,
    cpus: float,
    trainable: type[ResumableTrainable],
    configs: Sequence[dict[str, Any]],
) -> Level:
    """Train so many ``trials`` at once on the reserved device, with ``cpus`` cores each.

    Args:
        configs: The configs of one trial, one for each of its seeds.

    Raises Trouble if a training fails for another reason than the GPU's memory.
    """
    gpu = group.bundle_specs[0].get("GPU", 0) / trials
    own: Any = ray.remote(ProbedTrial).options(
        num_cpus=cpus, num_gpus=gpu, scheduling_strategy=_in(group)
    )
    workers = [own.remote() for _ in range(trials)]
    warm = [{**config, "report_every": WARM_UP_STEPS} for config in configs]
    try:
        ray.get([worker.start.remote(trainable, warm) for worker in workers])
        rates: list[float] = []
        while not _steady(rates) and len(rates) < MOST_WINDOWS:
            rates.append(sum(ray.get([worker.train.remote(WINDOW_S) for worker in workers])))
        memory = tuple(ray.get([worker.memory.remote() for worker in workers]))
    except RayError as error:
        if isinstance(error, RayTaskError) and OUT_OF_GPU_MEMORY.search(str(error)):
            return Level(trials, 0.0, ())
        raise _trouble(error) from None
    finally:
        for worker in workers:
            ray.kill(worker)
    return Level(trials, median(rates[-WINDOWS:]), memory)


def _steady(rates: Sequence[float]) -> bool:
    last = rates[-WINDOWS:]
    return len(last) == WINDOWS and max(last) - min(last) <= STEADY * max(last)


def _in(group: PlacementGroup) -> PlacementGroupSchedulingStrategy:
    return PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)


def _trouble(error: RayError) -> Trouble:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return Trouble(f"a training of the probe failed: {lines[-1] if lines else error}")
