"""The final training: before the winner is exported, it is trained for more steps than any trial of
the search.

Its trial in the run's ``final`` directory has the winner's number. If later trials bring another
winner, that one gets a final training of its own.
"""

from typing import Any

from records.outcome import BUDGET, ERROR
from records.places import place_of
from records.run_directory import RunDirectory
from records.trial_directory import TrialDirectory, TrialRecord
from tuning.finalists import Finalist
from tuning.task import Task


def final_queue(candidate: Finalist, run: RunDirectory, task: Task) -> list[dict[str, Any]]:
    """The config of the final training in a list. The list is empty if that training is done, or if
    the candidate left no weights to start from.

    The training starts from the candidate's last checkpoint; ``decay_from`` is the step at which it
    starts, so that a learning rate schedule can begin again there. A final training that was cut
    off, that broke, or that is to be longer goes on from its own checkpoint.
    """
    directory = run.final().trial(candidate.number)
    trained = run.trial(candidate.number).checkpoints()
    record = directory.read()
    before = record.config["max_steps"] if record else 0
    start = int(candidate.last_row["step"])
    end = max(start + task.final_steps, before)  # never shorter than an earlier session asked for
    if not trained or (record and record.ended not in (None, ERROR.name) and end == before):
        return []
    own = {"decay_from": start, "max_steps": end, "trial": candidate.number, "seed": candidate.seed}
    config = {**candidate.config, **task.confirming, **own}
    checkpoints = [place_of(folder) for folder in [*directory.checkpoints(), *trained]]
    directory.write(TrialRecord(candidate.number, config))
    return [{**config, "restore_from": checkpoints}]


def final_training(candidate: Finalist, run: RunDirectory) -> TrialDirectory | None:
    """The directory of the candidate's finished final training, or None if there is none."""
    directory = run.final().trial(candidate.number)
    record = directory.read()
    done = record is not None and record.ended == BUDGET.name
    return directory if done and directory.rows() and directory.checkpoints() else None
