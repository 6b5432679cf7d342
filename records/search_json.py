"""``search.json``, read strictly: a folder is a run only if all that a report needs is sound."""

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
from records.older_names import todays_search
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
"""What reading a file raises that was cut off or edited."""

OF_EVERY_SEARCH = (
    "format", "id", "experiment", "name", "path", "sessions", "options", "versions", "commit",
    "host", "warm_start", "space", "fixed", "baselines", "objectives", "goal", "time_attr",
    "outcomes", "rungs", "startup_trials", "methods",
)  # fmt: skip
"""Entries that every search records. The others are what its experiment prepared."""

TO_AN_END = ("finished", "time budget", "target reached")
"""How a session ends if nothing is left to do: it has answered."""


class NotARun(ValueError):
    """The folder is not a run of this project; the message is one line."""


def read_search(path: Path) -> dict[str, Any]:
    """The content of a run's ``search.json``, in today's names.

    Raises NotARun, or one of ``WRONG`` if the content is not what a search writes.
    """
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
    search = todays_search(search)
    _check(search)
    return search


def parameters_of(search: Mapping[str, Any]) -> dict[str, Parameter]:
    """What the search varied, by name."""
    return {
        name: Parameter(
            _distribution(one["distribution"]),
            one["reason"],
            tuple(one["only_if"]) if one.get("only_if") else None,
            -math.inf if one.get("at_least") is None else float(one["at_least"]),
        )
        for name, one in search.get("space", {}).items()
    }


def _check(search: dict[str, Any]) -> None:
    """Complete and clean the sessions. Raises one of ``WRONG`` if the content is unsound."""
    goal = search["goal"]
    sound = [
        isinstance(search["experiment"], str),
        isinstance(search["fixed"], dict),
        isinstance(search["options"], dict),
        all(isinstance(one["distribution"], str) for one in search["space"].values()),
        bool(search["objectives"]),
        all(isinstance(one["metric"], str) for one in search["objectives"]),
        all(one["mode"] in ("min", "max") for one in search["objectives"]),
        isinstance(goal["metric"], str),
        goal["at"] in ("least", "most"),
        math.isfinite(goal["bound"]),
        bool(search["sessions"]),
    ]
    for session in search["sessions"]:
        command = session.get("command", "")
        sound += [isinstance(command, str), math.isfinite(session["started"])]
        sound += [math.isfinite(session["ended"] or 0)]
        # An earlier version recorded a command as it was typed, with its secrets.
        session |= {"command": hide_in_command(str(command)), "how": session.get("how", "unknown")}
    if not all(sound):
        raise ValueError("search.json")


def _distribution(text: str) -> BaseDistribution:
    """A distribution from ``search.json``: Optuna's JSON, in older runs its constructor's text."""
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
