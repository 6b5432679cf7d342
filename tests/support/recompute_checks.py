"""The checks of trials and of fresh seeds, computed from a run's raw files by their definitions.

An independent judge: nothing here comes from the project's own code. The definitions are from
docs/decisions/checks.md, the formulas from scipy. Each function returns the check's status and the
items of its sentence, in the order of the sentence.
"""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import count
from statistics import median, stdev
from typing import Any

import numpy as np
from scipy import stats

from tests.support.raw_run import WHOLE, Item, RawRun, Rough, Trial, average

Said = tuple[str, list[Item]]
NOT_APPLICABLE = "not applicable"
WHO = {"trial", "seed", "baseline", "restore_from", "lost"}
"""Entries of a config that are no settings."""


def no_winner(run: RawRun) -> Said:
    """What a check says of a run without a winner."""
    return NOT_APPLICABLE, ["no winner", sum(one.ended in WHOLE for one in run.finished)]


def of_all(k: int, n: int) -> list[Item]:
    """A fraction of trials, and Clopper and Pearson's interval: quantiles of the beta
    distribution."""
    low = float(stats.beta.ppf(0.025, k, n - k + 1)) if k else 0.0
    high = float(stats.beta.ppf(0.975, k + 1, n - k)) if k < n else 1.0
    return [k / n, 0.95, "interval", low, "to", high]


def seed01(run: RawRun) -> Said:
    """On how many fresh seeds the winner reaches the goal."""
    best = run.winner
    if best is None:
        return no_winner(run)
    seeds = run.on_seeds(best).values()
    k, n = sum(map(run.reaches, seeds)), len(seeds)
    if not n:
        return NOT_APPLICABLE, ["trial", best.number, "trained on", 0]
    goal = run.goal
    items: list[Item] = ["trial", best.number, "reaches", goal["metric"], goal["bound"]]
    items += [k, "of", n, *of_all(k, n)]
    enough = next(seeds for seeds in count(1) if 0.5**seeds <= 0.05)
    if k < n:
        return "issue", items
    return ("passed", items) if n >= enough else ("inconclusive", [*items, enough, "of", enough])


def measured_alike(run: RawRun, best: Trial) -> bool:
    """Whether the settings of the fresh seeds, such as the judge, are the winner's own."""
    own = {name: value for name, value in best.config.items() if name not in WHO}
    return all(own.items() <= one.config.items() for one in run.on_seeds(best).values())


def seed02(run: RawRun) -> Said:
    """Whether the winner's value lies within the prediction interval from its fresh seeds."""
    best = run.winner
    if best is None:
        return no_winner(run)
    objective, goal = run.objective["metric"], run.goal["metric"]
    metric = objective if measured_alike(run, best) else goal
    seeds = [one.last.get(metric) for one in run.on_seeds(best).values()]
    values, selected = [one for one in seeds if one is not None], best.last.get(metric)
    n = len(values)
    if n < 2 or selected is None:
        return NOT_APPLICABLE, [metric, "there", n]
    centre = average(values)
    half = stdev(values) * math.sqrt(1 + 1 / n) * float(stats.t.isf(0.025, n - 1))
    items: list[Item] = [metric, "of trial", best.number, "is", selected, "in the search", centre]
    items += ["over", n, "have", centre - half, "to", centre + half, 95, "times in", 100]
    better = -run.sign if metric == objective else 1 if run.goal["at"] == "least" else -1
    lost = better * (selected - centre)
    if lost <= half:
        return "passed", items
    if half == 0 and n < 19:
        return "inconclusive", [*items, n, "equal seeds", 19]
    others = [one for one in run.complete if one is not best and one.last.get(metric) is not None]
    known = [better * one.last[metric] for one in others if one.is_baseline]
    every = [better * one.last[metric] for one in others]
    start = max(known) if known else median(every) if every else math.inf
    gain = better * selected - start
    than = "best other baseline" if best.is_baseline else "best baseline"
    share: list[Item] = (
        [min(1.0, lost / gain), than if known else "median trial"] if gain > 0 else []
    )
    return "tip", [*items, "flattered it by", lost, *share]


