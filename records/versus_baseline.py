"""Are the best settings of a search better than the best baseline?

Both were trained on the same fresh seeds, so their objective is compared seed by seed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev
from typing import Literal

from records.checks.check import Interval, amount, counted
from records.checks.statistics import half_width, paired_interval
from records.finished_trial import FinishedTrial
from records.outcome import ERROR
from records.run import Run
from records.search_json import TO_AN_END

MISSED = 0.05
"""How often an interval misses the difference that many more seeds would show, at most."""
MOST_SEEDS = 1000
"""The largest --confirm."""


@dataclass(frozen=True)
class VersusBaseline:
    """The best settings that are no baseline, compared with the best baseline.

    Attributes:
        best, baseline: Their trials in the search.
        seeds: The fresh seeds on which both were trained to an end, in order.
        differences: For each of them, the objective of the best settings minus the baseline's, in
            the metric's own unit; infinite or NaN if one of them has no value there.
        better: Its sign if the best settings are better: 1 or -1.
        compared: Among how many settings the best were chosen on these seeds.
        looks: How many answers the run has given, on more and more of these seeds.
        learned: Whether the best settings are more than hardly better than a guess.
        is_winner: Whether they are the run's best; else the baseline is.
    """

    best: FinishedTrial
    baseline: FinishedTrial
    metric: str
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    better: Literal[1, -1]
    compared: int
    looks: int
    learned: bool
    is_winner: bool

    @property
    def beside_winner(self) -> FinishedTrial:
        """What the run's best settings are compared with."""
        return self.baseline if self.is_winner else self.best

    @property
    def confidence(self) -> float:
        """Of ``interval``. The best of several settings is the luckiest of them, so the intervals
        of all may miss as often as one (Bonferroni). Who adds seeds until an answer pleases would
        find one too often, so the k-th answer may miss 1 / k² as often as the first."""
        return 1 - MISSED / self.shares

    @property
    def shares(self) -> int:
        """Among how many intervals the chance of ``MISSED`` is divided."""
        return self.compared * self.looks**2

    @property
    def interval(self) -> Interval | None:
        """The interval for the mean difference, by Student's paired test; the end away from zero is
        farther if the differences are skewed (``paired_interval``). None if a training failed, or
        if all differences are equal, so that nothing shows how much they vary."""
        if not all(map(math.isfinite, self.differences)) or len({*self.differences}) < 2:
            return None
        return paired_interval(self.differences, self.confidence)

    @property
    def verdict(self) -> Literal["yes", "no", "not shown"]:
        """Whether the best settings are better than the baseline.

        Without an interval, only the signs of the differences count (the sign test).
        """
        if self.interval is not None:
            low, high = sorted(self.better * end for end in self.interval)
            return "yes" if low > 0 else "no" if high < 0 else "not shown"
        signs = [self.better * difference for difference in self.differences]
        told_apart = 2 * 0.5 ** len(signs) <= 1 - self.confidence
        if signs and told_apart and all(sign > 0 for sign in signs):
            return "yes"
        return "no" if signs and told_apart and all(sign < 0 for sign in signs) else "not shown"

    @property
    def short(self) -> str:
        """The verdict, after the trial's number if that is not the run's best."""
        return self.verdict if self.is_winner else f"trial {self.best.number}: {self.verdict}"

    @property
    def words(self) -> str:
        """The verdict and what it rests on, in a sentence that names the trial if it is not the
        run's best."""
        verdict = self.short
        than, n = f"“{self.baseline.config['baseline']}”", len(self.seeds)
        if self.interval is None:
            worse, better = (
                sum(sign * self.better * one > 0 for one in self.differences) for sign in (-1, 1)
            )
            return (
                f"{verdict}; {self.metric} is better than with {than} on {better} of"
                f" {counted(n, 'fresh seed')}, and worse on {worse}"
            )
        centre, (low, high) = mean(self.differences), self.interval
        how = "higher" if centre > 0 else "lower"
        if centre < 0:
            low, high = -high, -low
        why = [f"the best of {self.compared} was chosen"] * (self.compared > 1)
        added = self.looks - 1
        why += [f"seeds were added after {counted(added, 'answer')}"] * (added > 0)
        wider = f", wider since {' and '.join(why)}" if why else ""
        return (
            f"{verdict}; {self.metric} is {amount(abs(centre))} {how} than with {than} on"
            f" average over {n} fresh seeds (95% interval {amount(low)} to {amount(high)}{wider})"
        )

    @property
    def seeds_needed(self) -> int | None:
        """With how many fresh seeds a difference as large as this one would be shown in the next
        answer; None if there is none, if it is shown, if it takes more than ``MOST_SEEDS``, or if
        nothing has been learned, so that none matters."""
        if self.verdict != "not shown" or self.interval is None or not self.learned:
            return None
        centre, spread = abs(mean(self.differences)), stdev(self.differences)
        more = range(len(self.seeds) + 1, MOST_SEEDS + 1)
        confidence = replace(self, looks=self.looks + 1).confidence
        enough = (n for n in more if half_width(spread, n, confidence) < centre)
        return next(enough, None)


def versus_baseline(run: Run) -> VersusBaseline | None:
    """The comparison of a run; None if no baseline, or nothing else, has a result on a fresh
    seed."""
    baselines = [one for one in run.finalists if "baseline" in one.config]
    others = [one for one in run.finalists if "baseline" not in one.config]
    if not baselines or not others:
        return None
    baseline = baselines[0]
    best = run.winner if run.winner in others else _leading(run, others)
    mine, its = run.on_fresh_seeds[best.number], run.on_fresh_seeds[baseline.number]
    seeds = tuple(sorted(mine.keys() & its.keys()))
    return VersusBaseline(
        best,
        baseline,
        run.metric,
        seeds,
        tuple(run.value(loss_of(mine[seed])) - run.value(loss_of(its[seed])) for seed in seeds),
        -1 if run.minimizes else 1,
        len(others),
        looks(run, [max(mine[seed].started, its[seed].started) for seed in seeds]),
        not run.goal.guessed([one.last for one in mine.values()]),
        best is run.winner,
    )


def looks(run: Run, started: Sequence[float]) -> int:
    """How many answers the run has given on such fresh seeds, each on more of them: at the end of
    every session, unless it was interrupted or failed, and now.

    ``started``: when the trainings on each of the seeds began.
    """
    ends = [one["ended"] or 0 for one in run.search["sessions"] if one.get("how") in TO_AN_END]
    counts = {sum(begun < end for begun in started) for end in [*ends, math.inf]}
    return max(1, len(counts - {0}))


def _leading(run: Run, others: Sequence[FinishedTrial]) -> FinishedTrial:
    """Of the settings that no baseline has: those with the most fresh seeds, and among these the
    best mean."""

    def rank(one: FinishedTrial) -> tuple[int, float]:
        results = run.on_fresh_seeds[one.number].values()
        return -len(results), mean(map(loss_of, results))

    return min(others, key=rank)


def loss_of(trained: FinishedTrial) -> float:
    """The loss on a fresh seed; infinite if the training broke, whatever it had reported before."""
    return math.inf if trained.ended == ERROR.name else trained.loss
