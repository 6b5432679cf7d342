"""A dataclass as a command line (by tyro), with one line on stderr and exit status 2 for whatever is wrong with it."""

import contextlib
import io
import re
import sys
from pathlib import Path
from typing import NoReturn, TypeVar

import tyro

Options = TypeVar("Options")

NOT_A_NUMBER = {
    "takes a whole number, got": r"invalid literal for int\(\) with base 10:",
    "takes a number, got": r"could not convert string to float:",
    "takes a number with fewer digits": r"Exceeds the limit \(.*",
}
"""What tyro hands on of Python's own messages, by what would be right."""


class BadOptions(ValueError):
    """Something the user asked for cannot be done; the message is one line that says what would be right."""


def read_arguments(options: type[Options], arguments: list[str] | None = None, default: Options | None = None) -> Options:
    """The arguments (sys.argv where None) as ``options``, with ``default`` in place of the fields' own defaults.

    Raises BadOptions where they are wrong; prints the help and exits where it is asked for.
    """
    said = io.StringIO()
    config = (tyro.conf.FlagCreatePairsOff,)
    try:
        with contextlib.redirect_stderr(said):
            if default is None:
                return tyro.cli(options, args=arguments, config=config)
            return tyro.cli(options, args=arguments, default=default, config=config)
    except SystemExit as stop:
        if stop.code:
            raise BadOptions(_message(said.getvalue())) from None
        raise


def exit_bad_options(message: str) -> NoReturn:
    """Say what is wrong in one line on stderr and leave with status 2."""
    print(f"{Path(sys.argv[0]).name}: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def _message(panel: str) -> str:
    """tyro's message without its frame: the lines between the title and the rule above the help."""
    message = []
    for line in panel.splitlines()[1:]:
        text = line.strip("│ ")
        if not text or set(text) <= set("─╰╯"):
            break
        message.append(text)
    text = re.sub(r"^Error parsing [A-Z]\w+: ", "", " ".join(message))
    for kind, said in NOT_A_NUMBER.items():
        text = re.sub(rf"(?:Error parsing )?(--[\w-]+): {said}", rf"\1 {kind}", text)
    return text
