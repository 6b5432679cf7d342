"""Whether there is room for any trial: a cluster may be full of other jobs, or have lost nodes."""

import time
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from tuning.engine.room import request_words
from tuning.trouble import Trouble

SAY_AFTER_S = 15.0
"""How long no trial runs before it is called waiting for room: a worker takes seconds to start."""

GIVE_UP_AFTER_S = 600.0
"""How long a search waits for room: a job manager charges for it, and lost nodes rarely return."""


class Capacity(Callback):
    """Knows since when trials have waited for the resources that each needs while none runs."""

    def __init__(self, request: dict[str, float]) -> None:
        self.request = request_words(request)
        self.since: float | None = None

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Raises Trouble if there has been no room for too long."""
        states = {trial.status for trial in trials}
        if Trial.RUNNING in states or Trial.PENDING not in states:
            self.since = None
        elif self.since is None:
            self.since = time.monotonic()
        elif time.monotonic() - self.since > GIVE_UP_AFTER_S:
            raise Trouble(
                f"no node has had room for a trial ({self.request})"
                f" for {GIVE_UP_AFTER_S / 60:.0f} minutes"
            )

    def words(self) -> str | None:
        """A wait, such as ``waiting for 1 CPU, 45 s so far``; None while trials run or start."""
        waited = 0.0 if self.since is None else time.monotonic() - self.since
        return (
            f"waiting for {self.request}, {waited:.0f} s so far" if waited >= SAY_AFTER_S else None
        )
