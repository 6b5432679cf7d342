"""Command lines: how one is recorded, how one continues a run, and how one repeats a search."""

import shlex
import sys
from collections.abc import Mapping
from typing import Any

from command_line import HIDDEN, hide_arguments, hide_in_command
from records.places import from_here


def command() -> str:
    """The command line that started this process, quoted for a shell and without secrets."""
    return shlex.join(["python", from_here(sys.argv[0]), *hide_arguments(sys.argv[1:])])


def resume_command(script: str, name: str, storage_path: str, *flags: str) -> str:
    """The command that continues run ``name``, quoted for a shell."""
    where = [] if storage_path == "runs" else ["--storage-path", storage_path]
    return shlex.join(["python", script, "--resume", "--name", name, *where, *flags])


class Commands:
    """Commands that follow from a recorded run, quoted for a shell.

    Attributes:
        script: The script that searched, as the run's first command line names it.
    """

    def __init__(self, search: Mapping[str, Any], name: str) -> None:
        self._search, self._name = search, name
        sessions = search.get("sessions") or [{}]
        try:
            words = shlex.split(hide_in_command(str(sessions[0].get("command", ""))))
        except ValueError:  # a quote that is never closed: somebody edited the file
            words = []
        self.script = words[1] if len(words) > 1 else f"tune_{search.get('experiment', '')}.py"
        self._options = words[2:]

    def resume(self, *flags: str) -> str:
        """The command that continues the run."""
        storage_path = self._search.get("options", {}).get("storage_path", "runs")
        return resume_command(self.script, self._name, str(storage_path), *flags)

    def again(self, *changes: str, flags: tuple[str, ...] = (), less: tuple[str, ...] = ()) -> str:
        """The command of a new search like this one.

        Args:
            changes: Changes to the space, each as ``--set`` takes it.
            flags: Options that take the place of the run's own.
            less: Options of the run that are left out.
        """
        dropped = {"--set", "--name", "--resume", "--resume-or-start", *flags, *less}
        if any(HIDDEN in word for word in self._options):  # only a database's URL has a secret
            dropped.add("--optuna-storage")  # the environment names the database as well
        options, all_changes, option = [], [], ""
        for word in self._options:
            value = word
            if word.startswith("--"):
                option, _, value = word.partition("=")
            if option not in dropped:
                options.append(word)
            elif option == "--set" and value and "--set" not in less:
                all_changes.append(value)
        renamed = {change.partition("=")[0]: change for change in (*all_changes, *changes)}
        given = ["--set", *renamed.values()] if renamed else []
        return shlex.join(["python", self.script, *options, *given, *flags])
