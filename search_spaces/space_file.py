"""A TOML or YAML file with changes to a search space.

``lr = {low = 1e-4, high = 0.1, log = true}`` is a range, ``max_norm = 0.1`` a fixed value,
``beta1 = [0.0, 0.5]`` are choices: the same as ``--set`` takes.
"""

import stat
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from command_line import UsageError
from search_spaces.set_syntax import (
    Override,
    Range,
    number,
    override_text,
    parse_overrides,
    shown,
    token,
)

LARGEST_FILE = 100_000
"""Bytes of a space file; a hundred parameters need a tenth of it."""


def read_space_file(path: Path) -> dict[str, Override]:
    """The entries of a .toml, .yaml or .yml file. Raises UsageError if it, or one of its entries,
    cannot be read.
    """
    if path.suffix not in (".toml", ".yaml", ".yml"):
        raise UsageError(f"--space-file takes a .toml, .yaml or .yml file, got {path}")
    try:
        text = _read_text(path)
        entries = tomllib.loads(text) if path.suffix == ".toml" else yaml.load(text, _PlainLoader)
    except (OSError, RecursionError, ValueError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else reason
        raise UsageError(f"--space-file {path} cannot be read: {reason}") from None
    if not isinstance(entries, dict) or not all(isinstance(name, str) for name in entries):
        raise UsageError(f"--space-file {path} must give each parameter by its name")
    overrides = {}
    for name, entry in entries.items():
        try:
            overrides[name] = _read_entry(entry)
            if parse_overrides([override_text(name, overrides[name])]) != {name: overrides[name]}:
                raise ValueError(f"{shown(entry)} cannot be a value")
        except ValueError as error:
            raise UsageError(f"--space-file {path}: {shown(name)}: {error}") from None
    return overrides


def _read_text(path: Path) -> str:
    """The text of a space file. Raises ValueError for a device or a pipe (which may never end), a
    file that is too large, and bytes that are not UTF-8.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"it is {'a folder' if path.is_dir() else 'not a regular file'}")
    if found.st_size > LARGEST_FILE:
        raise ValueError(f"it has {found.st_size:,} bytes, more than {LARGEST_FILE:,}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not text in UTF-8") from None


class _PlainLoader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML without aliases, which can make a short file endless, and without repeated names, all
    but one of which would be ignored.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("it has an alias (*name): write the value itself")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = Counter(name.value for name, _ in node.value if isinstance(name.value, str))
        for name, count in names.items():
            if count > 1:
                raise ValueError(f"{shown(name)} is there twice")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _read_entry(entry: Any) -> Override:
    if isinstance(entry, dict):
        if not {"low", "high"} <= set(entry) <= {"low", "high", "log", "step"}:
            got = ", ".join(map(shown, list(entry)[:6])) or "none"
            raise ValueError(f"a range has low, high and perhaps log and step, got {got}")
        log, step = entry.get("log"), entry.get("step")
        if not isinstance(log, bool | None):
            raise ValueError(f"log is true or false, got {shown(log)}")
        low, high = number(entry["low"]), number(entry["high"])
        return Range(low, high, log, None if step is None else number(step))
    values = entry if isinstance(entry, list) else [entry]
    if not values or not all(isinstance(value, str | int | float | None) for value in values):
        raise ValueError(
            f"takes a value, a list of values, or a range with low and high, got {shown(entry)}"
        )
    return tuple(map(token, values))
