"""The code that a search sends to the nodes of a cluster that it joins: they need Ray and torch.

Ray packs folders and unpacks them on each node before the first worker starts there. The search
sends this project, the user's experiment and safetensors.
Source: https://docs.ray.io/en/latest/ray-core/handling-dependencies.html
"""

import contextlib
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR

from command_line import UsageError
from tuning.task import Task

PROJECT = Path(__file__).parent.parent.parent
OWN = ("command_line.py", "records", "search_spaces", "trainables", "tuning")
"""What a trial may import of this project."""
EXCLUDED = (
    ".git", "__pycache__", "*.py[cod]", "*.egg-info", ".venv*", "venv", ".*_cache", "optuna.db*",
)  # fmt: skip
"""Patterns, as in a .gitignore, of what is not sent. Ray heeds a folder's .gitignore, too."""


@contextlib.contextmanager
def runtime_environment(task: Task, storage: Path, pip: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Ray's ``runtime_env`` of a search that joins a cluster; its folders exist in the body.

    What a job of ``ray job submit`` has sent is left out: Ray takes no entry twice. Without a
    ``working_dir``, Ray would look for modules first where they are on this machine.

    Args:
        storage: The folder of the run directories, which is not sent.
        pip: Packages that Ray installs on each node for the search's workers. Raises UsageError if
            the job has such packages, too.
    """
    job = json.loads(os.environ.get(RAY_JOB_CONFIG_JSON_ENV_VAR, "{}")).get("runtime_env") or {}
    if pip and "pip" in job:
        raise UsageError("--pip: the job's runtime environment has pip packages: add these there")
    modules = [*(PROJECT / name for name in OWN), _place("safetensors")]
    excluded, top = list(EXCLUDED), task.trainable.__module__.partition(".")[0]
    with tempfile.TemporaryDirectory() as nothing:
        folder = Path(nothing)
        if hasattr(sys.modules[top], "__path__"):
            modules += [] if _place(top) in modules else [_place(top)]
        elif "working_dir" in job:
            modules += _modules_in(_place(top))
        else:
            folder = _place(top)
            if storage.is_relative_to(folder):
                excluded.append(f"/{storage.relative_to(folder)}")
        environment = {
            "working_dir": str(folder),
            "py_modules": [*map(str, modules)],
            "excludes": excluded,
            **({"pip": list(pip)} if pip else {}),
        }
        yield {name: entry for name, entry in environment.items() if name not in job}


def _place(module: str) -> Path:
    """A package's folder, or the folder in which a module lies that belongs to no package."""
    found = sys.modules.get(module) or importlib.import_module(module)
    places = getattr(found, "__path__", None)
    file = Path(next(iter(places)) if places else str(found.__file__)).absolute()
    return file if places else file.parent


def _modules_in(folder: Path) -> list[Path]:
    """The modules and packages in a folder."""
    return [
        path for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    ]
