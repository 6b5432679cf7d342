"""Ray Tune's searcher over a queue: the trainings after the search, whose configs are known."""

from typing import Any

from ray.tune.search import Searcher

from records.places import place_of
from records.run_directory import RunDirectory
from tuning.engine.failure import Failure
from tuning.engine.patience import Patience
from tuning.engine.retries import RetryingSearcher
from tuning.engine.room import Room


class QueueSearcher(RetryingSearcher):
    """Hands out the configs of a queue in their order.

    A training that the machine failed goes to the end of the queue, with its checkpoints.
    """

    def __init__(
        self,
        queue: list[dict[str, Any]],
        run: RunDirectory,
        room: Room,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(run, patience)
        self._room = room
        self._queue = list(queue)
        self._running: set[str] = set()

    def suggest(self, trial_id: str) -> Any:
        if self._queue and len(self._running) < self._room.slots:
            self._running.add(trial_id)
            return self._queue.pop(0)
        return None if self._running or self._queue else Searcher.FINISHED

    def _ended(
        self, trial_id: str, result: dict[str, Any], error: bool, failure: Failure | None
    ) -> None:
        self._running.discard(trial_id)

    def _hand_out_again(self, trial_id: str, failure: Failure) -> None:
        self._running.discard(trial_id)
        config = failure.config_again
        own = [place_of(one) for one in self._run.trial(config["trial"]).checkpoints()]
        earlier = [folder for folder in config.get("restore_from", ()) if folder not in own]
        self._queue.append({**config, "restore_from": own + earlier})
