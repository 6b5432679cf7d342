"""The nodes of a joined cluster, checked before the first trial, or when they join.

A small Ray task runs on every node that can run a trial. It imports the trainable, compares
versions and sources, reads a file of this machine in the run directory, writes one itself, and asks
torch for the GPU if a trial needs one. What would fail trial after trial is refused in one line.
"""

import contextlib
import hashlib
import importlib
import os
import platform
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import (
    GetTimeoutError,
    NodeDiedError,
    RayError,
    RuntimeEnvSetupError,
    TaskUnschedulableError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from command_line import UsageError
from records.places import below, is_uri, place_of
from tuning.engine.cluster import Cluster
from tuning.engine.room import room_on
from tuning.options import SearchOptions
from tuning.preflight import check_memory
from tuning.task import Task

TIMEOUT_S = 60.0
"""How long all nodes together may take: on each of them a worker process imports torch."""
SEEN_WITHIN_S = 5.0
"""How long a file may take to appear on another machine: network file systems cache its absence."""
PIP_TIMEOUT_S = 600.0
"""The same if Ray first installs packages there: the time that Ray itself allows."""
MARKER = ".nodes"
"""The folder in the run directory for the files of the check. It is removed afterwards."""
Node = Mapping[str, Any]
"""A node as ``ray.nodes()`` describes it."""
Answer = ray.ObjectRef[str | None]
"""Where a node's answer will be."""
EVERY_NODE = "Choose a --storage-path that every node sees"
KEYS_THERE = "Where ray start runs, set the variables with its keys and its endpoint"
LOOK = "Look at the node with ray status, or stop it"

# The functions below run on nodes that may lack this module.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@dataclass(frozen=True)
class Question:
    """What every node is asked.

    Attributes:
        module: The trainable's module.
        expected: ``versions`` and ``sources`` of the machine that searches.
        requirements: What installs a module as it is on that machine, such as ``pillow==13.0.0``
            for PIL.
        folder: The path or URI where that machine has written the ``word`` into the file "driver".
            Each node writes it into a file named by its id.
        storage: The folder of run directories, or its URI.
        gpu: Whether torch must be able to use a GPU.
    """

    module: str
    expected: Mapping[str, str]
    requirements: Mapping[str, str]
    folder: str
    storage: str
    word: str
    gpu: bool


class NodeCheck:
    """Asks nodes whether trials can run there.

    Args:
        sent: The ``sources`` of the trainable, read before the cluster was joined.
        run: The run directory, which every node must see under the same path, or its URI.
    """

    def __init__(
        self, cluster: Cluster, options: SearchOptions, task: Task, sent: str, run: str
    ) -> None:
        module, self.gpu = task.trainable.__module__, "GPU" in cluster.trial_resources
        expected = {**versions(), "project": sent}
        word = secrets.token_hex(8)
        folder = below(run, MARKER) if is_uri(run) else f"{run}/{MARKER}"
        storage = place_of(options.runs)
        self._question = Question(module, expected, requirements(), folder, storage, word, self.gpu)
        self._task, self._options, self._cluster = task, options, cluster
        self.timeout_s = PIP_TIMEOUT_S if options.pip else TIMEOUT_S

    def ask(self, node: Node) -> Answer:
        """Start the check of a node. Raises OSError if the storage fails."""
        write(self._question.folder, "driver", self._question.word)
        # After CUDA has started, a process cannot change its GPU: none is kept for a trial.
        task = ray.remote(num_cpus=0, max_calls=1 if self.gpu else 0)(look)
        here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        return task.options(scheduling_strategy=here).remote(self._question, node["NodeID"])

    def problem(self, node: Node, answer: Answer) -> str | None:
        """Why no trial can run on the node, with a remedy; None if all is well. A node that has not
        answered by now does not answer."""
        try:
            problem: str | None = ray.get(answer, timeout=0)
        except (GetTimeoutError, TaskUnschedulableError, NodeDiedError):
            return f"it does not answer. {LOOK}"
        except RuntimeEnvSetupError as error:
            return f"Ray cannot set up there what the search sends ({_cause(error)}). {LOOK}"
        except RayError as error:
            return f"a small task fails there ({_cause(error)}). {LOOK}"
        asked = self._question
        if problem is None and missing(asked.folder, node["NodeID"], asked.word):
            return f"what it writes in {asked.storage} does not arrive here. {EVERY_NODE}"
        return problem

    def check_memory(self, node: Node) -> None:
        """Raise UsageError if the trials that fit on the node do not fit in its memory."""
        if self.gpu:
            return
        options, most = self._options, max(self._options.num_samples, self._options.confirm)
        most = min(most, options.max_concurrent or most)
        slots = min(room_on(node["Resources"], self._cluster.trial_resources), most)
        free, where = node["Resources"].get("memory", 0), f"node {name_of(node)}"
        check_memory(self._task, free, where, slots, options.seeds_per_trial)

    def tidy(self) -> None:
        """Remove the files of the check."""
        with contextlib.suppress(OSError):
            system, place = at(self._question.folder)
            system.delete_dir(place)


def check_nodes(check: NodeCheck, nodes: Sequence[Node]) -> None:
    """Raise UsageError if a node lacks memory, the project, a package, the storage or its GPU."""
    for node in nodes:
        check.check_memory(node)
    problems: dict[str, list[str]] = {}
    try:
        asked = {check.ask(node): node for node in nodes}
        ray.wait([*asked], num_returns=len(asked), timeout=check.timeout_s)
        for answer, node in asked.items():
            if problem := check.problem(node, answer):
                problems.setdefault(problem, []).append(name_of(node))
    finally:
        check.tidy()
    if problems:
        lines = [
            f"node{'s' * (len(who) > 1)} {_listed(who)}: {what}" for what, who in problems.items()
        ]
        raise UsageError("; ".join(lines))


def look(question: Question, node_id: str) -> str | None:
    """On a node: the first reason why no trial could run there, with a remedy; None if there is
    none."""
    return _wrong_project(question) or _wrong_machine(question, node_id)


def _wrong_project(question: Question) -> str | None:
    """What is wrong with the packages on this node, and with the project that was sent there."""
    module, imported = question.module, "torch"
    try:
        for name, version in versions().items():
            if version != (expected := question.expected[name]):
                return (
                    f"it has {name} {version}, and this machine {expected}."
                    " Install the same version there"
                )
        for imported in ("ray.tune", module):
            importlib.import_module(imported)
    except Exception as error:  # a module that is imported may raise anything
        lacking = (getattr(error, "name", None) or imported).partition(".")[0]
        cause = " ".join(str(error).split()) or type(error).__name__
        package = question.requirements.get(lacking, lacking)
        if imported == "ray.tune":
            package = f"'ray[tune]=={question.expected['ray']}'"
        ask_ray = f", or let Ray do so: --pip {package}" if imported == module else ""
        return f"it cannot import {imported} ({cause}). Install {package} there{ask_ray}"
    if sources(module) != question.expected["project"]:
        return (
            f"it imports another version of this project, {sys.modules[module].__file__},"
            " instead of the one that the search sends. Remove it from PYTHONPATH there"
        )
    return None


def _wrong_machine(question: Question, node_id: str) -> str | None:
    """What is wrong with the storage and the GPU of this node."""
    storage, at_uri = question.storage, "://" in question.storage
    if why := missing(question.folder, "driver", question.word):
        if at_uri:
            return f"it cannot read {storage} ({why}). {KEYS_THERE}"
        return f"it does not see what this machine writes in {storage}. {EVERY_NODE}"
    try:
        write(question.folder, node_id, question.word)
    except Exception as error:  # a library of a storage may raise anything
        number = getattr(error, "errno", None)
        why = os.strerror(number) if number else " ".join(str(error).split())
        remedy = KEYS_THERE if at_uri else f"{EVERY_NODE} and can write in"
        return f"it cannot write in {storage} ({why}). {remedy}"
    import torch

    if question.gpu and not torch.cuda.is_available():
        return (
            f"it declares a GPU, but torch {torch.__version__} cannot use it there. Install a torch"
            " that fits the node's GPU driver, start the node without the GPU, or search with"
            " --gpus-per-trial 0"
        )
    return None


def versions() -> dict[str, str]:
    """The versions that must be the same on every node. Builds of torch for CPUs and GPUs match."""
    import torch

    python = ".".join(platform.python_version_tuple()[:2])
    return {"Python": python, "ray": ray.__version__, "torch": torch.__version__.partition("+")[0]}


def requirements() -> dict[str, str]:
    """What installs each module that can be imported here, such as ``pillow==13.0.0`` for PIL."""
    installed = packages_distributions()
    return {module: f"{names[0]}=={version(names[0])}" for module, names in installed.items()}


def sources(module: str) -> str:
    """A hash of all source files in the package of an imported module."""
    package = sys.modules[module.partition(".")[0]]
    folders = [Path(folder) for folder in getattr(package, "__path__", ())]
    digest = hashlib.sha256()
    for file in sorted(file for folder in folders for file in folder.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def at(folder: str) -> tuple[Any, str]:
    """The file system of a folder or URI, and its path there. A node may lack pyarrow, so it is
    imported after what says so."""
    from pyarrow.fs import FileSystem

    system, place = FileSystem.from_uri(folder)
    return system, str(place)


def write(folder: str, name: str, word: str) -> None:
    """Write the ``word`` into a file of a folder or URI, which is made. Raises what the storage's
    library raises, mostly OSError."""
    system, place = at(folder)
    system.create_dir(place)
    with system.open_output_stream(f"{place}/{name}") as file:
        file.write(word.encode())


def missing(folder: str, name: str, word: str) -> str | None:
    """Why a file that another machine has written does not appear here with the ``word`` in it;
    None if it does."""
    deadline, why = time.monotonic() + SEEN_WITHIN_S, "it is not there"
    while True:
        try:
            system, place = at(folder)
            with system.open_input_stream(f"{place}/{name}") as file:
                if file.read() == word.encode():
                    return None
        except FileNotFoundError:
            pass
        except Exception as error:  # a library of a storage may raise anything
            why = " ".join(str(error).split())
        if time.monotonic() > deadline:
            return why
        time.sleep(0.2)


def name_of(node: Node) -> str:
    """A node's address, with the name that it was started with, or else its host's."""
    address, name = node["NodeManagerAddress"], node["NodeName"]
    return f"{address} ({node['NodeManagerHostname'] if name == address else name})"


def _cause(error: Exception) -> str:
    """An error of Ray's in one line; after a traceback, its last one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if "Traceback" in str(error) else " ".join(lines)) or type(error).__name__


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
