"""The final training: the winner goes on from where its trial ended, for longer than any trial
could, before it is exported.

It has the winner's number, in the run's ``final`` directory: where more trials bring another
winner, that one has its own.
"""

from typing import Any

from records.outcome import BUDGET, ERROR
from records.run_directory import RunDirectory
from records.trial_directory import TrialDirectory, TrialRecord
from tuning.confirmation import Candidate
from tuning.task import Task


def final_queue(candidate: Candidate, run: RunDirectory, task: Task) -> list[dict[str, Any]]:
    """The config of the final training, or none where it is done or where the candidate left no
    weights to go on from.

    It starts from the candidate's last checkpoint; ``decay_from`` is where it starts, for a
    schedule to begin again there. One that was cut off, broke, or is to be longer than it was goes
    on from its own.
    """
    directory = run.final().trial(candidate.number)
    trained = run.trial(candidate.number).checkpoints()
    record = directory.read()
    before = record.config["max_steps"] if record else 0
    start = int(candidate.last_row["step"])
    end = max(start + task.final_steps, before)  # what was begun is never cut short
    if not trained or (record and record.ended not in (None, ERROR.name) and end == before):
        return []
    own = {"decay_from": start, "max_steps": end, "trial": candidate.number, "seed": candidate.seed}
    config = {**candidate.config, **task.confirming, **own}
    checkpoints = [str(folder) for folder in [*directory.checkpoints(), *trained]]
    directory.write(TrialRecord(candidate.number, config))
    return [{**config, "restore_from": checkpoints}]


def final_training(candidate: Candidate, run: RunDirectory) -> TrialDirectory | None:
    """The finished final training of the candidate, or None where there is none."""
    directory = run.final().trial(candidate.number)
    record = directory.read()
    done = record is not None and record.ended == BUDGET.name
    return directory if done and directory.rows() and directory.checkpoints() else None
