"""What every script does around its work: it reads options from the command line, refuses bad ones
with one line on stderr and exit status 2, hides the secrets in arguments, and continues if its
console breaks.

The last line of a script is ``run_script(main)``.
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
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote, quote_plus, unquote, unquote_plus

Options = TypeVar("Options")

HIDDEN = "***"
"""Shown in place of a secret."""

LEAST_COLUMNS = 40
"""tyro takes minutes to lay out its help for a narrower terminal."""

_SECRET_NAME = r"(?:pass(?:word|wd)?|pwd|token|secret|api_?key)"
_ASSIGNED = re.compile(rf"(?i)({_SECRET_NAME}\w*\s*=\s*)('[^']*'|\"[^\"]*\"|[^\s&;]+)")
_QUERY_VALUE = re.compile(r"(?s)([?&;][^=&;]*=)([^&;]*)")
_SHOWN_QUERY = re.compile(
    "(?i)(region|scheme|endpoint_override|allow_bucket_creation|project_id|retry_limit_seconds"
    "|(blob|dfs)_storage_(authority|scheme)|enable_tls|user|replication)="
)
"""What the query of a storage's URI may say, and no secret."""

_real: dict[str, str] = {}
"""Arguments with a secret, by the text shown in their place. They are kept only here, and in no
object that is recorded or sent to another process."""
_secrets: set[str] = set()
"""All spellings of the secrets in arguments."""

NOT_A_NUMBER = {
    "takes a whole number, got": r"invalid literal for int\(\) with base 10:",
    "takes a number, got": r"could not convert string to float:",
    "takes a number with fewer digits": r"Exceeds the limit \(.*",
}
"""Our words for Python's messages that tyro repeats."""


class UsageError(ValueError):
    """A request that cannot be met. The message is one line: what is wrong, and what to do."""


def run_script(main: Callable[[], int | None]) -> NoReturn:
    """Run ``main`` and exit with its status; UsageError gives 2 and one line on stderr, Ctrl-C 130.

    A console that is closed, full, without a reader or of another encoding changes nothing.
    """
    _take_over_console()
    try:
        Path.cwd()
    except FileNotFoundError:
        exit_usage_error("the current folder has been removed: change to another folder")
    try:
        sys.exit(main())
    except UsageError as error:
        exit_usage_error(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def read_arguments(
    options: type[Options], arguments: list[str] | None = None, default: Options | None = None
) -> Options:
    """The arguments (sys.argv if None) as ``options``; ``default`` replaces the fields' defaults.

    Their secrets are hidden (see ``reveal``), also in the process's title. Raises UsageError if an
    argument is wrong; ``--help`` prints the help and exits.
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
        if isinstance(stop.__context__, UsageError):  # raised by the options; tyro breaks its lines
            raise stop.__context__ from None
        if stop.code:
            raise UsageError(_message(said.getvalue())) from None
        raise


def exit_usage_error(message: str) -> NoReturn:
    """Print what is wrong in one line on stderr and exit with status 2."""
    line = " ".join(hide_secrets(message).split())
    print(f"{Path(sys.argv[0]).name}: error: {line}", file=sys.stderr)
    sys.exit(2)


def _message(panel: str) -> str:
    """tyro's message without its frame: the lines above the rule before the hint at ``--help``. If
    the console is not UTF-8, the frame is made of dashes.
    """
    lines = [line.strip("│ ") for line in panel.splitlines()[1:]]

    def is_rule(line: str) -> bool:
        return set(line) <= set("─╰╯-")  # or an empty line

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
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


def hide_arguments(arguments: Sequence[str]) -> list[str]:
    """Arguments with ``***`` in place of passwords, tokens and the values in a URL's query."""
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
    """The argument that is shown as ``hidden``, with its secret; other texts stay as they are."""
    return _real.get(hidden, hidden)


def hide_secrets(text: str) -> str:
    """A message without the secrets in its URLs and those of all arguments, in any spelling."""
    text = re.sub(r"\w[\w+.-]*://\S+", lambda url: _hide(url[0])[0], text)
    text = _ASSIGNED.sub(rf"\1{HIDDEN}", text)
    for secret in sorted(_secrets, key=len, reverse=True):
        # A short one, such as "a", is hidden as a whole word only
        before, after = ("", "") if len(secret) > 3 else (r"(?<!\w)", r"(?!\w)")
        text = re.sub(f"(?i){before}{re.escape(secret)}{after}", HIDDEN, text)
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
    """``text`` without its secrets, and the secrets: the password of a URL, from the first ``:`` to
    the last ``@``, the values of its query, and what follows ``password=`` and the like. With
    ``anything``, text without ``://`` is a URL too.
    """
    secrets: list[str] = []

    def hide(found: re.Match[str]) -> str:
        if _SHOWN_QUERY.fullmatch(found[1].lstrip("?&;")):
            return found[0]
        # Other short values, such as 10, are hidden here but not in other messages
        if len(found[2]) > 5 or re.search(f"(?i){_SECRET_NAME}", found[1]):
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
    """A secret as typed, decoded, percent-encoded, and as Python and JSON print it."""
    kept = "surrogateescape"
    decoded = {secret, unquote(secret, errors=kept), unquote_plus(secret, errors=kept)}
    encoded = {quote(text, safe, errors=kept) for text in decoded for safe in ("", "/", " +")}
    printed = {form(text)[1:-1] for text in decoded for form in (repr, ascii, json.dumps)}
    return decoded | encoded | printed | {quote_plus(text, errors=kept) for text in decoded}


def user_path(flag: str, path: str) -> str:
    """A user's path with ``~`` expanded, and ``./`` before a dash, so that no program takes it for
    an option. Raises UsageError if it is empty, or begins with ``~`` and the name of no user.
    """
    if not path:
        raise UsageError(f"{flag} is empty: name a folder or file, such as .")
    expanded = os.path.expanduser(path)  # noqa: PTH111 (Path takes ./~ for a home as well)
    if expanded.startswith("~"):
        raise UsageError(
            f"{flag} {path}: there is no such user; for a folder of that name, write ./{path}"
        )
    return f"./{expanded}" if expanded.startswith("-") else expanded


def user_cache() -> Path:
    """This project's folder in XDG_CACHE_HOME, ~/.cache or, without a home, a temporary folder.

    A relative XDG_CACHE_HOME is ignored: https://specifications.freedesktop.org/basedir-spec
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():
        try:
            cache = Path.home() / ".cache"
        except RuntimeError:
            cache = Path(tempfile.gettempdir())
    return cache / "ray-tune-optuna-search"


class _Console(io.FileIO):
    """A standard stream that never fails: what it cannot take is lost."""

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            try:
                written = super().write(rest)
            except OSError:
                break
            if written is None:  # a non-blocking stream that is full
                select.select([], [self], [], 1)
            else:
                rest = rest[written:]
        return size


def _encode_anyhow(error: UnicodeError) -> tuple[bytes, int]:
    """Encode what the encoding lacks: bytes that were escaped as surrogates (of a file name, say)
    stay themselves, other characters become question marks.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    codes = map(ord, error.object[error.start : error.end])
    encoded = bytes(code - 0xDC00 if 0xDC80 <= code < 0xDD00 else ord("?") for code in codes)
    return encoded, error.end


def _take_over_console() -> None:
    codecs.register_error("anyhow", _encode_anyhow)
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: the next file that is opened would become, say, stdout
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        encoding = getattr(getattr(sys, name), "encoding", None) or "utf-8"
        raw: Any = _Console(descriptor, "w", closefd=False)
        setattr(sys, name, io.TextIOWrapper(raw, encoding, "anyhow", line_buffering=True))