def seed03(run: RawRun) -> Said:
    """Whether settings differ by more than their seeds explain: an analysis of variance."""
    settings = np.array([run.sign * one.loss for one in run.complete])
    tried = [[*run.on_seeds(one).values()] for one in run.trials]
    losses = [np.array([o.loss for o in group if math.isfinite(o.loss)]) for group in tried]
    alike = run.winner is not None and measured_alike(run, run.winner)
    groups = [one for one in losses if len(one) > 1] if alike else []
    metric, each = run.objective["metric"], 1
    if several := [o.last["seeds"] for o in run.complete if len(o.last.get("seeds", ())) > 1]:
        groups = [np.array([run.sign * one[metric] for one in seeds]) for seeds in several]
        settings, each = np.array([one.mean() for one in groups]), len(groups[0])
    seeds = sum(map(len, groups))
    freedom = seeds - len(groups)
    if len(settings) < 2 or not freedom:
        return NOT_APPLICABLE, ["there are", len(settings), "such trial", seeds, "such seed"]
    within = sum(float(((one - one.mean()) ** 2).sum()) for one in groups) / freedom
    between = float(settings.var(ddof=1))
    share = min(1.0, within / each / between) if between else float(within > 0)
    items: list[Item] = [metric, math.sqrt(within), seeds, "seed", len(groups)]
    items += ["by", math.sqrt(between), "between", len(settings), "seeds make", share]
    p = float(stats.f.sf(1 / share, len(settings) - 1, freedom)) if share else 0.0
    return "passed" if p < 0.05 else "inconclusive", items


def edge02(run: RawRun) -> Said:
    """Whether the best quarter crowd at an end that could be moved out, by Fisher's exact test."""
    quarter, others = run.best_quarter, run.ranked[len(run.best_quarter) :]
    ends = []
    for name, about in run.space.items():
        mine, rest = (_places(name, about, some) for some in (quarter, others))
        for end in _open_ends(about) if mine else ():
            here, there = (sum(_is_outer(one, end) for one in some) for some in (mine, rest))
            p = _fisher(here, len(mine), there, len(rest))
            told: list[Item] = [here, "best", len(mine), "and", there, "other", len(rest)]
            ends.append((p, name, end, [*told, f"the {end} end of {name}", Rough(p)]))
    if not ends:
        return NOT_APPLICABLE, [len(quarter), "of", len(run.ranked)]
    level, n = 0.05 / len(ends), len(run.ranked)
    if flagged := [items for p, _, _, items in ends if p < level]:
        return "issue", [item for items in flagged for item in items]
    enough = next(8 * k for k in count(1) if _fisher(k, 2 * k, 0, 6 * k) < level)
    if n < enough:
        return "inconclusive", [n, "trial", len(ends), "open end", enough]
    return "passed", [len(ends), "open end", *min(ends, key=lambda one: one[:3])[3]]


def _fisher(here: int, n: int, there: int, rest: int) -> float:
    table = np.array([[here, n - here], [there, rest - there]])
    return float(stats.fisher_exact(table, alternative="greater").pvalue)


def _open_ends(about: dict[str, Any]) -> list[str]:
    """The ends of numbers that are no natural bound: 0, a count of 1, a fraction of 1, or the
    lowest number allowed."""
    values = about.get("choices", [about.get("low"), about.get("high")])
    if not all(type(value) in (int, float) for value in values) or len({*values}) < 2:
        return []
    counts, low, high = all(isinstance(v, int) for v in values), min(values), max(values)
    natural = -math.inf if low < 0 else 1 if counts and low >= 1 else 0
    asked = -math.inf if about["at_least"] is None else about["at_least"]
    closed = isinstance(high, float) and high == 1 and not about.get("log")
    return ["lower"] * (low > max(natural, asked)) + ["upper"] * (not closed)


def _places(name: str, about: dict[str, Any], trials: Sequence[Trial]) -> list[float]:
    """Where in its range, from 0 to 1, each trial has a number."""
    if not _open_ends(about):
        return []
    values = [one.config[name] for one in trials if name in one.config]
    if "choices" in about:
        choices = sorted(about["choices"])
        return [choices.index(value) / (len(choices) - 1) for value in values]
    scale = np.log if about["log"] else np.asarray
    low, high = scale(about["low"]), scale(about["high"])
    return [float((scale(value) - low) / (high - low)) for value in values]


def _is_outer(place: float, end: str) -> bool:
    return place <= 0.1 if end == "lower" else place >= 0.9


