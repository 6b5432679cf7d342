"""What every script needs around its work: options from the command line, one line on stderr with
exit status 2 for a bad one, no secret of an argument anywhere, and a console that may break without
harm.

A script's last line is ``run_script(main)``.
"""

import codecs
import contextlib
import io
import json
import os
import re
import select
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote, quote_plus, unquote, unquote_plus

Options = TypeVar("Options")

HIDDEN = "***"
"""What is shown in place of a secret."""

LEAST_COLUMNS = 40
"""tyro needs minutes to lay out its help for a narrower terminal."""

_SECRET_NAME = r"(?:pass(?:word|wd)?|pwd|token|secret|api_?key)"
_ASSIGNED = re.compile(rf"(?i)({_SECRET_NAME}\w*\s*=\s*)('[^']*'|\"[^\"]*\"|[^\s&;]+)")
_QUERY_VALUE = re.compile(r"(?s)([?&;][^=&;]*=)([^&;]*)")

_real: dict[str, str] = {}
"""Arguments that hold a secret, by what is shown in their place. They are kept here alone: in no
object that is recorded or sent to another process."""
_secrets: set[str] = set()
"""Every spelling of every secret that an argument held."""

NOT_A_NUMBER = {
    "takes a whole number, got": r"invalid literal for int\(\) with base 10:",
    "takes a number, got": r"could not convert string to float:",
    "takes a number with fewer digits": r"Exceeds the limit \(.*",
}
"""What tyro hands on of Python's own messages, by what would be right."""


class UsageError(ValueError):
    """Something the user asked for cannot be done; the message is one line that says what would be right."""


