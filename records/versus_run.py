"""Are the best settings of one run better than those of another run of the same task?

Only runs of the same task are compared: see ``task_of``. Their objective on fresh seeds is compared
by Welch's test, which assumes neither equal spreads nor pairs: the same seed may be a lucky one
with some settings and an unlucky one with others.

Source: Welch 1947, The generalization of "Student's" problem when several different population
variances are involved.
"""

import json
import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean
from typing import Any, Literal

from records.checks.check import Interval, amount, counted
from records.checks.statistics import welch_interval
from records.finished_trial import FinishedTrial
from records.outcome import ERROR
from records.run import Run
from records.search_json import OF_EVERY_SEARCH
from records.versus_baseline import MISSED, looks, loss_of

LEAST_SEEDS = 4
"""Fresh seeds of each run, at least: with fewer beside many, Welch's interval misses too often
(docs/report.md)."""
BUDGET = "max_steps"
"""The setting that every experiment has."""


@dataclass(frozen=True)
class VersusRun:
    """The best settings of two runs of the same task.

    Attributes:
        metric: The objective if the runs have the same one; else the goal's metric.
        values: The metric on the fresh seeds of each; infinite if a training has no value.
        better: The sign of a difference, first minus second, if the first run's are better.
        shared: How many comparisons share the 5% in which an interval may miss.
    """

    first: Run
    second: Run
    metric: str
    values: tuple[tuple[float, ...], tuple[float, ...]]
    better: Literal[1, -1]
    shared: int

    @property
    def confidence(self) -> float:
        """Of ``interval``: all intervals together may miss as often as one (Bonferroni)."""
        return 1 - MISSED / self.shared

    @property
    def difference(self) -> float | None:
        """The first run's mean minus the second's; None if a training has no value."""
        if not all(map(math.isfinite, (*self.values[0], *self.values[1]))):
            return None
        return mean(self.values[0]) - mean(self.values[1])

    @property
    def interval(self) -> Interval | None:
        """Welch's interval for the difference. None if a training has no value, or if neither run's
        values differ, so that nothing shows how much they vary."""
        spread = any(len({*values}) > 1 for values in self.values)
        if self.difference is None or not spread:
            return None
        return welch_interval(*self.values, self.confidence)

    @property
    def verdict(self) -> Literal["yes", "no", "not shown"]:
        """Whether the first run's best settings are better than the second's; "no" if they are
        worse.

        Without an interval only ranks count: each value of one run must be better than each of the
        other, which equal settings reach in 2 of all ways to deal the values out (Mann and
        Whitney's exact test).
        """
        if self.interval is not None:
            low, high = sorted(self.better * end for end in self.interval)
            return "yes" if low > 0 else "no" if high < 0 else "not shown"
        mine, its = ([self.better * value for value in values] for values in self.values)
        if 2 / math.comb(len(mine) + len(its), len(mine)) > 1 - self.confidence:
            return "not shown"
        return "yes" if min(mine) > max(its) else "no" if max(mine) < min(its) else "not shown"


@dataclass(frozen=True)
class Comparison:
    """Every pair of runs of the same task, and the runs that are compared with no other.

    Attributes:
        tasks: What distinguishes the task of each pair from the others, in words; empty if all runs
            had the same.
        alone: Why each of these runs is compared with no other, in words.
    """

    pairs: list[VersusRun]
    tasks: list[str]
    alone: list[tuple[Run, str]]