def more01(run: RawRun) -> Said:
    """Whether the trials that the sampler chose beat those drawn at random."""
    if not run.complete:
        return no_winner(run)
    best, metric = run.complete[0], run.objective["metric"]
    before = [one.loss for one in run.complete if one.number < best.number]
    since = sum(one.number > best.number for one in run.finished)
    items: list[Item] = ["trial", best.number, since, "trial", metric, run.sign * best.loss]
    items += [min(before) - best.loss, "better"] if before else []
    sampler = run.search["options"].get("sampler", "tpe")
    if sampler in ("random", "qmc"):
        return NOT_APPLICABLE, [*items, "all", len(run.finished)]
    rung, first = min(run.search.get("rungs", []), default=None), run.search["startup_trials"]
    tried = [one for one in run.finished if not one.is_baseline]
    drawn = [_at_rung(one, rung) for one in tried if one.number < first]
    chosen = [_at_rung(one, rung) for one in tried if one.number >= first]
    if min(len(drawn), len(chosen)) < 5:
        return "inconclusive", [*items, len(chosen), f"chosen by {sampler}", len(drawn), "drawn", 5]
    pairs = [(mine < its) + 0.5 * (mine == its) for mine in chosen for its in drawn]
    p = float(stats.mannwhitneyu(drawn, chosen, alternative="greater").pvalue)
    items += ["of the", len(chosen), f"chosen by {sampler}", len(drawn), average(pairs), Rough(p)]
    if p < 0.05:
        return "passed", items
    n = np.arange(5, 1001)
    fraction = n / (n + len(drawn))  # Noether 1987: (z_a + z_b)² / (12 c (1 - c) (p - 1/2)²)
    z = float(stats.norm.isf(0.05) + stats.norm.isf(0.2))
    seen = 12 * fraction * (1 - fraction) * max(0.0, average(pairs) - 0.5) ** 2
    enough = n[(n + len(drawn)) * seen >= z**2]
    more: list[Item] = ["about", int(enough[0])] if len(enough) else []
    if not more and average(pairs) > 0.5:
        more = ["beside", len(drawn), "no number"]
    return "inconclusive", [*items, *more]


def _at_rung(trial: Trial, rung: float | None) -> float:
    """The loss of the first report at or after the rung; a trial that converged before keeps its
    last loss, and any other has none."""
    if rung is None:
        return trial.loss
    early = trial.loss if trial.ended == "converged" else math.inf
    return next((loss for cost, loss in trial.losses if cost >= rung), early)


def space03(run: RawRun) -> Said:
    """Which choices were tried too rarely to be told from the others."""
    options = {name: _options(about) for name, about in run.space.items()}
    number = sum(len(every) for every in options.values() if len(every) > 1)
    tried, rare = [], []
    for name, every in options.items():
        values = [one.config[name] for one in run.finished if name in one.config]
        if len(every) < 2 or len(values) < 5:
            continue
        n = len(values)
        # all k trials with a choice are the worst: one of the ways to choose k of n
        told = (k for k in range(1, n // 2 + 1) if 1 / math.comb(n, k) < 0.05 / number)
        enough = next(told, n // 2 + 1)
        for option in every:
            k = values.count(option)
            shown = f"{option:g}" if isinstance(option, float) else option
            items: list[Item] = [f"{name}={shown}", k, "of", n, "times"]
            tried.append((k * len(every) / n, items))
            rare += [[*items, enough]] if k < enough else []
    if not tried:
        return NOT_APPLICABLE, ["choices and", 5, "trials", len(run.finished)]
    if not rare:
        return "passed", [len(tried), *min(tried, key=lambda one: one[0])[1]]
    named = [item for items in rare[:4] for item in items]
    left: list[Item] = [len(rare) - 4, "more"] if len(rare) > 4 else []
    return "inconclusive", [len(rare), "of", len(tried), *named, *left]


def _options(about: dict[str, Any]) -> list[Any]:
    """The choices, or the values of a range of at most ten whole numbers."""
    if "choices" in about:
        return list(about["choices"])
    if not all(isinstance(about[end], int) for end in ("low", "high")):
        return []
    values = range(about["low"], about["high"] + 1, about["step"] or 1)
    return list(values) if len(values) <= 10 else []


def fail01(run: RawRun) -> Said:
    """How many trials failed, and why."""
    n = len(run.finished)
    if not n:
        return NOT_APPLICABLE, [0]
    broken = [one for one in run.finished if one.ended not in (*WHOLE, "stopped early")]
    items = [len(broken), "of", n, *of_all(len(broken), n)]
    causes = Counter(f"error: {o.error}" if o.error else str(o.ended) for o in broken)
    items += [item for cause, k in causes.most_common() for item in (cause, k)]
    is_error = any(one.ended == "error" for one in broken)
    return "issue" if is_error else "tip" if broken else "passed", items


CHECKS = {
    "SEED01": seed01, "SEED02": seed02, "SEED03": seed03, "EDGE02": edge02, "MORE01": more01,
    "SPACE03": space03, "FAIL01": fail01,
}  # fmt: skip