def run_script(main: Callable[[], int | None]) -> NoReturn:
    """Run ``main`` and exit with its status: 2 and one line on stderr for UsageError, 130 for
    Ctrl-C.

    Whatever becomes of the console meanwhile (closed, full, a pipe without a reader, another
    encoding) changes nothing.
    """
    _take_over_console()
    try:
        Path.cwd()
    except FileNotFoundError:
        exit_usage_error("the current folder has been removed: change to another one")
    try:
        sys.exit(main())
    except UsageError as error:
        exit_usage_error(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def read_arguments(
    options: type[Options], arguments: list[str] | None = None, default: Options | None = None
) -> Options:
    """The arguments (sys.argv if None) as ``options``, with ``default`` in place of the fields' own
    defaults.

    Secrets in them are hidden (see ``reveal``), in the process's title too. Raises UsageError if
    they are wrong; prints the help and exits if it is asked for.
    """
    import tyro  # takes a while: a script handles signals before it is imported

    given = sys.argv[1:] if arguments is None else arguments
    shown = hide_arguments(given)
    if arguments is None and shown != given:
        from setproctitle import setproctitle

        setproctitle(" ".join([*sys.orig_argv[: -len(given)], *shown]))
    said = io.StringIO()
    config = (tyro.conf.FlagCreatePairsOff,)
    try:
        with contextlib.redirect_stderr(said), _wide_enough():
            if default is None:
                return tyro.cli(options, args=shown, config=config)
            return tyro.cli(options, args=shown, default=default, config=config)
    except SystemExit as stop:
        if isinstance(stop.__context__, UsageError):  # the options' own: tyro would break its lines
            raise stop.__context__ from None
        if stop.code:
            raise UsageError(_message(said.getvalue())) from None
        raise


def exit_usage_error(message: str) -> NoReturn:
    """Say what is wrong in one line on stderr and leave with status 2."""
    print(
        f"{Path(sys.argv[0]).name}: error: {' '.join(hide_secrets(message).split())}",
        file=sys.stderr,
    )
    sys.exit(2)


def _message(panel: str) -> str:
    """tyro's message without its frame, which has dashes in a console that is not UTF-8: what is above the rule to the help."""
    lines = [line.strip("│ ") for line in panel.splitlines()[1:]]

    def is_rule(line: str) -> bool:
        return set(line) <= set("─╰╯-")  # an empty line is one too

    text = " ".join(takewhile(lambda line: not is_rule(line), dropwhile(is_rule, lines)))
    text = re.sub(r"^Error parsing [A-Z]\w+: ", "", text)
    for kind, said in NOT_A_NUMBER.items():
        text = re.sub(rf"(?:Error parsing )?(--[\w-]+): {said}", rf"\1 {kind}", text)
    return text


@contextlib.contextmanager
def _wide_enough() -> Iterator[None]:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(max(LEAST_COLUMNS, shutil.get_terminal_size().columns))
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def hide_arguments(arguments: Sequence[str]) -> list[str]:
    """Command line arguments with ``***`` for passwords, tokens and the values in a URL's query."""
    shown, flag = [], ""
    for argument in arguments:
        before, text = "", argument
        if argument.startswith("-"):
            flag, equals, text = argument.partition("=")
            before = flag + equals
        if text and re.search(f"(?i){_SECRET_NAME}", flag):
            hidden, secrets = HIDDEN, [text]
        else:
            hidden, secrets = _hide(text, anything="optuna" in flag)
        if hidden != text:
            _real[hidden] = text
        _secrets.update(form for secret in secrets for form in _spellings(secret))
        shown.append(before + hidden)
    return shown


def reveal(hidden: str) -> str:
    """What an argument was before its secret was hidden; the text itself if nothing is known of it."""
    return _real.get(hidden, hidden)


def hide_secrets(text: str) -> str:
    """A message without secrets: those in its URLs, and all that an argument held, however they are spelled."""
    text = re.sub(r"\w[\w+.-]*://\S+", lambda url: _hide(url[0])[0], text)
    text = _ASSIGNED.sub(rf"\1{HIDDEN}", text)
    for secret in sorted(_secrets, key=len, reverse=True):
        edges = (
            ("", "") if len(secret) > 3 else (r"(?<!\w)", r"(?!\w)")
        )  # a password "a" is not to be found in every word
        text = re.sub(re.escape(secret).join(edges), HIDDEN, text, flags=re.IGNORECASE)
    return text


def hide_in_command(command: str) -> str:
    """A recorded command line without secrets."""
    try:
        words = shlex.split(command)
    except ValueError:
        return hide_secrets(command)
    shown = hide_arguments(words)
    return command if shown == words else shlex.join(shown)


def _hide(text: str, anything: bool = False) -> tuple[str, list[str]]:
    """``text`` without its secrets, and these: the password from the first ``:`` to the last ``@``
    of a URL, the values of its query, and what follows ``password=`` and the like. ``anything``:
    take it for a URL even if it has no ``://``.
    """
    secrets: list[str] = []

    def hide(found: re.Match[str]) -> str:
        if len(found[2]) > 5 or re.search(
            f"(?i){_SECRET_NAME}", found[1]
        ):  # not every "require" and 10 is a secret
            secrets.append(found[2])
        return found[1] + HIDDEN

    scheme, separator, rest = text.partition("://")
    if separator or anything:
        head, rest = (scheme + separator, rest) if separator else ("", text)
        account, at, place = rest.rpartition("@")
        user, colon, password = account.partition(":")
        if colon:
            secrets.append(password)
            password = HIDDEN
        text = head + user + colon + password + at + _QUERY_VALUE.sub(hide, place)
    text = _ASSIGNED.sub(hide, text)
    return text, [secret for secret in secrets if secret not in ("", HIDDEN)]


def _spellings(secret: str) -> set[str]:
    """A secret as it was typed, decoded, percent-encoded, and as Python and JSON would print it."""
    kept = "surrogateescape"
    decoded = {secret, unquote(secret, errors=kept), unquote_plus(secret, errors=kept)}
    encoded = {quote(one, safe, errors=kept) for one in decoded for safe in ("", "/", " +")}
    printed = {text[1:-1] for one in decoded for text in (repr(one), ascii(one), json.dumps(one))}
    return decoded | encoded | printed | {quote_plus(one, errors=kept) for one in decoded}


def user_path(flag: str, path: str) -> str:
    """A path that the user gave: ``~`` expanded, and never such that a program could take it for an
    option.

    Raises UsageError if it is empty, or begins with ``~`` and a name that is no user's.
    """
    if not path:
        raise UsageError(f"{flag} is empty: name a folder or file, such as .")
    expanded = os.path.expanduser(path)  # noqa: PTH111 (Path takes ./~ for a home as well)
    if expanded.startswith("~"):
        raise UsageError(
            f"{flag} {path}: there is no home of such a user; a folder of that name is ./{path}"
        )
    return f"./{expanded}" if expanded.startswith("-") else expanded


def from_here(path: str | Path) -> str:
    """A path as one would type it in the current folder."""
    relative = os.path.relpath(path)
    return f"./{relative}" if relative.startswith(("-", "~")) else relative


class _Console(io.FileIO):
    """A standard stream of which nothing is asked: what it cannot take is lost."""

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            try:
                written = super().write(rest)
            except OSError:
                break
            if written is None:  # it does not block, and is full
                select.select([], [self], [], 1)
            else:
                rest = rest[written:]
        return size


def _encode_anyhow(error: UnicodeError) -> tuple[bytes, int]:
    """What an encoding lacks: bytes of a file name that are no text stay as they are, anything else is a question mark."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    codes = map(ord, error.object[error.start : error.end])
    return b"".join(
        bytes([code - 0xDC00]) if 0xDC80 <= code < 0xDD00 else b"?" for code in codes
    ), error.end


def _take_over_console() -> None:
    codecs.register_error("anyhow", _encode_anyhow)
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: else the next file that is opened becomes, say, stdout
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        encoding = getattr(getattr(sys, name), "encoding", None) or "utf-8"
        raw: Any = _Console(descriptor, "w", closefd=False)
        setattr(sys, name, io.TextIOWrapper(raw, encoding, "anyhow", line_buffering=True))
