"""``--train``: trains one given configuration once, with the same records and report as a search.

The configuration is given as settings (``lr=0.01 max_norm=0.1``) or as a JSON file:
``best/config.json`` or a trial's ``trial.json``. The latter also gives the seed. The search's seed
is then the trial's seed itself.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from command_line import UsageError, user_path
from records.checkpoint import settings_of
from records.older_names import todays_config
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
"""Defaults of these options under ``--train``. Of them, only ``--confirm`` can be set."""

CONFLICTS = (
    *("--num-samples", "--sampler", "--scheduler", "--set", "--space-file"),
    *("--warm-start", "--audit", "--target", "--ablation", "--finalists", "--seeds-per-trial"),
    "--resume-or-start",
)
"""Options that only a search has."""
SCHEDULE = "schedule"
"""A setting that only a file can give: the changes that population based training made."""


def read_settings(texts: Sequence[str]) -> dict[str, Any]:
    """The settings of ``--train``: a file, JSON or NAME=VALUE. Values of the last kind are text.
    Raises UsageError if they cannot be read."""
    (text, *more) = texts
    is_json = text.lstrip().startswith("{")
    if "=" in text and not is_json:
        return _assigned(texts)
    if more:
        raise UsageError(
            "--train takes one file, or settings such as lr=0.01 max_norm=0.1"
            f" (got {' '.join(texts)})"
        )
    file = None if is_json else Path(user_path("--train", text))
    try:
        settings = json.loads(file.read_text(encoding="utf-8") if file else text)
    except OSError as error:
        raise UsageError(f"--train {text} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UsageError(
            f"--train {text} is not JSON: name a file such as best/config.json of a run"
        ) from None
    if isinstance(settings, dict) and isinstance(settings.get("config"), dict):
        settings = settings["config"]
    if not isinstance(settings, dict) or not settings:
        raise UsageError(
            f"--train {text} holds no settings: it must be a JSON object with a value for each name"
        )
    settings = todays_config(settings)
    return {**settings_of(settings), **({"seed": settings["seed"]} if "seed" in settings else {})}


def _assigned(texts: Sequence[str]) -> dict[str, Any]:
    """The value of each NAME=VALUE."""
    given = parse_overrides(texts, "--train")
    for name, values in given.items():
        if not isinstance(values, tuple) or len(values) != 1:
            raise UsageError(
                f"--train takes one value for each setting, and {name} has several: give one"
                " value, or leave out --train to search"
            )
    return {name: values[0] for name, values in given.items() if isinstance(values, tuple)}


def as_options(options: type[Options], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings that are options: the seed and the script's own options, such as the
    length or the data set."""
    common = {field.name for field in fields(SearchOptions)} - {"seed"}
    own = {field.name for field in fields(options)} - common
    return {name: value for name, value in settings.items() if name in own}


def one_training(task: Task, settings: Mapping[str, Any], options: type[SearchOptions]) -> Task:
    """The task with a space that holds these settings only. Raises UsageError if some are missing,
    unknown or impossible."""
    own = {*as_options(options, settings), *task.settings, SCHEDULE}
    single = {name: value for name, value in settings.items() if name not in own}
    space = override(task.space, parse_overrides(texts_of(single)), single=True)
    missing = [name for name, one in space.distributions.items() if not one.single()]
    if missing:
        raise UsageError(f"--train needs a value for {', '.join(missing)} as well")
    space = replace(space, baselines={}, left_out=())
    named = {field.name for field in fields(options)}  # what an option sets, the task has already
    kept = {name: settings[name] for name in own & settings.keys() - named}
    return replace(task, space=space, settings={**task.settings, **kept})
