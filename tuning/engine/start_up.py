"""The start-up: the first trials of a search, where their settings come from, and who waits for
them.

The searcher and the scheduler share one object. The searcher asks it for settings, and whether a
model has results enough to choose by. The scheduler asks it which trials are compared at their
first rung before any of them goes on.
"""

from collections.abc import Sequence
from typing import Any

import optuna
from ray.tune.experiment import Trial

from search_spaces.sobol import design_point
from tuning.engine.samplers import MODEL_BASED
from tuning.options import SearchOptions
from tuning.task import Task

STARTUP_TRIALS = 10
"""Trials before a model chooses: settings of earlier runs, baselines, quasi-random points."""

DESIGN_POINTS = 4
"""Quasi-random points at least, however many settings come before them."""


class StartUp:
    """The first trials: settings of earlier runs, then baselines, then points of a Sobol sequence.

    A trial's number says which of them it is, so a resumed run goes on in the same order. With
    ``--sampler qmc`` the points never end, with ``random`` there are none.

    Attributes:
        count: The number of these trials.
        endless: Whether all later trials are quasi-random points, too.
        synchronous: Whether all trials train together, as a population. None ends before all have
            begun, so none can wait for another's end.
        ended: How many of these trials have ended.
        cohort: The numbers of those that have not reached their first rung. The paused trials wait
            for them.
        paused: Ray Tune's trials that wait at their first rung. They use no slot.
    """

    def __init__(self, options: SearchOptions, task: Task, warm_start: Sequence[Any] = ()) -> None:
        self.endless, self._random = options.sampler == "qmc", options.sampler == "random"
        self._seed, self._space = options.seed, task.space
        self.synchronous = options.synchronous
        self._modelled = options.sampler in MODEL_BASED and not self.synchronous
        self._given: list[tuple[dict[str, Any], dict[str, Any]]] = [
            (settings, {"origin": "warm start", "warm_start": of}) for settings, of in warm_start
        ]
        for name, values in task.space.baselines.items():
            self._given.append((dict(values), {"origin": "baseline", "baseline": name}))
        self.count = len(self._given)
        if not self._random:
            self.count = max(STARTUP_TRIALS, self.count + DESIGN_POINTS)
        self.ended = 0
        self.cohort: set[int] = set()
        self.paused: list[Trial] = []

    def __getstate__(self) -> dict[str, object]:
        return {}  # Ray pickles its searchers; the trials stay here

    def enqueue(self, study: optuna.Study, number: int) -> None:
        """Make the settings of trial ``number`` the next in the study's queue."""
        point = number - len(self._given)
        settings = (
            design_point(self._space, self._seed, point) if point >= 0 else self._given[number][0]
        )
        study.enqueue_trial(settings, user_attrs=self.attributes(number))

    def attributes(self, number: int) -> dict[str, Any]:
        """The study's record of where the settings of trial ``number`` came from."""
        if number < len(self._given):
            return dict(self._given[number][1])
        if self.endless:
            return {"origin": "design"}
        later = "random" if self._random else "model"
        return {"origin": "start-up" if number < self.count else later}

    def delays(self, number: int) -> bool:
        """Whether trial ``number`` must wait: a model chooses its settings, and fewer than half of
        the start-up's trials have ended."""
        return self._modelled and number >= self.count and 2 * self.ended < self.count
