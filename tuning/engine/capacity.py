"""Whether there is room for the trials at all: a cluster may be full of other jobs, or have lost the nodes that had room."""

import time
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from tuning.trouble import Trouble

SAY_AFTER_S = 15.0
"""Without a trial that runs, the time after which its start counts as waiting for room: a worker's own start takes seconds."""

GIVE_UP_AFTER_S = 600.0
"""How long a search waits for room. A job manager charges for the wait, and a lost node rarely comes back later."""


class Capacity(Callback):
    """Knows since when trials have waited for the resources that each needs while none runs."""

    def __init__(self, request: dict[str, float]) -> None:
        self.request = " and ".join(f"{amount:g} {name}" for name, amount in request.items())
        self.since: float | None = None

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Raises Trouble where there has been no room for too long."""
        states = {trial.status for trial in trials}
        if Trial.RUNNING in states or Trial.PENDING not in states:
            self.since = None
        elif self.since is None:
            self.since = time.monotonic()
        elif time.monotonic() - self.since > GIVE_UP_AFTER_S:
            raise Trouble(
                f"no node of Ray's has had room for a trial ({self.request}) for {GIVE_UP_AFTER_S / 60:.0f} minutes"
            )

    def words(self) -> str | None:
        """What is waited for and since when, such as ``waiting for 1 CPU since 45 s``; None while trials run or start."""
        waited = 0.0 if self.since is None else time.monotonic() - self.since
        return f"waiting for {self.request} since {waited:.0f} s" if waited >= SAY_AFTER_S else None
