"""The nodes of a joined cluster, checked before the first trial.

A small Ray task runs at once on every node that can run a trial. It imports the trainable, compares
versions and sources, reads a file of this machine in the run directory, writes one itself, and asks
torch for the GPU if a trial needs one. What would fail trial after trial is refused in one line.
Nodes that join later are not checked.
"""

import contextlib
import hashlib
import importlib
import platform
import secrets
import shutil
import sys
import time
from collections.abc import Mapping
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
from tuning.engine.cluster import Cluster
from tuning.engine.room import room_on
from tuning.options import SearchOptions
from tuning.preflight import check_memory
from tuning.task import Task

TIMEOUT_S = 60.0
"""How long all nodes together may take: on each of them a worker process imports torch."""
SEEN_WITHIN_S = 5.0
"""How long a file may take to appear on another machine: network file systems cache its absence."""
MARKER = ".nodes"
"""The folder in the run directory for the files of the check. It is removed afterwards."""
EVERY_NODE = "Choose a --storage-path that every node sees"
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
        folder: Where that machine has written the ``word`` into the file "driver". Each node writes
            it into a file named by its id.
        gpu: Whether torch must be able to use a GPU.
    """

    module: str
    expected: Mapping[str, str]
    requirements: Mapping[str, str]
    folder: Path
    word: str
    gpu: bool


def check_nodes(cluster: Cluster, options: SearchOptions, task: Task, run: Path) -> None:
    """Raise UsageError if a node that can run a trial lacks memory, the project, a package, the
    storage or its GPU.

    Args:
        cluster: The cluster that Ray has joined.
        run: The run directory, which every node must see under the same path.
    """
    request = cluster.trial_resources
    nodes = [node for node in ray.nodes() if node["Alive"] and room_on(node["Resources"], request)]
    if "GPU" not in request:
        most = min(cluster.slots, max(options.num_samples, options.confirm))
        for node in nodes:
            slots, free = (
                min(room_on(node["Resources"], request), most),
                node["Resources"].get("memory", 0),
            )
            check_memory(task, free, f"node {_name(node)}", slots, options.seeds_per_trial)
    folder, word, module = run / MARKER, secrets.token_hex(8), task.trainable.__module__
    expected = {**versions(), "project": sources(module)}
    shutil.rmtree(folder, ignore_errors=True)  # of a check that was interrupted
    folder.mkdir()
    try:
        (folder / "driver").write_text(word)
        question = Question(module, expected, requirements(), folder, word, "GPU" in request)
        problems = _problems(nodes, question)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if problems:
        lines = [
            f"node{'s' * (len(who) > 1)} {_listed(who)}: {what}" for what, who in problems.items()
        ]
        raise UsageError("; ".join(lines))


def _problems(nodes: list[dict[str, Any]], question: Question) -> dict[str, list[str]]:
    """The problems, each with the names of its nodes."""
    # After CUDA has started, a process cannot change its GPU: none is kept for a trial.
    task = ray.remote(num_cpus=0, max_calls=1 if question.gpu else 0)(look)
    asked = {}
    for node in nodes:
        pinned = task.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        )
        asked[pinned.remote(question, node["NodeID"])] = node
    ray.wait([*asked], num_returns=len(asked), timeout=TIMEOUT_S)
    problems: dict[str, list[str]] = {}
    for answer, node in asked.items():
        try:
            problem = ray.get(answer, timeout=0)
        except (GetTimeoutError, TaskUnschedulableError, NodeDiedError):
            problem = f"it does not answer. {LOOK}"
        except RuntimeEnvSetupError as error:
            cause = " ".join(str(error).split())
            problem = f"Ray cannot set up there what the search sends ({cause}). {LOOK}"
        except RayError as error:
            problem = f"a small task fails there ({' '.join(str(error).split())}). {LOOK}"
        else:
            storage = question.folder.parent.parent
            if problem is None and not arrives(question.folder / node["NodeID"], question.word):
                problem = f"what it writes in {storage} does not arrive here. {EVERY_NODE}"
        if problem:
            problems.setdefault(problem, []).append(_name(node))
    return problems


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
        missing = (getattr(error, "name", None) or imported).partition(".")[0]
        cause = " ".join(str(error).split()) or type(error).__name__
        package = question.requirements.get(missing, missing)
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
    storage = question.folder.parent.parent
    if not arrives(question.folder / "driver", question.word):
        return f"it does not see what this machine writes in {storage}. {EVERY_NODE}"
    try:
        (question.folder / node_id).write_text(question.word)
    except OSError as error:
        return f"it cannot write in {storage} ({error.strerror}). {EVERY_NODE} and can write in"
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


def arrives(file: Path, word: str) -> bool:
    """Whether ``file``, written by another machine, appears here with the ``word`` in it."""
    deadline = time.monotonic() + SEEN_WITHIN_S
    while True:
        with contextlib.suppress(OSError, ValueError):
            if file.read_text(encoding="utf-8") == word:
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)


def _name(node: Mapping[str, Any]) -> str:
    """A node's address, with the name that it was started with, or else its host's."""
    address, name = node["NodeManagerAddress"], node["NodeName"]
    return f"{address} ({node['NodeManagerHostname'] if name == address else name})"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
