"""Ctrl-C and SIGTERM (which ``ray job stop`` sends): the first saves and stops, the second leaves at once.

Ray Tune stops cleanly on SIGUSR1, and by itself also on SIGINT but never on SIGTERM, so both are turned into SIGUSR1 here.
"""

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from ray.tune import Callback

INTERRUPTED = 130
"""Exit status, as a shell gives it to a program that Ctrl-C ended."""


class Interruption(Callback):
    """Whether the user has asked the search to stop; as a callback, it passes the request on to a Tune that starts late."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.requested = False
        self._say = say

    def install(self) -> None:
        """Handle the signals from now on. Call after ``ray.init``, which installs a SIGTERM handler of its own."""
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            os._exit(INTERRUPTED)
        self.requested = True
        self._say("stopping: trials in flight will go on from their checkpoints; once more to leave at once")
        signal.raise_signal(signal.SIGUSR1)

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self.requested:
            signal.raise_signal(signal.SIGUSR1)

    def __getstate__(self) -> dict[str, Any]:
        return {"requested": self.requested}  # Ray pickles its callbacks; the console stays here
