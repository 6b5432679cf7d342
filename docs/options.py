"""Write docs/options.md, the options of both searches and of the report, from the dataclasses that
define them.

    python -m docs.options
"""

import ast
import dataclasses
import inspect
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from command_line import run_script
from reports.build import ReportOptions
from tune_gan import GANOptions
from tune_lstm import LSTMOptions
from tuning.options import SearchOptions, flag

FILE = Path(__file__).with_suffix(".md")


def texts(options: type) -> dict[str, str]:
    """The docstring of each field of a dataclass, which is its ``--help``."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(options))).body
    assert isinstance(node, ast.ClassDef)
    found = {}
    for pair in pairwise(node.body):
        match pair:
            case (ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(ast.Constant(str(text)))):
                found[name] = " ".join(text.split())
    return found


def values(kind: Any) -> str:
    """The choices of an option, or nothing."""
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    return next(filter(None, map(values, get_args(kind))), "")


def default_of(field: "dataclasses.Field[Any]") -> str:
    value = field.default
    if value in (None, (), dataclasses.MISSING) or value is False:
        return ""
    return f"`{' '.join(value) if isinstance(value, tuple) else value}`"


def table(options: type) -> str:
    """The options that a class defines itself."""
    hints, help_of = get_type_hints(options), texts(options)
    rows = ["| Option | Default | |", "|---|---|---|"]
    for field in dataclasses.fields(options):
        if field.name in help_of:
            name = "RUN ..." if field.name == "runs" else flag(field.name)
            choices = values(hints[field.name])
            text = help_of[field.name] + (f" One of {choices}." if choices else "")
            rows.append(f"| `{name}` | {default_of(field)} | {text} |")
    return "\n".join(rows)


def page() -> str:
    return f"""# Options

Made by `python -m docs.options` from the dataclasses that define them; `--help` says the same.

## Every search

{table(SearchOptions)}

## `tune_lstm.py`

{table(LSTMOptions)}

## `tune_gan.py`

{table(GANOptions)}

## `reports/build.py`

{table(ReportOptions)}

## Exit status

- 0: done.
- 2: bad options, bad input or a machine that cannot run the search. One line says why; nothing was
  started.
- 1: the search failed. One line says why and how to continue.
- 130: interrupted. The last line is the command that continues. (143 after SIGTERM in the part of a
  second in which Ray starts: see [faults.md](faults.md).)
"""


def main() -> None:
    FILE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    run_script(main)
