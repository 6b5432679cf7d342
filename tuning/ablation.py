"""The ablation (``--ablation``): the way from the hand-tuned settings to the winner's, one change
at a time, each trained.

A winner differs from the hand-tuned settings in everything at once; trained change by change, it
shows what bought what. A forest over the search's trials orders the changes
(``records.surrogate``); what they bought is measured, all on one fresh seed.
"""

import math
from typing import Any

from records.run_directory import RunDirectory
from records.surrogate import ablation_path
from records.trial_directory import TrialRecord
from tuning.confirmation import Candidate
from tuning.options import SearchOptions
from tuning.seeds import ablation_seed
from tuning.task import Task

HAND_TUNED = "hand-tuned"
"""What the names of hand-tuned settings begin with; of several the path begins at the last."""

DEARER = 5
"""How many times the winner's cost a training on the path may have: settings that never converge are not waited for."""


def ablation_queue(
    candidate: Candidate, run: RunDirectory, options: SearchOptions, task: Task
) -> list[dict[str, Any]]:
    """Configs of the path that are still to be trained, the hand-tuned settings first; none where
    the winner is hand-tuned itself, or nothing is.

    The path is settled once, when it is begun; one that was cut off goes on.
    """
    directory = run.ablation(candidate.number)
    if not any(True for _ in directory.trials()):
        for number, config in enumerate(_path(candidate, run, options, task)):
            directory.trial(number).write(
                TrialRecord(number, {**config, "ablation": number, "trial": number})
            )
    return [
        {**record.config, "restore_from": [str(folder) for folder in trained.checkpoints()]}
        for trained, record in directory.trials()
        if record.ended is None
    ]


def _path(
    candidate: Candidate, run: RunDirectory, options: SearchOptions, task: Task
) -> list[dict[str, Any]]:
    space = task.space
    target = space.varied(candidate.config)
    hand_tuned = [values for name, values in space.baselines.items() if name.startswith(HAND_TUNED)]
    if not hand_tuned or hand_tuned[-1] == target:
        return []
    tried = [
        (space.varied(record.config), task.objective.loss(rows[-1]))
        for directory, record in run.trials()
        if record.ended and (rows := directory.rows())
    ]
    changes = ablation_path(space.parameters, hand_tuned[-1], target, tried)
    common = {
        **space.fixed,
        **task.settings,
        "max_steps": _bound(candidate, task),
        "seed": ablation_seed(options.seed),
    }
    return [
        {**common, **settings, "changed": names}
        for names, settings in [((), hand_tuned[-1]), *changes]
    ]


def _bound(candidate: Candidate, task: Task) -> int:
    """The step budget of a training on the path."""
    max_steps, row = int(task.settings["max_steps"]), candidate.last_row
    share = float(row[task.time_attr]) / task.budget
    return min(max_steps, DEARER * max(int(row["step"]), math.ceil(share * max_steps)))
