"""Confirmation: the best settings are trained again on fresh seeds, and every figure is kept.

The figure that a search selected a trial by flatters it: it is the best of many. Trained again on
seeds the search never used, the same settings show what they are worth. Where a seed misses the
goal, the runner-up is confirmed too if it reached the goal in the search, up to ``CANDIDATES``
settings; all of them are reported, in the order tried.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from records.objective import Goal, pareto_front
from records.outcome import COMPLETE, CUT_OFF, ERROR, STOPPED_EARLY
from records.run_directory import RunDirectory
from records.trial_directory import TrialRecord
from tuning.options import SearchOptions
from tuning.seeds import confirmation_seeds
from tuning.task import Task

CANDIDATES = 3


@dataclass
class Candidate:
    """A trial of the search that may be the winner.

    Attributes:
        config: What trains it again. Where it took over others' weights: the settings that those
            began with, and the ``schedule`` of the changes since.
        lineage: The trials whose weights it took over, the first first, and itself.
        seed: The seed it had in the search.
        last_row: What the trial reported last, in the search.
        confirmations: Seed to the last row of the same settings trained on that seed.
    """

    number: int
    ended: str
    config: dict[str, Any]
    seed: int
    last_row: dict[str, Any]
    lineage: list[int] = field(default_factory=list)
    confirmations: dict[int, dict[str, Any]] = field(default_factory=dict)

    def holds(self, goal: Goal, count: int) -> bool:
        """Whether the goal is reached on every one of ``count`` fresh seeds."""
        return len(self.confirmations) == count and all(
            goal.reached(row) for row in self.confirmations.values()
        )

    def read_confirmations(self, run: RunDirectory, options: SearchOptions) -> None:
        """Collect what the fresh seeds came to. A seed whose trial broke counts with an empty row."""
        seeds = confirmation_seeds(options.seed, options.confirm)
        for directory, record in run.trials():
            if (
                record.config["confirms"] == self.number
                and record.config["seed"] in seeds
                and record.ended
            ):
                rows = directory.rows()
                self.confirmations[record.config["seed"]] = (
                    rows[-1] if rows and record.ended != ERROR.name else {}
                )

    def summary(self) -> dict[str, Any]:
        """For ``confirmation.json``."""
        return {
            "trial": self.number,
            "config": self.config,
            "selected": self.last_row,
            "confirmed": [
                {"seed": seed, **row} for seed, row in sorted(self.confirmations.items())
            ],
        }


def candidates(run: RunDirectory, task: Task, most: int = CANDIDATES) -> list[Candidate]:
    """The best trial of the search by its objective and, where they reached the goal, its
    runners-up: ``most`` in all.

    Only trials that ended by themselves are ranked, unless there is none.
    """
    found = []
    for directory, record in run.trials():
        rows = directory.rows()
        if rows and record.ended in (*COMPLETE, STOPPED_EARLY.name, *CUT_OFF):
            config, lineage = run.replay(record.number)
            if "baseline" in record.config:
                config["baseline"] = record.config["baseline"]
            found.append(
                Candidate(
                    record.number, record.ended, config, record.config["seed"], rows[-1], lineage
                )
            )
    by_itself = [c for c in found if c.ended in COMPLETE]
    ranked = sorted(by_itself or found, key=lambda c: (task.objective.loss(c.last_row), c.number))
    return ranked[:1] + [c for c in ranked[1:most] if task.goal.reached(c.last_row)]


def unbeaten(run: RunDirectory, task: Task) -> list[tuple[int, dict[str, Any]]]:
    """Number and last row of the trials on the Pareto front, of those that used their budget."""
    ended = [
        (r.number, rows[-1]) for d, r in run.trials() if r.ended in COMPLETE and (rows := d.rows())
    ]
    losses = [[one.loss(row) for one in task.objectives] for _, row in ended]
    return [ended[place] for place in pareto_front(np.array(losses))]


def winner(tried: list[Candidate], goal: Goal, count: int) -> Candidate:
    """The first of the candidates that holds on every fresh seed, or the best of the search where none does."""
    return next((candidate for candidate in tried if candidate.holds(goal, count)), tried[0])


def confirmation_queue(
    candidate: Candidate, run: RunDirectory, options: SearchOptions, task: Task
) -> list[dict[str, Any]]:
    """Configs of the candidate's trials on fresh seeds that are not done; one that was cut off goes on from its checkpoint."""
    records = {(r.config["confirms"], r.config["seed"]): r for _, r in run.trials()}
    queue: list[dict[str, Any]] = []
    number = run.next_number()
    for seed in confirmation_seeds(options.seed, options.confirm):
        record = records.get((candidate.number, seed))
        if record is None:
            own = {"seed": seed, "trial": number, "confirms": candidate.number}
            config = {**candidate.config, **task.confirming, **own}
            run.trial(number).write(TrialRecord(number, config))
            queue.append(config)
            number += 1
        elif record.ended is None:
            checkpoints = [str(folder) for folder in run.trial(record.number).checkpoints()]
            queue.append({**record.config, "restore_from": checkpoints})
    return queue
