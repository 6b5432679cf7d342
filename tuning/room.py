"""How many trials may run at once: what the cluster has room for, and less once a trial has run out of memory."""

from collections.abc import Callable
from dataclasses import dataclass

from tuning.patience import say_on_stderr


@dataclass
class Room:
    """Shared by the searcher, which hands out new trials, and the scheduler, which lets paused ones go on."""

    slots: int
    say: Callable[[str], None] = say_on_stderr

    def __getstate__(self) -> dict[str, object]:
        return {"slots": self.slots}  # Ray pickles what its searchers hold; the console stays here

    def shrink(self) -> None:
        """One slot less, for a trial that ran out of memory; the last one stays."""
        if self.slots > 1:
            self.slots -= 1
            self.say(f"a trial ran out of memory: from now on {self.slots} at once")
