"""Confirmation: the best settings are trained again on fresh seeds, and every result is kept.

The value by which a search selects a trial is the best of many, so it is too optimistic. Seeds that
the search never used show what the same settings achieve without that selection. If one of these
seeds misses the goal, the runner-up is confirmed too if it reached the goal in the search, up to
``CANDIDATES`` configurations. All of them are reported, in the order in which they were tried.
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
        ended: The name of its outcome.
        config: The config that trains it again. If the trial took over another trial's weights: the
            settings with which that training began, and the ``schedule`` of the changes since.
        seed: The trial's seed in the search.
        last_row: The trial's last report in the search.
        lineage: The trials that its weights passed through, in order; the trial itself is last.
        confirmations: For each fresh seed, the last report of these settings on that seed.
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
        """Collect the results on fresh seeds. A trial that failed counts as an empty row."""
        seeds = confirmation_seeds(options.seed, options.confirm)
        for directory, record in run.trials():
            seed = record.config["seed"]
            if record.config["confirms"] == self.number and seed in seeds and record.ended:
                rows = directory.rows() if record.ended != ERROR.name else []
                self.confirmations[seed] = rows[-1] if rows else {}

    def summary(self) -> dict[str, Any]:
        """The candidate's entry in ``confirmation.json``."""
        return {
            "trial": self.number,
            "config": self.config,
            "selected": self.last_row,
            "confirmed": [
                {"seed": seed, **row} for seed, row in sorted(self.confirmations.items())
            ],
        }


def candidates(run: RunDirectory, task: Task, most: int = CANDIDATES) -> list[Candidate]:
    """Of the ``most`` best trials by the first objective: the best, and those others that reached
    the goal.

    Only trials that converged or used their whole budget are ranked. If there are none, trials that
    were stopped early or cut off are ranked instead.
    """
    found = []
    for directory, record in run.trials():
        rows = directory.rows()
        if rows and record.ended in (*COMPLETE, STOPPED_EARLY.name, *CUT_OFF):
            number = record.number
            config, lineage = run.replay(number)
            if "baseline" in record.config:
                config["baseline"] = record.config["baseline"]
            seed = record.config["seed"]
            found.append(Candidate(number, record.ended, config, seed, rows[-1], lineage))
    complete = [candidate for candidate in found if candidate.ended in COMPLETE]
    ranked = sorted(complete or found, key=lambda c: (task.objective.loss(c.last_row), c.number))
    return ranked[:1] + [c for c in ranked[1:most] if task.goal.reached(c.last_row)]


def unbeaten(run: RunDirectory, task: Task) -> list[tuple[int, dict[str, Any]]]:
    """Number and last row of the trials on the Pareto front, of those that used their budget."""
    ended = [
        (r.number, rows[-1]) for d, r in run.trials() if r.ended in COMPLETE and (rows := d.rows())
    ]
    losses = [[one.loss(row) for one in task.objectives] for _, row in ended]
    return [ended[place] for place in pareto_front(np.array(losses))]


def winner(tried: list[Candidate], goal: Goal, count: int) -> Candidate:
    """The first candidate that reaches the goal on every fresh seed; if none does, the search's
    best."""
    return next((candidate for candidate in tried if candidate.holds(goal, count)), tried[0])


def confirmation_queue(
    candidate: Candidate, run: RunDirectory, options: SearchOptions, task: Task
) -> list[dict[str, Any]]:
    """Configs of the candidate's trials on fresh seeds that have not ended. If one was cut off, it
    goes on from its checkpoint."""
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
