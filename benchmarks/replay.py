"""Ray Tune over recorded curves: a trainable that replays them, and a Tuner that stops when the
ledger says that the search is over.
"""

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from benchmarks.curves import Curves, Ledger
from tuning.engine.searcher import StudySearch


class Replayed(tune.Trainable):
    """A trial whose reports are those of the nearest recorded setting."""

    def setup(self, config: dict[str, Any], **shared: Curves) -> None:
        self.curves = shared["curves"]
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setting = self.curves.nearest(new_config)
        self.report = 0
        return True

    def step(self) -> dict[str, Any]:
        rows = self.setting.rows
        row = rows[min(self.report, len(rows) - 1)]
        self.report += 1
        done = self.report >= len(rows)
        ended = self.setting.ended if done else None
        return {**row, "setting": self.setting.number, "ended": ended, "done": done}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        (Path(checkpoint_dir) / "report").write_text(str(self.report), encoding="utf-8")

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.report = int((Path(checkpoint) / "report").read_text(encoding="utf-8"))


class Spending(tune.Stopper):
    """Enters every report in the ledger, and stops the search when the ledger says so."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.settings = {setting.number: setting for setting in ledger.curves.settings}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        if not self.ledger.over:
            self.ledger.report(self.settings[result["setting"]], int(result["report"]))
        return False

    def stop_all(self) -> bool:
        return self.ledger.over


def tune_search(
    ledger: Ledger, searcher: Searcher, scheduler: TrialScheduler, folder: Path
) -> None:
    """Search one trial at a time until the ledger is over; Ray Tune's files go to ``folder``."""
    os.environ.update(TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1")
    os.environ.update(RAY_AIR_NEW_OUTPUT="0", RAY_CHDIR_TO_TRIAL_DIR="0")
    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    trainable = tune.with_parameters(Replayed, curves=ledger.curves)
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"CPU": 1}),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=100_000,
            # StudySearch counts its trials itself
            max_concurrent_trials=None if isinstance(searcher, StudySearch) else 1,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="replay",
            storage_path=str(folder),
            stop=Spending(ledger),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )
    with contextlib.redirect_stdout(sys.stderr):
        tuner.fit()
