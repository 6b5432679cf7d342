"""Write docs/options.md: the options of both searches and of the report, from the dataclasses that
define them.

    python -m docs.options
"""

import ast
import dataclasses
import inspect
import textwrap
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from command_line import run_script
from reports.build import ReportOptions
from tune_gan import GANOptions
from tune_lstm import LSTMOptions
from tuning.options import SearchOptions

FILE = Path(__file__).with_suffix(".md")


def texts(options: type) -> dict[str, str]:
    """The text beside each field of a dataclass, which is its ``--help``."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(options))).body
    assert isinstance(node, ast.ClassDef)
    found = {}
    for field, text in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
        ):
            assert isinstance(text.value, ast.Constant)
            found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def values(kind: Any) -> str:
    """The choices of an option, or nothing."""
    if get_origin(kind) is Literal:
        return ", ".join(f"`{one}`" for one in get_args(kind))
    return next((found for one in get_args(kind) if (found := values(one))), "")


def default_of(field: "dataclasses.Field[Any]") -> str:
    value = field.default
    if value is None or value == () or value is False or value is dataclasses.MISSING:
        return ""
    return "`" + (" ".join(value) if isinstance(value, tuple) else str(value)) + "`"


def table(options: type) -> str:
    """The options that a class defines itself."""
    hints, fields = (
        get_type_hints(options),
        {field.name: field for field in dataclasses.fields(options)},
    )
    rows = ["| Option | Default | |", "|---|---|---|"]
    for name, text in texts(options).items():
        if name not in fields:
            continue
        flag = f"`--{name.replace('_', '-')}`" if name != "runs" else "`RUN ...`"
        choices = values(hints[name])
        rows.append(
            f"| {flag} | {default_of(fields[name])} | {text}{f' One of {choices}.' if choices else ''} |"
        )
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

0: done. 2: bad options, bad input or a machine that cannot run it; one line, and nothing was started. 1: the search failed;
one line says why and how to continue. 130: interrupted; the last line is the command that continues.
"""


def main() -> None:
    FILE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    run_script(main)
