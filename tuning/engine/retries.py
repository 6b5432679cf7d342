"""What both searchers do if the machine fails a trial: they hand it out again."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from records.run_directory import RunDirectory
from tuning.engine.failure import MAX_LOST, Failure
from tuning.engine.patience import Patience, check_writable


class RetryingSearcher(Searcher, ABC):
    """A searcher that hands a trial out again if the machine failed under it.

    Attributes:
        tune_trials: Ray Tune's trials, which ``TrialListCallback`` keeps up to date.
    """

    def __init__(self, run: RunDirectory, patience: Patience | None) -> None:
        super().__init__()
        self._run, self._patience = run, patience or Patience()
        self.tune_trials: Sequence[Trial] = ()

    @abstractmethod
    def _ended(
        self, trial_id: str, result: dict[str, Any], error: bool, failure: Failure | None
    ) -> None:
        """Called once for a trial that is over; ``result`` is its last report, if there is one."""

    @abstractmethod
    def _hand_out_again(self, trial_id: str, failure: Failure) -> None:
        """Called if a trial is not over but lost: put it back in the queue."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Raises Trouble if the storage that failed a trial does not work again."""
        by_id = {trial.trial_id: trial for trial in self.tune_trials} if error else {}
        failure = Failure.of(by_id[trial_id]) if trial_id in by_id else None
        if failure is None or not failure.again:
            self._ended(trial_id, result or {}, error, failure)
            return
        if failure.blame == "storage":
            if failure.config_again["lost"] > MAX_LOST:
                number = failure.trial.config["trial"]
                raise self._patience.give_up(f"trial {number}: {failure.line}")
            self._patience(str(self._run.path), lambda: check_writable(self._run.path))
            self._run.push()
        self._hand_out_again(trial_id, failure)

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: a resumed search reads the study and the run directory."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing, since nothing was saved."""


class TrialListCallback(Callback):
    """Shows a searcher Ray Tune's trials: its own methods are only told their ids."""

    def __init__(self, searcher: RetryingSearcher) -> None:
        self.searcher = searcher

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray pickles its callbacks; a study stays here

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self.searcher.tune_trials = trials