def compare_runs(runs: Sequence[Run], of_the_answer: Collection[str] = ()) -> Comparison:
    """Compare the best settings of runs of one experiment, each with each of the same task.

    The chance of 5% to miss is shared by all pairs, and in a pair by the finalists of the run that
    had more, since its best ones were chosen on these seeds, times the square of ``looks``.

    ``of_the_answer``: see ``task_of``.
    """
    few = {run.path: why for run in runs if (why := _too_few(run))}
    tasks = {run.path: task_of(run, of_the_answer) for run in runs if run.path not in few}
    same: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.path in tasks:
            same[json.dumps(tasks[run.path], sort_keys=True)].append(run)
    alone = [(run, few[run.path]) for run in runs if run.path in few]
    found: list[tuple[str, Run, Run]] = []
    for group in same.values():
        words = _differing(tasks[group[0].path], [*tasks.values()])
        found += [(words, first, second) for first, second in combinations(group, 2)]
        if len(group) == 1:
            enough = f"{LEAST_SEEDS} or more fresh seeds"
            why = f"no other run with {enough} has {words}" if words else f"no other has {enough}"
            alone.append((group[0], why))
    pairs = [_versus(first, second, len(found)) for _, first, second in found]
    return Comparison(pairs, [words for words, _, _ in found], alone)


def task_of(run: Run, of_the_answer: Collection[str] = ()) -> dict[str, Any]:
    """What the run was asked. Two runs had the same task if all of it is equal:

    - the experiment and the goal;
    - the budget, and the script's options that every trial has as a fixed setting, such as a length
      or a data set. Those ``of_the_answer``, such as a choice between two models, are left out;
    - what the experiment prepared and recorded for all trials, such as a judge;
    - the fixed settings that have another value on fresh seeds.

    What was searched, and how, is no part of it: that is the answer.
    """
    options = ({*run.options} | {BUDGET}) & {*run.fixed} - {*of_the_answer}
    fresh = run.fresh_seeds[0].config if run.fresh_seeds else {}
    known = {*run.fixed} & {*fresh} - {*of_the_answer}
    changed = {name for name in known if fresh[name] != run.fixed[name]}
    return {
        "experiment": run.experiment,
        **{name: run.fixed[name] for name in sorted(options)},
        "goal": str(run.goal),
        **{f"on fresh seeds {name}": fresh[name] for name in sorted(changed)},
        **{
            f"prepared {name}": value
            for name, value in sorted(run.search.items())
            if name not in OF_EVERY_SEARCH
        },
    }


def _differing(task: Mapping[str, Any], every: Sequence[Mapping[str, Any]]) -> str:
    """The parts of a task that are not the same in every task, in words."""

    def words(part: str) -> str:
        if part not in task:
            return f"no {part}"
        long = isinstance(task[part], list | dict)
        return f"these {part}" if long else f"{part} {amount(task[part])}"

    found = {
        part: {json.dumps(one.get(part), sort_keys=True) for one in every}
        for part in dict.fromkeys(part for one in every for part in one)
    }
    return " and ".join(words(part) for part, values in found.items() if len(values) > 1)


def _too_few(run: Run) -> str:
    """Why a run's fresh seeds do not suffice, or an empty text."""
    n = len(run.fresh_seeds)
    if n >= LEAST_SEEDS:
        return ""
    return (
        f"its best settings have {counted(n, 'fresh seed')}, and a comparison takes {LEAST_SEEDS}"
    )


def _versus(first: Run, second: Run, pairs: int) -> VersusRun:
    same = first.objective == second.objective
    metric = first.metric if same else first.goal.metric
    minimizes = first.minimizes if same else first.goal.at == "most"
    chances = max(
        max(1, len(run.finalists)) * looks(run, [one.started for one in run.fresh_seeds]) ** 2
        for run in (first, second)
    )

    def value(run: Run, trained: FinishedTrial) -> float:
        if same:
            return run.value(loss_of(trained))
        own = None if trained.ended == ERROR.name else trained.last.get(metric)
        if own is None or not math.isfinite(own):
            return math.inf if minimizes else -math.inf
        return float(own)

    mine, its = (tuple(value(run, one) for one in run.fresh_seeds) for run in (first, second))
    better: Literal[1, -1] = -1 if minimizes else 1
    return VersusRun(first, second, metric, (mine, its), better, pairs * chances)
