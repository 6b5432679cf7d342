"""Trainings on nodes that declare GPUs, each with the share of them that a search reserves: a
program that a test starts. The trainings themselves use CPUs, since the GPUs need not exist.

    python -m tests.support.shares ADDRESS GPUS_PER_TRIAL AT_ONCE FOLDER

It prints how many trainings the search expects to run at once. Each training leaves a file with its
begin and end and its GPUs' numbers in the folder.
"""

import json
import sys
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import ray
import torch

from records.run_directory import RunDirectory
from trainables import resumable
from trainables.lstm.trainable import LSTMTrial
from trainables.resumable import Row
from tune_lstm import LSTMOptions, lstm_task
from tuning.engine.cluster import connect
from tuning.engine.patience import Patience
from tuning.engine.progress import Progress
from tuning.engine.queue_searcher import QueueSearcher
from tuning.engine.room import Room
from tuning.engine.tuner import Stage, run_trials, set_up_libraries

MORE = 3
"""Trainings that have no room until others have ended."""
ONE_MORE_WOULD_START_S = 5.0
TOO_LATE_S = 150.0


class OnCPU(LSTMTrial):
    """Goes on once so many trainings as are expected at once have begun, and a while after that."""

    def setup(self, config: dict[str, Any]) -> None:
        vars(resumable)["assigned_device"] = lambda: torch.device("cpu")
        super().setup(config)

    def step(self) -> Row:
        folder, began = Path(self.config["folder"]), time.time()
        (folder / f"{self.config['trial']}.began").touch()
        while len([*folder.glob("*.began")]) < self.config["at_once"]:
            assert time.time() - began < TOO_LATE_S
            time.sleep(0.1)
        time.sleep(ONE_MORE_WOULD_START_S)
        row = super().step()
        seen = {"began": began, "ended": time.time(), "gpus": ray.get_gpu_ids()}
        (folder / f"{self.config['trial']}.json").write_text(json.dumps(seen))
        return row


def main(address: str, gpus: str, at_once: str, folder: str) -> None:
    set_up_libraries()
    options = LSTMOptions(
        address=address,
        gpus_per_trial=float(gpus),
        cpus_per_trial=0.5,
        storage_path=folder,
        name="run",
        input_length=3,
        max_steps=20,
    )
    task = replace(lstm_task(options), trainable=OnCPU)
    run = RunDirectory.create(options.run_path())
    run.start_session(options.experiment, asdict(options))
    cluster, (settings, *_) = connect(options, task), task.space.baselines.values()
    config = {**settings, **task.space.fixed, **task.settings}
    own = {"folder": folder, "at_once": int(at_once)}
    queue = [{**config, **own, "seed": n, "trial": n} for n in range(int(at_once) + MORE)]
    stage = Stage(
        QueueSearcher(queue, run, Room(len(queue))),  # so that only Ray limits them
        run,
        Progress(task, "trials", len(queue), Counter(), quiet=True),
        len(queue),
    )
    run_trials(stage, OnCPU, task, cluster, Patience())
    print(cluster.slots)


if __name__ == "__main__":
    main(*sys.argv[1:])
