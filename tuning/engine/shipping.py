"""The code that a search sends to the nodes of a cluster that it joins: they need Ray and torch.

Ray packs folders and unpacks them on each node before the first worker starts there. The search
sends this project, the user's experiment and safetensors.
Source: https://docs.ray.io/en/latest/ray-core/handling-dependencies.html
"""

import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR

from command_line import UsageError
from tuning.task import Task

PROJECT = Path(__file__).parent.parent.parent
OWN = ("command_line.py", "records", "search_spaces", "trainables", "tuning")
"""What a trial may import of this project."""
EXCLUDED = [
    ".git", "__pycache__", "*.py[cod]", "*.egg-info", ".venv*", "venv", ".*_cache", "optuna.db*",
]  # fmt: skip
"""Patterns, as in a .gitignore, of what is not sent. Ray heeds a folder's .gitignore, too."""
UNPACKED = "py_modules_files"
"""The folder on each node in which Ray unpacks what is sent."""

# The function that runs on nodes is sent by value: they may lack this module.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def runtime_environment(task: Task, storage: Path, pip: Sequence[str]) -> dict[str, Any]:
    """Ray's ``runtime_env`` of a search that joins a cluster.

    What the runtime environment of a job has sent already is left out: Ray takes no entry twice.

    Args:
        storage: The folder of the run directories, which is not sent.
        pip: Packages that Ray installs on each node for the search's workers. Raises UsageError if
            the job has such packages, too.
    """
    own = [str(PROJECT / name) for name in OWN]
    environment: dict[str, Any] = {"py_modules": [*own, _folder("safetensors")]}
    excluded = list(EXCLUDED)
    module = task.trainable.__module__.partition(".")[0]
    folder = _folder(module)
    if folder not in own:
        environment["py_modules"].append(folder)
        if storage.is_relative_to(folder):
            excluded.append(f"/{storage.relative_to(folder)}")
        if not hasattr(sys.modules[module], "__path__"):
            name = Path(folder).name
            environment["worker_process_setup_hook"] = lambda: import_from(name)
    environment["excludes"] = excluded
    if pip:
        environment["pip"] = list(pip)
    job = json.loads(os.environ.get(RAY_JOB_CONFIG_JSON_ENV_VAR, "{}")).get("runtime_env") or {}
    if pip and "pip" in job:
        raise UsageError("--pip: the job's runtime environment has pip packages: add these there")
    return {name: entry for name, entry in environment.items() if name not in job}


def import_from(name: str) -> None:
    """On a node: let modules be imported from the folder ``name`` that was sent."""
    for place in list(sys.path):
        if UNPACKED in place and os.path.isdir(os.path.join(place, name)):  # noqa: PTH112, PTH118
            sys.path.insert(0, os.path.join(place, name))  # noqa: PTH118


def _folder(module: str) -> str:
    """A package's folder, or the folder in which a module lies that belongs to no package."""
    found = sys.modules.get(module) or importlib.import_module(module)
    places = getattr(found, "__path__", None)
    return str(next(iter(places)) if places else Path(str(found.__file__)).absolute().parent)
