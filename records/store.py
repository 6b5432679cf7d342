"""JSON on disk: a file is replaced whole or not at all, a line is added even after one that a kill tore."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file whole: a reader, or a crash, never meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line to a file of JSON lines, also where a kill tore the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            torn = file.read(1) != b"\n"
            file.write(b"\n" * torn)
        file.write(json.dumps(line).encode() + b"\n")


def read_json(path: Path) -> dict[str, Any]:
    """What is in a JSON file; nothing where it is not there or cannot be read."""
    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
        return dict(json.loads(path.read_bytes()))
    return {}


def read_rows(file: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """The rows of a file of JSON lines, each with its ``step``, and the numbers of the lines that
    cannot be read.

    A large run has a million lines; orjson reads a file's at once, in a sixth of the time, but
    knows no NaN.
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
