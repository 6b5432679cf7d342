"""``search.json``, read strictly: what a report needs is there and of the right kind, or the folder is no run."""

import ast
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    json_to_distribution,
)

from command_line import hide_in_command
from records.run_directory import FORMAT
from search_spaces import Parameter

WRONG = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    SyntaxError,
    AssertionError,
)
"""What a file that was cut off or changed by hand gives rise to."""


class NotARun(ValueError):
    """The folder is not a run of this project; the message is one line."""


def read_search(path: Path) -> dict[str, Any]:
    """The content of a run's ``search.json``. Raises NotARun, or one of ``WRONG`` if it is not as a search writes it."""
    try:
        search: dict[str, Any] = json.loads((path / "search.json").read_bytes())
    except FileNotFoundError:
        raise NotARun(f"{path} is not a run: it has no search.json") from None
    except OSError as error:
        raise NotARun(f"{path}/search.json cannot be read: {error.strerror}") from None
    if not isinstance(search.get("format", 0), int) or search.get("format", 0) > FORMAT:
        raise NotARun(
            f"{path} was written by a newer version (format {search['format']}): update to see it"
        )
    if search["sessions"] and search["options"] and "space" not in search:
        raise NotARun(f"{path} is a search that is only being prepared: no trial has begun")
    _check(search)
    return search


def parameters_of(search: Mapping[str, Any]) -> dict[str, Parameter]:
    """What the search varied, by name."""
    return {
        name: Parameter(
            _distribution(one["distribution"]),
            one["reason"],
            tuple(one["only_if"]) if one.get("only_if") else None,
        )
        for name, one in search.get("space", {}).items()
    }


def _check(search: dict[str, Any]) -> None:
    """Raises one or another exception where ``search.json`` is not as a search writes it."""
    fixed, goal = search["fixed"], search["goal"]
    for one in search["objectives"]:
        one["default"] = one.pop("otherwise", one.get("default"))  # its name in format 1
    sound = (
        isinstance(search["experiment"], str)
        and isinstance(fixed, dict)
        and isinstance(search["options"], dict)
        and all(isinstance(one["distribution"], str) for one in search["space"].values())
        and bool(search["objectives"])
        and all(
            isinstance(one["metric"], str) and one["mode"] in ("min", "max")
            for one in search["objectives"]
        )
        and isinstance(goal["metric"], str)
        and goal["at"] in ("least", "most")
        and math.isfinite(goal["bound"])
        and bool(search["sessions"])
    )
    for session in search["sessions"]:
        sound &= math.isfinite(session["started"]) and math.isfinite(session["ended"] or 0)
        session.setdefault("command", "")
        session.setdefault("how", "unknown")
        sound &= isinstance(session["command"], str)
        session["command"] = hide_in_command(
            str(session["command"])
        )  # an earlier version recorded it as it was typed
    if not sound:
        raise ValueError("search.json")


def _distribution(text: str) -> BaseDistribution:
    """A distribution from ``search.json``: Optuna's JSON, or in runs of format 1 the text of its constructor."""
    if text.startswith("{"):
        return json_to_distribution(text)
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    classes = {
        one.__name__: one for one in (CategoricalDistribution, FloatDistribution, IntDistribution)
    }
    arguments = {str(one.arg): ast.literal_eval(one.value) for one in call.keywords}
    return classes[call.func.id](**arguments)
