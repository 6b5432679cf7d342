"""Today's names for those of format 1, used while an older run is read; its files do not change."""

import re
from collections.abc import Mapping
from typing import Any


def todays_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's config: ``known`` becomes ``baseline``, and its value "by hand" "hand-tuned"."""
    config = _renamed(config, "known", "baseline")
    label = config.get("baseline")
    return {**config, "baseline": _label(label)} if isinstance(label, str) else config


def todays_search(search: Mapping[str, Any]) -> dict[str, Any]:
    """``search.json``: ``known``, ``perturbed`` and ``otherwise`` become what they are today."""
    search = _renamed(search, "known", "baselines")
    baselines = search.get("baselines", {})
    return {
        **search,
        "baselines": {_label(name): settings for name, settings in baselines.items()},
        "space": {
            name: _renamed(one, "perturbed", "mutable") for name, one in search["space"].items()
        },
        "objectives": [_renamed(one, "otherwise", "default") for one in search["objectives"]],
    }


def _label(name: str) -> str:
    return re.sub("^by hand", "hand-tuned", name)


def _renamed(entries: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    return {new if name == old else name: value for name, value in entries.items()}
