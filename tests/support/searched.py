"""A run that is searched trial by trial in this process, without Ray.

Its records and its study are as a search leaves them.
"""

from dataclasses import asdict
from typing import Any

from optuna.distributions import distribution_to_json

import tuning.engine.study
from records.run_directory import RunDirectory
from tune_lstm import LSTMOptions
from tuning.engine.identity import open_run
from tuning.engine.patience import Patience
from tuning.engine.room import Room
from tuning.engine.searcher import StudySearch
from tuning.engine.storage import open_storage
from tuning.engine.study import RunStudy
from tuning.task import Task


def open_study(options: LSTMOptions, task: Task, run: RunDirectory) -> RunStudy:
    """The run's study in the run's own database."""
    return tuning.engine.study.open_study(options, task, run, open_storage(options, run.path))


ENDS = ("budget", "converged", "stopped early", "diverged", "error")
"""The outcomes of the trials, in turn."""


def described(task: Task) -> dict[str, Any]:
    """The least of an experiment that ``search.json`` must tell."""
    return {
        "space": {
            name: {"distribution": distribution_to_json(one), "reason": "."}
            for name, one in task.space.distributions.items()
        },
        "fixed": {**task.space.fixed, **task.settings},
        "objectives": [asdict(one) for one in task.objectives],
        "goal": asdict(task.goal),
    }


class Searched:
    """A run that is searched trial by trial, without Ray."""

    def __init__(self, options: LSTMOptions, task: Task) -> None:
        self.options, self.task = options, task
        self.notes: list[str] = []
        path = options.run_path()
        self.run = RunDirectory(path) if options.resume else RunDirectory.create(path)
        if not options.resume:
            self.run.start_session(options.experiment, asdict(options))
            self.run.describe(described(task))
        study, self.notes = open_run(options, task, self.run, Patience())
        self.study = study.study
        self.run.start_session(options.experiment, asdict(options))
        done = sum(record.ended is not None for _, record in self.run.trials())
        self.searcher = StudySearch(
            options, task, self.run, study, trials_done=done, room=Room(100)
        )

    def hand_out(self, name: str) -> int:
        config = self.searcher.suggest(name)
        assert config is not None
        return int(config["trial"])

    def end(self, name: str, number: int) -> None:
        """Report twice and end with this number's outcome of ``ENDS``."""
        directory, ended = self.run.trial(number), ENDS[number % len(ENDS)]
        for step in (100, 200):
            row = {
                "step": step,
                "mean_accuracy": number / 100 + step / 1000,
                "ended": ended if step == 200 else None,
            }
            directory.append(row)
            if step == 100:
                self.searcher.on_trial_result(name, row)
        record = directory.read()
        assert record is not None
        self.searcher.on_trial_complete(name, row, error=ended == "error")
        record.ended, record.finished = ended, record.started + 5
        directory.write(record)

    def search(self, count: int) -> list[int]:
        """Hand out ``count`` trials and end them; returns their numbers."""
        numbers = []
        for place in range(count):
            numbers.append(self.hand_out(f"trial {place}"))
            self.end(f"trial {place}", numbers[-1])
        return numbers
