"""Unforeseen errors, as the user sees them: one line that says what happened and what to do.

The console never shows a traceback.
"""

import functools
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from command_line import exit_usage_error, hide_secrets
from tuning.interruption import FAILED, early_exit


class Trouble(RuntimeError):
    """The search cannot go on, for a reason outside its trials. The message has no full stop."""


def words(error: BaseException) -> str:
    """The error in one line: the message of a ``Trouble``; for other errors their type as well."""
    message = hide_secrets(" ".join(str(error).split()))
    if isinstance(error, Trouble):
        return message
    if isinstance(error, ImportError):
        name = error.name or "a module"
        return f"Python cannot import {name} ({message}): install what is missing with `make setup`"
    return f"unexpected {type(error).__name__}" + (f": {message}" if message else "")


def write_traceback(error: BaseException, file: Path) -> bool:
    """Write the traceback into ``file``. Returns False if that is impossible, as on a full disk."""
    text = f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{''.join(traceback.format_exception(error))}"
    try:
        file.write_text(hide_secrets(text), encoding="utf-8", errors="backslashreplace")
    except OSError:
        return False
    return True


def guarded(main: Callable[[], int]) -> Callable[[], int]:
    """``main`` of a script, with one line for any error in it, also in its imports. The script must
    have installed ``early_exit`` before."""

    @functools.wraps(main)
    def run() -> int:
        try:
            status = main()
        except ImportError as error:
            exit_usage_error(words(error))
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            line = failure_line(f"{words(error)} ({where.filename}:{where.lineno})")
            print(line, file=sys.stderr, flush=True)
            status = FAILED
        finally:
            early_exit.lost = lambda: None  # Ray ends now, as it should
            early_exit.finish()
        early_exit.settle(status)
        return status

    return run


def failure_line(what: str) -> str:
    """The line that says why the script fails, with the script's name."""
    return f"{Path(sys.argv[0]).name}: {what}"
