"""The table for a paper: the best settings, the other finalists and the best baseline, with what
they reach on fresh seeds; and the paired difference to the best baseline.

Intervals are those of ``records.checks.statistics`` and ``records.versus_baseline``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from records.checks.check import amount, between, counted
from records.checks.statistics import fraction_interval, mean_interval
from records.finished_trial import FinishedTrial
from records.outcome import ERROR
from records.run import Run
from records.versus_baseline import versus_baseline
from reports.content import number, settings
from reports.experiments.default import LEGIBLE, Page

NONE = "—"
TO_CONVERGE = "steps_to_converge"


@dataclass(frozen=True)
class Table:
    """The table as text that is not escaped.

    Attributes:
        values: How many columns after the first hold one value each. The others hold words.
    """

    caption: str
    columns: list[str]
    rows: list[list[str]]
    values: int


@dataclass(frozen=True)
class OnFreshSeeds:
    """The last reports of one trial's settings on fresh seeds; empty for a training that failed."""

    run: Run
    rows: list[Mapping[str, Any]]

    @classmethod
    def read(cls, run: Run, trial: FinishedTrial) -> "OnFreshSeeds":
        trained = run.on_fresh_seeds.get(trial.number, {}).values()
        return cls(run, [{} if one.ended == ERROR.name else one.last for one in trained])

    @property
    def values(self) -> list[float]:
        """The goal's metric on every seed that has it."""
        found = (row.get(self.run.goal.metric) for row in self.rows)
        return [float(value) for value in found if value is not None and math.isfinite(value)]

    @property
    def steps(self) -> list[float]:
        """When the trainings that converged did so."""
        return [row[TO_CONVERGE] for row in self.rows if row.get(TO_CONVERGE)]

    def _some(self, count: int) -> str:
        return f"{count} of {counted(len(self.rows), 'seed')}" if count < len(self.rows) else ""

    @property
    def reached(self) -> str:
        """How many seeds reach the goal, with Clopper and Pearson's interval."""
        if not self.rows:
            return NONE
        count, n = sum(map(self.run.goal.reached, self.rows)), len(self.rows)
        return f"{count}/{n} ({between(fraction_interval(count, n))})"

    @property
    def mean(self) -> str:
        """The mean, with its interval if it has one."""
        values = self.values
        if not values:
            return NONE
        how = "one seed" if len(values) == 1 else "all equal"
        if len({*values}) > 1:
            how = " to ".join(map(number, mean_interval(values)))
        how = ", ".join(filter(None, (how, self._some(len(values)))))
        return f"{number(mean(values))} ({how})"

    @property
    def worst(self) -> str:
        """The worst value; a seed without a value is worse than any."""
        if not self.values or len(self.values) < len(self.rows):
            return "no result" if self.rows else NONE
        return number((min if self.run.goal.at == "least" else max)(self.values))

    @property
    def pace(self) -> str:
        """The median of the steps to converge, and of how many seeds it is, if not of all."""
        if not self.steps:
            return NONE
        some = self._some(len(self.steps))
        return amount(median(self.steps)) + f" ({some})" * bool(some)


def table(run: Run, page: Page) -> Table | None:
    """The table; None if the run has no best settings."""
    if run.winner is None:
        return None
    trials = shown_trials(run, run.winner)
    fresh = [OnFreshSeeds.read(run, one) for one in trials]
    few = len(run.varied) <= LEGIBLE
    names = run.varied if few else ["Settings"]
    first = [[_name(run, one), *_settings(run, one, few)] for one in trials]
    if any(one.rows for one in fresh):
        columns, cells = _on_fresh_seeds(run, page, fresh)
        where = f"on fresh seeds. The goal: {goal_words(run, page)}. In brackets: 95% intervals."
    else:
        columns, cells = _in_the_search(run, page, trials)
        where = "in the search. None was trained on fresh seeds."
    rows = [[*own, *found] for own, found in zip(first, cells, strict=True)]
    caption = f"{page.title(run)}: the best settings and what they are compared with, {where}"
    return Table(caption, ["Trial", *names, *columns], rows, len(names) if few else 0)


def shown_trials(run: Run, winner: FinishedTrial) -> list[FinishedTrial]:
    """The best settings, the other finalists and the best baseline, in this order."""
    baselines = [one for one in run.finalists if "baseline" in one.config]
    others = [one for one in run.finalists if "baseline" not in one.config]
    best = baselines or [one for one in run.ranked if "baseline" in one.config][:1]
    return list({one.number: one for one in (winner, *others, *best)}.values())


def goal_words(run: Run, page: Page) -> str:
    """The goal, such as: test accuracy is at least 0.99."""
    bound = number(run.goal.bound, 6)
    return f"{page.axis(run, run.goal.metric).title} is at {run.goal.at} {bound}"


def _name(run: Run, trial: FinishedTrial) -> str:
    baseline = f"baseline “{trial.config['baseline']}”" if "baseline" in trial.config else ""
    roles = ", ".join(filter(None, ("best settings" * (trial.number == run.best), baseline)))
    return f"{trial.number}" + f" ({roles})" * bool(roles)


def _settings(run: Run, trial: FinishedTrial, few: bool) -> list[str]:
    own = {name: str(one) if one is None else number(one) for name, one in trial.settings.items()}
    return [own.get(name, NONE) for name in run.varied] if few else [settings(run, trial.settings)]


def _on_fresh_seeds(
    run: Run, page: Page, fresh: list[OnFreshSeeds]
) -> tuple[list[str], list[list[str]]]:
    """Titles and cells of the columns that tell what the trials reach on fresh seeds."""
    title = page.axis(run, run.goal.metric).title
    columns = ["Goal reached", f"Mean {title}", "Worst seed"]
    cells = [[one.reached, one.mean, one.worst] for one in fresh]
    if not any(one.steps for one in fresh):
        return columns, cells
    cells = [[*own, one.pace] for own, one in zip(cells, fresh, strict=True)]
    return [*columns, "Median steps to converge"], cells


def _in_the_search(
    run: Run, page: Page, trials: list[FinishedTrial]
) -> tuple[list[str], list[list[str]]]:
    """The same of the objective in the search."""
    values = [run.value(one.loss) if math.isfinite(one.loss) else None for one in trials]
    title = page.axis(run, run.metric).title
    return [title[:1].upper() + title[1:]], [[number(one)] for one in values]


def difference(run: Run, page: Page) -> str:
    """The paired difference to the best baseline, in sentences; empty if there is none."""
    found = versus_baseline(run)
    if found is None or not found.seeds:
        return ""
    title, n = page.axis(run, found.metric).title, len(found.seeds)
    best, name = f"trial {found.best.number}", found.baseline.config["baseline"]
    than = f"the best baseline, trial {found.baseline.number} (“{name}”)"
    answer = f"Is {best} better than this baseline? {found.verdict.capitalize()}."
    if found.interval is None:
        better = sum(found.better * one > 0 for one in found.differences)
        worse = sum(found.better * one < 0 for one in found.differences)
        return (
            f"The {title} of {best} is better than that of {than}, on {better} of"
            f" {counted(n, 'fresh seed')} and worse on {worse}. {answer}"
        )
    centre, low, high = (amount(one) for one in (mean(found.differences), *found.interval))
    return (
        f"The {title} of {best} minus that of {than}, is {centre} on average over"
        f" {counted(n, 'fresh seed')} ({level(found.confidence)} interval {low} to {high})."
        f" {answer}"
    )


def level(confidence: float) -> str:
    """A confidence as a percentage with as many digits as it takes, four at most."""
    return f"{100 * confidence:.4g}%"
