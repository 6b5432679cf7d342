"""Command lines: as one is recorded, as one continues a run, and taken apart to be changed."""

import shlex
import sys

from command_line import HIDDEN, from_here, hide_arguments


def command() -> str:
    """The command line that started this process, without the secrets in it, as a shell takes it."""
    return shlex.join(["python", from_here(sys.argv[0]), *hide_arguments(sys.argv[1:])])


def resume_command(script: str, name: str, storage_path: str, *flags: str) -> str:
    """The command that goes on with run ``name``, as a shell takes it."""
    where = [] if storage_path == "runs" else ["--storage-path", storage_path]
    return shlex.join(["python", script, "--resume", "--name", name, *where, *flags])


def split_command(words: list[str], dropped: set[str]) -> tuple[list[str], list[str]]:
    """A command's options without those ``dropped``, and the arguments of its ``--set``."""
    kept: list[str] = []
    changes: list[str] = []
    option = ""
    if any(
        HIDDEN in word for word in words
    ):  # of a database's URL only, which is read from the environment as well
        dropped = {*dropped, "--optuna-storage"}
    for word in words:
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            if option == "--set" and equals:
                changes.append(value)
        elif option == "--set":
            changes.append(word)
        if option not in dropped:
            kept.append(word)
    return kept, changes
