"""``--train``: one configuration, trained once and not searched for, with the same records and the
same page as a search.

It is given as settings (``lr=0.01 max_norm=0.1``) or as a JSON file, ``best/config.json`` or a
trial's ``trial.json``, which gives the seed as well. The seed of the search is the trial's own seed
then.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from command_line import UsageError, user_path
from records.checkpoint import settings_of
from search_spaces import SearchSpace
from search_spaces.overrides import override
from search_spaces.set_syntax import parse_overrides, texts_of
from tuning.options import SearchOptions
from tuning.task import Task

Options = TypeVar("Options", bound=SearchOptions)

WITHOUT_SEARCH: Mapping[str, Any] = {
    "num_samples": 1,
    "confirm": 0,
    "sampler": "random",
    "scheduler": "none",
}
"""What the options of a search are when there is none. Fresh seeds may be asked for."""

CONFLICTS = ("--num-samples", "--sampler", "--scheduler", "--set", "--space-file", "--warm-start", "--audit", "--target",
             "--ablation")  # fmt: skip
SCHEDULE = "schedule"
"""The one setting that a file alone can give: changes on the way, as population based training made them."""


def read_settings(texts: Sequence[str]) -> dict[str, Any]:
    """The settings of ``--train``, from a file, from JSON or from NAME=VALUE; values from the
    latter are text.

    Raises UsageError if they cannot be read.
    """
    (text, *more) = texts
    if "=" in text and not text.lstrip().startswith("{"):
        given = parse_overrides(texts)
        ranges = [
            name
            for name, value in given.items()
            if not (isinstance(value, tuple) and len(value) == 1)
        ]
        if ranges:
            raise UsageError(
                f"--train takes one value for each setting, and {ranges[0]} has several: leave out --train to search"
            )
        return {name: value[0] for name, value in given.items() if isinstance(value, tuple)}
    if more:
        raise UsageError(
            f"--train takes one file, or settings such as lr=0.01 max_norm=0.1, got {' '.join(texts)}"
        )
    try:
        content = (
            text
            if text.lstrip().startswith("{")
            else Path(user_path("--train", text)).read_text(encoding="utf-8")
        )
        settings = json.loads(content)
    except OSError as error:
        raise UsageError(f"--train {text} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"--train {text} is not JSON, such as best/config.json of a run") from None
    if isinstance(settings, dict) and isinstance(settings.get("config"), dict):
        settings = settings["config"]
    if not isinstance(settings, dict) or not settings:
        raise UsageError(
            f"--train {text} holds no settings: it must be an object with a value for each name"
        )
    return {**settings_of(settings), **({"seed": settings["seed"]} if "seed" in settings else {})}


def as_options(options: type[Options], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings that are options: the seed, and the script's own, such as the length or the data set."""
    own = {field.name for field in fields(options)} - {
        field.name for field in fields(SearchOptions)
    } | {"seed"}
    return {name: value for name, value in settings.items() if name in own}


def one_training(task: Task, settings: Mapping[str, Any], options: type[SearchOptions]) -> Task:
    """The experiment with a space of these settings alone. Raises UsageError if some are missing, unknown or impossible."""
    own = {*as_options(options, settings), *task.settings, SCHEDULE}
    space = _space(task.space, {name: value for name, value in settings.items() if name not in own})
    named = {field.name for field in fields(options)}  # what an option sets, the task has already
    kept = {name: settings[name] for name in own & settings.keys() - named}
    return replace(task, space=space, settings={**task.settings, **kept})


def _space(space: SearchSpace, settings: Mapping[str, Any]) -> SearchSpace:
    single = override(space, parse_overrides(texts_of(settings)), single=True)
    missing = [
        name for name, parameter in single.parameters.items() if not parameter.distribution.single()
    ]
    if missing:
        raise UsageError(f"--train needs a value for {', '.join(missing)} as well")
    return replace(single, baselines={}, left_out=())
