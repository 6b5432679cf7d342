"""What a run's best settings reached on fresh seeds, with the intervals that so few seeds leave."""

import math
from dataclasses import dataclass

from records.checks.check import Interval
from records.checks.statistics import fraction_interval, mean_interval
from records.run import Run


@dataclass(frozen=True)
class FreshResults:
    """The best settings on fresh seeds.

    Attributes:
        seeds: How many trainings on fresh seeds have ended.
        reached: How many of them reach the goal.
        values: The goal's metric of those that have a finite one.
        steps: The steps to converge of those that converged.
    """

    seeds: int
    reached: int
    values: tuple[float, ...]
    steps: tuple[float, ...]

    @property
    def fraction(self) -> Interval | None:
        """Clopper and Pearson's 95% interval for the fraction of all seeds that reach the goal."""
        return fraction_interval(self.reached, self.seeds) if self.seeds else None

    @property
    def mean(self) -> Interval | None:
        """The 95% interval for the mean of the goal's metric. None if all values are equal, so that
        nothing shows how much they vary."""
        return mean_interval(self.values) if len({*self.values}) > 1 else None


def fresh_results(run: Run) -> FreshResults:
    """The results of the run's best settings."""
    rows = [one.last for one in run.fresh_seeds]
    values = (row.get(run.goal.metric) for row in rows)
    return FreshResults(
        seeds=len(rows),
        reached=sum(map(run.goal.reached, rows)),
        values=tuple(float(one) for one in values if one is not None and math.isfinite(one)),
        steps=tuple(float(steps) for row in rows if (steps := row.get("steps_to_converge"))),
    )
