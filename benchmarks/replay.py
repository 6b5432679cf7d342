"""Ray Tune over recorded curves: a trainable that replays them, and a Tuner that is stopped when the ledger says so."""

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from benchmarks.curves import Ledger
from tuning.engine.searcher import StudySearch

ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


class Replayed(tune.Trainable):
    """A trial whose reports are those of the nearest recorded setting."""

    curves: Any
    """A reference into Ray's object store."""

    def setup(self, config: dict[str, Any]) -> None:
        if isinstance(self.curves, ray.ObjectRef):
            self.curves = ray.get(self.curves)
        self.setting = self.curves.nearest(config)
        self.at = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        row = self.setting.rows[min(self.at, len(self.setting.rows) - 1)]
        self.at += 1
        done = self.at >= len(self.setting.rows)
        return {
            **row,
            "setting": self.setting.number,
            "ended": self.setting.ended if done else None,
            "done": done,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        (Path(checkpoint_dir) / "at").write_text(str(self.at), encoding="utf-8")

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.at = int((Path(checkpoint) / "at").read_text(encoding="utf-8"))


class Spending(tune.Stopper):
    """Enters every report in the ledger, and stops the search when that is over."""

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
    """Search with one trial at a time until the ledger is over, with Ray Tune's files under ``folder``."""
    os.environ.update(ENVIRONMENT)
    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    trainable = type(
        "Replayed",
        (Replayed,),
        {"curves": ray.put(ledger.curves), "__module__": Replayed.__module__},
    )
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"CPU": 1}),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=100_000,
            max_concurrent_trials=None
            if isinstance(searcher, StudySearch)
            else 1,  # ours counts them itself
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
