"""The room for trials: how many run at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tuning.engine.patience import say_on_stderr


@dataclass
class Room:
    """The number of ``slots`` for trials.

    The searcher hands out new trials and the scheduler lets paused trials go on; both share it.

    Attributes:
        holds: The number of trials that the nodes can run at once. It changes with the nodes.
        most: The largest number of trials at once; 0: no bound.
        out_of_memory: Slots that are left empty, since a trial ran out of memory.
    """

    holds: int
    most: int = 0
    out_of_memory: int = 0
    say: Callable[[str], None] = say_on_stderr

    @property
    def slots(self) -> int:
        """How many trials may run at once; always one at least, which may have to wait."""
        return max(1, min(self.holds, self.most or self.holds) - self.out_of_memory)

    def __getstate__(self) -> dict[str, object]:
        return {"holds": self.holds}  # Ray pickles what its searchers hold; the console stays here

    def shrink(self) -> None:
        """Remove a slot after a trial ran out of memory; the last slot stays."""
        if self.slots > 1:
            self.out_of_memory += 1
            self.say(f"a trial ran out of memory: from now on {self.slots} at once")


def room_on(node: Mapping[str, float], request: Mapping[str, float]) -> int:
    """The number of trials that fit on one node.

    A fraction of a GPU never spans two GPUs: if each trial needs 0.4, two GPUs hold four trials,
    not five.
    """
    room = int(node.get("CPU", 0) / request["CPU"] + 1e-9)
    gpu = request.get("GPU", 0)
    if gpu:
        gpus = int(node.get("GPU", 0))
        room = min(room, gpus * int(1 / gpu + 1e-9) if gpu <= 1 else int(gpus / gpu))
    return room


def request_words(request: Mapping[str, float]) -> str:
    """The resources of a trial in words, such as ``1 CPU and 0.5 GPU``."""
    return " and ".join(f"{amount:g} {name}" for name, amount in request.items())
