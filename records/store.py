"""JSON on disk: a file is replaced whole or not at all; a line is added even after half a line."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file whole: no reader, and no crash, ever finds half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line to a file of JSON lines, also if a kill cut off the line before it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            cut_off = file.read(1) != b"\n"
            file.write(b"\n" * cut_off)
        file.write(json.dumps(line).encode() + b"\n")


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file; empty if the file is missing or cannot be read."""
    with contextlib.suppress(OSError):
        return json_object(path.read_bytes())
    return {}


def json_object(content: bytes) -> dict[str, Any]:
    """The object in a JSON file's content; empty if it is no such object."""
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        return dict(json.loads(content))
    return {}


def read_rows(file: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """The rows of a file of JSON lines, each with a ``step``, and the numbers of unreadable lines.

    A large run has a million lines. orjson reads a whole file in a sixth of json's time, but it
    does not know NaN: a file with NaN is read line by line.
    """
    try:
        lines = file.read_bytes().splitlines()
    except OSError:
        return [], []
    with contextlib.suppress(ValueError):
        rows = orjson.loads(b"[" + b",".join(lines) + b"]")
        if len(rows) == len(lines) and all(map(_has_a_step, rows)):
            return rows, []
    rows, unreadable = [], []
    for number, line in enumerate(lines, 1):
        with contextlib.suppress(ValueError, RecursionError):
            row = json.loads(line)
            if _has_a_step(row):
                rows.append(row)
                continue
        unreadable.append(number)
    return rows, unreadable


def _has_a_step(row: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get("step"), int)
