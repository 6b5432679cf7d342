"""The ablation (``--ablation``): the path from the hand-tuned settings to the winner's, one change
at a time, each trained.

A winner may differ from the hand-tuned settings in every parameter. Training the path change by
change shows how much each change contributes. A random forest fitted to the search's trials orders
the changes (``records.surrogate``). Their effects are measured, all on the same fresh seeds.
"""

import math
from collections.abc import Iterator
from typing import Any

from records.checks.ablation import HAND_TUNED
from records.places import place_of
from records.run_directory import RunDirectory
from records.surrogate import ablation_path
from records.trial_directory import TrialRecord
from search_spaces import SearchSpace
from tuning.finalists import Finalist
from tuning.options import SearchOptions
from tuning.seeds import ablation_seeds
from tuning.task import Task

COST_FACTOR = 5
"""A training on the path may cost this many times what the winner's cost. Settings that never
converge are not trained any longer."""


def hand_tuned(space: SearchSpace) -> dict[str, Any] | None:
    """The settings from which the path begins, or None."""
    found = [values for name, values in space.baselines.items() if name.startswith(HAND_TUNED)]
    return dict(found[-1]) if found else None


def ablation_queue(
    candidate: Finalist, run: RunDirectory, options: SearchOptions, task: Task
) -> list[dict[str, Any]]:
    """Configs of the path that are still to be trained, the hand-tuned settings first.

    Empty if the winner is hand-tuned, or if no baseline is. The path is chosen once, at the start
    of the ablation; an interrupted training goes on from its checkpoint.
    """
    directory = run.ablation(candidate.number)
    if directory.trial(0).read() is None:  # it is written last: with it the path is whole
        for number, config in reversed([*enumerate(_path(candidate, run, options, task))]):
            directory.trial(number).write(TrialRecord(number, {**config, "trial": number}))
    return [
        {**record.config, "restore_from": [place_of(folder) for folder in trained.checkpoints()]}
        for trained, record in directory.trials()
        if record.ended is None
    ]


def _path(
    candidate: Finalist, run: RunDirectory, options: SearchOptions, task: Task
) -> Iterator[dict[str, Any]]:
    space = task.space
    target = space.varied(candidate.config)
    start = hand_tuned(space)
    if start in (None, target):
        return
    tried = [
        (space.varied(record.config), task.objective.loss(rows[-1]))
        for directory, record in run.trials()
        if record.ended and (rows := directory.rows())
    ]
    same = {**space.fixed, **task.settings, "max_steps": _max_steps(candidate, task)}
    changes = ablation_path(space.parameters, start, target, tried)
    for place, (names, settings) in enumerate([((), start), *changes]):
        for seed in ablation_seeds(options.seed):
            yield {**same, **settings, "seed": seed, "ablation": place, "changed": names}


def _max_steps(candidate: Finalist, task: Task) -> int:
    """The step budget of a training on the path."""
    budget, row = int(task.settings["max_steps"]), candidate.last_row
    fraction = float(row[task.time_attr]) / task.budget
    return min(budget, COST_FACTOR * max(int(row["step"]), math.ceil(fraction * budget)))
