"""The first trials of a search: settings that are known to be worth a try, then points that fill the space evenly."""

from typing import Any

import optuna

from search_spaces.sobol import design_point
from tuning.options import SearchOptions
from tuning.task import Task

STARTUP_TRIALS = 10
"""Trials before a model-based sampler chooses: settings tried before, settings known beforehand, then a quasi-random design."""

DESIGN_POINTS = 4
"""Points of the design at least, however many settings come before them."""


class StartUp:
    """The first trials of a search: settings of earlier runs, settings known beforehand, then
    points of a design.

    Which one a trial is follows from its number, so that a run resumed with more trials goes on
    where it was. With ``--sampler qmc`` the design never ends, with ``random`` there is none.
    """

    def __init__(self, options: SearchOptions, task: Task, study: optuna.Study) -> None:
        self.endless, self._random = options.sampler == "qmc", options.sampler == "random"
        self._seed, self._space, self._study = options.seed, task.space, study
        warm = [
            (settings, {"origin": "warm start", "warm_start": of})
            for settings, of in study.user_attrs["warm_start"]
        ]
        known = [
            (dict(values), {"origin": "baseline", "baseline": name})
            for name, values in task.space.baselines.items()
        ]
        self._given = [*warm, *known]
        self.count = len(self._given)
        if options.sampler != "random":
            self.count = max(STARTUP_TRIALS, self.count + DESIGN_POINTS)

    def enqueue(self, number: int) -> None:
        """Make the settings of trial ``number`` the next ones in the study's queue."""
        place = number - len(self._given)
        settings = (
            self._given[number][0] if place < 0 else design_point(self._space, self._seed, place)
        )
        self._study.enqueue_trial(settings, user_attrs=self.attributes(number))

    def attributes(self, number: int) -> dict[str, Any]:
        """What the study says of where the settings of trial ``number`` came from."""
        if number < len(self._given):
            return dict(self._given[number][1])
        if self.endless:
            return {"origin": "design"}
        return {
            "origin": "start-up" if number < self.count else "random" if self._random else "model"
        }
