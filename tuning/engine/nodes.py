"""The nodes of a cluster that a search has joined, looked at before the first trial.

A small Ray task goes to every node that can run a trial, to all of them at once. It imports the
trainable, compares versions and sources, reads in the run directory what this machine has written
there, writes a file itself, and asks torch for the GPU if a trial needs one. What would fail trial
after trial is refused here in one line. Nodes that join later are not looked at.
"""

import hashlib
import importlib
import platform
import secrets
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import GetTimeoutError, NodeDiedError, RayError, TaskUnschedulableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from command_line import UsageError
from tuning.engine.cluster import Cluster
from tuning.engine.room import room_on
from tuning.options import SearchOptions
from tuning.preflight import check_memory
from tuning.task import Task

TIMEOUT_S = 60.0
"""How long all nodes together may take: a worker process starts and imports torch, on a busy node or from a network's disk."""
SEEN_WITHIN_S = 5.0
"""How long a file may take from one machine to another: a network's file system remembers for a while what was not there."""
MARKER = ".nodes"
"""The folder in the run directory in which this machine and every node write a file; it is removed again."""
PROJECT = Path(__file__).parent.parent.parent
EVERY_NODE = "Choose a --storage-path that every node sees"
LOOK = "Look at the node with ray status, or stop it"

cloudpickle.register_pickle_by_value(
    sys.modules[__name__]
)  # the functions below run where this module may be missing


@dataclass(frozen=True)
class Question:
    """What every node is asked.

    Attributes:
        module: The trainable's module.
        expected: ``versions`` and ``sources`` of the machine that searches.
        project: Where the project lies on that machine. Ray looks for modules there on every node.
        own: The names of the project's modules.
        folder: Where that machine has written the file "driver" with the ``word``, and each node
            writes one named by its id.
        gpu: Whether torch must be able to use a GPU.
    """

    module: str
    expected: Mapping[str, str]
    project: Path
    own: frozenset[str]
    folder: Path
    word: str
    gpu: bool


def check_nodes(cluster: Cluster, options: SearchOptions, task: Task, run: Path) -> None:
    """Raise UsageError if a node that can run a trial lacks the memory, the project, a package, the
    storage or its GPU.

    A trial that fails on a node which joins later is recorded as failed. If the first trials of a
    search all fail alike, the search ends (``tuning.engine.study``).

    Args:
        cluster: What was joined; Ray is connected.
        run: The run directory, which every node has to see under the same path.
    """
    request = cluster.trial_resources
    nodes = [node for node in ray.nodes() if node["Alive"] and room_on(node["Resources"], request)]
    if "GPU" not in request:
        most = min(cluster.slots, max(options.num_samples, options.confirm))
        for node in nodes:
            slots = min(room_on(node["Resources"], request), most)
            check_memory(task, node["Resources"].get("memory", 0), f"node {_name(node)}", slots)
    folder, word, module = run / MARKER, secrets.token_hex(8), task.trainable.__module__
    own = frozenset(path.stem for path in PROJECT.iterdir())
    expected = {**versions(), "project": sources(module)}
    shutil.rmtree(folder, ignore_errors=True)  # of a check that was interrupted
    folder.mkdir()
    try:
        (folder / "driver").write_text(word)
        problems = _problems(
            nodes, Question(module, expected, PROJECT, own, folder, word, "GPU" in request)
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if problems:
        raise UsageError(
            "; ".join(
                f"node{'s' * (len(who) > 1)} {_listed(who)}: {what}"
                for what, who in problems.items()
            )
        )


def _problems(nodes: list[dict[str, Any]], question: Question) -> dict[str, list[str]]:
    """What is wrong, each with the names of the nodes on which it is."""
    # A process in which CUDA has started cannot be given another GPU, so none is kept for a trial.
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
        except RayError as error:
            problem = f"a small task fails there ({' '.join(str(error).split())}). {LOOK}"
        else:
            if problem is None and not arrives(question.folder / node["NodeID"], question.word):
                problem = f"what it writes in {question.folder.parent.parent} does not arrive here. {EVERY_NODE}"
        if problem:
            problems.setdefault(problem, []).append(_name(node))
    return problems


def look(question: Question, node_id: str) -> str | None:
    """On a node: the first thing because of which no trial could run there, with what to do about it; None if all is well."""
    module, as_here = (
        question.module,
        f"The project must lie there as it does here, in {question.project}",
    )
    imported = "torch"
    try:
        for name, version in versions().items():
            if version != question.expected[name]:
                return f"it has {name} {version}, and this machine {question.expected[name]}. Install the same version there"
        imported = module
        importlib.import_module(module)
    except Exception as error:  # a module that is imported may raise anything
        missing = (getattr(error, "name", None) or "").partition(".")[0]
        cause = " ".join(str(error).split()) or type(error).__name__
        return f"it cannot import {imported} ({cause}). {as_here if missing in question.own else 'Install requirements.txt there'}"
    if sources(module) != question.expected["project"]:
        return (
            f"it has another version of this project, in {sys.modules[module].__file__}. {as_here}"
        )
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
            f"it declares a GPU, but torch {torch.__version__} cannot use it there. Install a torch that fits the node's GPU"
            " driver, start the node without the GPU, or search with --gpus-per-trial 0"
        )
    return None


def versions() -> dict[str, str]:
    """The versions that must be the same on every node; a torch built for CPUs goes with one built for GPUs."""
    import torch

    python = ".".join(platform.python_version_tuple()[:2])
    return {"Python": python, "ray": ray.__version__, "torch": torch.__version__.partition("+")[0]}


def sources(module: str) -> str:
    """A hash of all source files in the package of a module that has been imported."""
    package = sys.modules[module.partition(".")[0]]
    folders = [Path(folder) for folder in getattr(package, "__path__", ())]
    digest = hashlib.sha256()
    for file in sorted(file for folder in folders for file in folder.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def arrives(file: Path, word: str) -> bool:
    """Whether ``file``, which another machine has written, can be read here with the ``word`` in it."""
    deadline = time.monotonic() + SEEN_WITHIN_S
    while True:
        try:
            if file.read_text(encoding="utf-8") == word:
                return True
        except (OSError, ValueError):
            pass
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)


def _name(node: Mapping[str, Any]) -> str:
    """A node's address, and the name that it was started with, or its host's."""
    address, name = node["NodeManagerAddress"], node["NodeName"]
    return f"{address} ({node['NodeManagerHostname'] if name == address else name})"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
