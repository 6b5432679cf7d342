"""The final training: the winner goes on from where its trial ended, for longer than any trial could, before it is exported."""

from typing import Any

from tuning.confirmation import Candidate
from tuning.experiment import Experiment
from tuning.run_directory import RunDirectory, TrialDirectory, TrialRecord

NUMBER = 0
"""Of the only trial in the final training's directory."""


def final_queue(candidate: Candidate, run: RunDirectory, experiment: Experiment) -> list[dict[str, Any]]:
    """The config of the final training, or none where it is done or where the candidate left no weights to go on from.

    It starts from the candidate's last checkpoint. ``decay_from`` is where it starts, for a schedule to begin again there.
    """
    final = run.final()
    trained = run.trial(candidate.number).checkpoints()
    record = final.trial(NUMBER).read()
    if record is not None and record.config["continues"] == candidate.number:
        if record.ended is not None:
            return []
    else:
        start = int(candidate.last_row["step"])
        own = {"decay_from": start, "max_steps": start + experiment.final_steps, "continues": candidate.number, "trial": NUMBER}
        record = TrialRecord(NUMBER, {**candidate.config, **experiment.confirming, "seed": candidate.seed, **own})
        final.trial(NUMBER).write(record)
    checkpoints = [str(folder) for folder in [*final.trial(NUMBER).checkpoints(), *trained]]
    return [{**record.config, "restore_from": checkpoints}] if trained else []


def final_training(candidate: Candidate, run: RunDirectory) -> TrialDirectory | None:
    """The finished final training of the candidate, or None where there is none."""
    directory = run.final().trial(NUMBER)
    record = directory.read()
    done = record is not None and record.ended == "budget" and record.config["continues"] == candidate.number
    return directory if done and directory.rows() and directory.checkpoints() else None
