"""The room for trials: as many at once as the cluster holds, fewer once one ran out of memory."""

from collections.abc import Callable
from dataclasses import dataclass

from tuning.engine.patience import say_on_stderr


@dataclass
class Room:
    """The number of ``slots``. The searcher, which hands out new trials, and the scheduler, which
    lets paused trials go on, share it."""

    slots: int
    say: Callable[[str], None] = say_on_stderr

    def __getstate__(self) -> dict[str, object]:
        return {"slots": self.slots}  # Ray pickles what its searchers hold; the console stays here

    def shrink(self) -> None:
        """Take away a slot, since a trial ran out of memory; the last slot stays."""
        if self.slots > 1:
            self.slots -= 1
            self.say(f"a trial ran out of memory: from now on {self.slots} at once")


def room_on(node: dict[str, float], request: dict[str, float]) -> int:
    """Trials that fit on one node. A fraction of a GPU never spans two GPUs: with 0.4, each GPU
    takes two trials, and two GPUs take four, not five."""
    room = int(node.get("CPU", 0) / request["CPU"] + 1e-9)
    gpu = request.get("GPU", 0)
    if gpu:
        gpus = int(node.get("GPU", 0))
        room = min(room, gpus * int(1 / gpu + 1e-9) if gpu <= 1 else int(gpus / gpu))
    return room
