"""Ray Tune's searcher over a queue: trainings after the search, whose configs are settled before the first one starts."""

from collections.abc import Sequence
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from records.run_directory import RunDirectory
from tuning.engine.failure import Failure, config_again, find_trial, wait_for_storage
from tuning.engine.patience import Patience


class QueueSearcher(Searcher):
    """Hands out configs that are settled beforehand, in their order; one whose worker died, again, from its checkpoint."""

    def __init__(
        self, queue: list[dict[str, Any]], run: RunDirectory, patience: Patience | None = None
    ) -> None:
        super().__init__()
        self._queue = list(queue)
        self._run, self._patience = run, patience or Patience()
        self._running: set[str] = set()
        self.tune_trials: Sequence[Trial] = ()

    def suggest(self, trial_id: str) -> Any:
        if self._queue:
            self._running.add(trial_id)
            return self._queue.pop(0)
        return None if self._running else Searcher.FINISHED

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self._running.discard(trial_id)
        failed = find_trial(self.tune_trials, trial_id) if error else None
        failure = None if failed is None else Failure.of(failed)
        if failed is not None and failure is not None and failure.again:
            config = config_again(failed)
            if failure.blame == "storage":
                wait_for_storage(self._run, config, failure, self._patience)
            own = [str(folder) for folder in self._run.trial(config["trial"]).checkpoints()]
            earlier = [folder for folder in config.get("restore_from", ()) if folder not in own]
            self._queue.append({**config, "restore_from": own + earlier})

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        pass
