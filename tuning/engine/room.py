"""How many trials may run at once: what the cluster has room for, and less once a trial has run out of memory."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ray.tune.experiment import Trial

from tuning.patience import say_on_stderr


@dataclass
class Room:
    """Shared by the searcher, which hands out new trials, and the scheduler, which lets paused ones
    go on.

    Attributes:
        paused_at_first_rung: Trials that wait there for the rest of the start-up, and take no slot
            meanwhile.
    """

    slots: int
    say: Callable[[str], None] = say_on_stderr
    paused_at_first_rung: list[Trial] = field(default_factory=list)

    def __getstate__(self) -> dict[str, object]:
        return {"slots": self.slots}  # Ray pickles what its searchers hold; the console stays here

    def shrink(self) -> None:
        """One slot less, for a trial that ran out of memory; the last one stays."""
        if self.slots > 1:
            self.slots -= 1
            self.say(f"a trial ran out of memory: from now on {self.slots} at once")
