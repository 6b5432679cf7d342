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
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from ray import cloudpickle

from command_line import UsageError
from records.places import JOB
from tuning.task import Task

PROJECT = Path(__file__).parent.parent.parent
OWN = ("command_line.py", "records", "search_spaces", "trainables", "tuning")
"""What a trial may import of this project."""
EXCLUDED = (
    ".git", "__pycache__", "*.py[cod]", "*.egg-info", ".venv*", "venv", ".*_cache", "optuna.db*",
)  # fmt: skip
"""Patterns, as in a .gitignore, of what is not sent. Ray heeds a folder's .gitignore, too."""
UNPACKED = "py_modules_files"
"""The folder on each node in which Ray unpacks what is sent."""

# The function that runs on nodes is sent by value: they may lack this module.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Sent:
    """On a node: finds modules in what was sent, before all others. Ray would look for them first
    where they are on the machine that searches, and a node may have an older version there.

    Args:
        folder: The name of the folder, of those sent, whose modules belong to no package.
    """

    def __init__(self, folder: str | None) -> None:
        self.places = [place for place in sys.path if UNPACKED in place]
        self.places += [f"{place}/{folder}" for place in self.places if folder]

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        """Where a module is, unless it is in a package that is there already."""
        return PathFinder.find_spec(name, self.places) if path is None else None


def runtime_environment(task: Task, storage: Path, pip: Sequence[str]) -> dict[str, Any]:
    """Ray's ``runtime_env`` of a search that joins a cluster.

    Entries that a job of ``ray job submit`` has sent are left out: Ray takes none twice.

    Args:
        storage: The folder of the run directories, which is not sent.
        pip: Packages that Ray installs on each node for the search's workers.

    Raises UsageError if there are such packages, and the job has some, too.
    """
    job = json.loads(os.environ.get(JOB, "{}")).get("runtime_env") or {}
    if pip and "pip" in job:
        raise UsageError("--pip: the job's runtime environment has pip packages: add these there")
    modules = [*(PROJECT / name for name in OWN), _place("safetensors")]
    top = task.trainable.__module__.partition(".")[0]
    folder, excluded = _place(top), list(EXCLUDED)
    if folder not in modules:
        modules.append(folder)
        if storage.is_relative_to(folder):
            excluded.append(f"/{storage.relative_to(folder)}")
    bare = None if hasattr(sys.modules[top], "__path__") else folder.name
    environment = {
        "py_modules": [*map(str, modules)],
        "excludes": excluded,
        "worker_process_setup_hook": lambda: sys.meta_path.insert(0, Sent(bare)),
        **({"pip": list(pip)} if pip else {}),
    }
    return {name: entry for name, entry in environment.items() if name not in job}


def _place(module: str) -> Path:
    """A package's folder, or the folder in which a module lies that belongs to no package."""
    found = sys.modules.get(module) or importlib.import_module(module)
    places = getattr(found, "__path__", None)
    file = Path(next(iter(places)) if places else str(found.__file__)).absolute()
    return file if places else file.parent
