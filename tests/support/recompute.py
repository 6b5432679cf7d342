"""The numbers of a run's answer and tables, computed from its raw files by their definitions.

An independent judge of the page: nothing here comes from the project's own code. The definitions
are from docs/decisions/finalists.md, the formulas from scipy.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tests.support.raw_run import WHOLE, Item, RawRun, Trial, average
from tests.support.skewed import paired_interval

FloatArray = NDArray[np.float64]

RESULT = {"lstm": "accuracy", "gan": "fd_ratio"}
"""The metric in the answer's last sentence, by experiment; any other has its objective there."""

HAND_TUNED = "hand-tuned, defaults"
QUALITY = ("fd", "fd_ratio", "clean", "coverage", "density", "manifold_coverage", "copied")
"""The columns of the table of a GAN's quality."""


def counts(run: RawRun) -> list[Item]:
    """How many trials there are, and how many ended in each way, the most frequent first."""
    ended = Counter(run.words(replace(one, error=None)) for one in run.trials).most_common()
    return [len(run.trials), *(part for words, n in ended for part in (n, words))]


def answer(run: RawRun) -> list[Item]:
    """The numbers of the answer box, in its order."""
    best = run.winner
    if best is None:
        return [sum(one.ended in WHOLE for one in run.finished)]
    exported = json.loads((run.path / "best" / "config.json").read_bytes())
    metric = RESULT.get(run.search["experiment"], run.objective["metric"])
    in_search: list[Item] = [
        "trial", best.number, run.words(best), _plain(metric), best.last.get(metric),
        "step", best.last["step"],
    ]  # fmt: skip
    seeds = [*run.on_seeds(best).values()]
    fresh = [*_fresh(run, seeds), *versus(run, best)] if seeds else []
    return [*run.settings(exported), *fresh, *in_search, *_final(run, best)]


def _fresh(run: RawRun, seeds: Sequence[Trial]) -> list[Item]:
    """What the winner's settings reach on fresh seeds."""
    metric, bound, chance = (run.goal.get(name) for name in ("metric", "bound", "chance"))
    least, n = run.goal["at"] == "least", len(seeds)
    values = [one.last[metric] for one in seeds if one.last.get(metric) is not None]
    steps = [one.last["steps_to_converge"] for one in seeds if one.last.get("steps_to_converge")]
    worst = (min(values) if least else max(values)) if values else None
    items: list[Item] = [sum(map(run.reaches, seeds)), "of", n, _plain(metric), bound]
    items += ["lowest" if least else "highest", worst, "mean", average(values) if values else None]
    items += [len(values), "with a result"] if 0 < len(values) < n else []
    items += [min(steps), "to", max(steps), "median", median(steps)] if steps else []
    return items + (["a guess reaches", chance] if _guessed(run, seeds) else [])


def _guessed(run: RawRun, seeds: Sequence[Trial]) -> bool:
    """Whether none gets further than a twentieth of the way from a guess to the goal."""
    metric, bound, chance = (run.goal.get(name) for name in ("metric", "bound", "chance"))
    values = [one.last[metric] for one in seeds if one.last.get(metric) is not None]
    if chance is None or not values:
        return False
    best = max(values) if run.goal["at"] == "least" else min(values)
    return bool((best - chance) / (bound - chance) <= 0.05)


def versus(run: RawRun, winner: Trial) -> list[Item]:
    """The best settings that are no baseline, compared with the best baseline seed by seed."""
    items: list[Item] = ["are a baseline", winner.config["baseline"]] if winner.is_baseline else []
    baseline = next((one for one in run.finalists if one.is_baseline), None)
    others = [one for one in run.finalists if not one.is_baseline]
    if baseline is None or not others:
        return items

    def place(one: Trial) -> tuple[int, float]:
        seeds = run.on_seeds(one).values()
        return -len(seeds), average(seed.fresh_loss for seed in seeds)

    best = min(others, key=place) if winner.is_baseline else winner
    items += ["trial", best.number] if winner.is_baseline else []
    mine, its = run.on_seeds(best), run.on_seeds(baseline)
    gains = [its[seed].fresh_loss - mine[seed].fresh_loss for seed in sorted(mine.keys() & its)]
    better = np.array(gains)
    chances = len(others), _answers(run, [(mine[one], its[one]) for one in mine.keys() & its])
    p_value, metric, name = 0.05, run.objective["metric"], baseline.config["baseline"]
    p_value /= chances[0] * chances[1] ** 2
    if np.isfinite(better).all() and np.ptp(better) > 0:
        found = _by_interval(better, p_value, run.sign, chances, metric, name)
        return [*items, *(found if not _guessed(run, [*mine.values()]) else _unadvised(found))]
    wins, losses = int((better > 0).sum()), int((better < 0).sum())
    n = len(better)
    shown = max(wins, losses) == n and stats.binomtest(n, n).pvalue <= p_value  # the sign test
    told = ("yes" if wins else "no") if shown else "not shown"
    return [*items, told, metric, name, "on", wins, "of", n, "worse on", losses]


def _answers(run: RawRun, pairs: Sequence[tuple[Trial, Trial]]) -> int:
    """After how many different numbers of pairs a session has ended with an answer, or does now."""
    unanswered = ("interrupted", "failed", "running")
    ends = [one["ended"] for one in run.search["sessions"] if one["how"] not in unanswered]
    numbers = {len([1 for pair in pairs if all(one.started < end for one in pair)]) for end in ends}
    return len((numbers | {len(pairs)}) - {0}) or 1


def _unadvised(items: list[Item]) -> list[Item]:
    """Without the seeds that would show a difference."""
    return items[: items.index("--confirm")] if "--confirm" in items else items


def _by_interval(
    gains: FloatArray,
    missed: float,
    sign: int,
    chances: tuple[int, int],
    metric: str,
    baseline: str,
) -> list[Item]:
    """By Student's paired test. The interval misses the mean gain as often as ``missed``."""
    values = [float(gain) for gain in gains]
    n, centre, spread = len(values), average(values), float(np.std(values, ddof=1))
    low, high = paired_interval(values, 1 - missed)
    told = "yes" if low > 0 else "no" if high < 0 else "not shown"
    low, high = sorted(math.copysign(1, centre) * end for end in (low, high))
    how = "higher" if centre * sign < 0 else "lower"
    items: list[Item] = [told, metric, abs(centre), how, baseline, "over", n, "(", 0.95]
    items += [low, "to", high]
    settings, looks = chances
    items += ["the best of", settings] if settings > 1 else []
    items += ["were added after", looks - 1, "answer"] if looks > 1 else []
    more, missed = np.arange(n + 1, 1001), missed * looks**2 / (looks + 1) ** 2
    enough = more[spread / np.sqrt(more) * stats.t.isf(missed / 2, more - 1) < abs(centre)]
    return items + (["--confirm", int(enough[0])] if told == "not shown" and len(enough) else [])


def _trained_on(run: RawRun, best: Trial) -> Trial | None:
    """The winner's final training, if it has ended."""
    folder = run.path / "final" / f"trial_{best.number:04d}"
    trained = run.read_trial(folder) if folder.exists() else None
    return trained if trained and trained.ended == "budget" else None


def _final(run: RawRun, best: Trial) -> list[Item]:
    """What the final training reached."""
    trained = _trained_on(run, best)
    if trained is None:
        return []
    last, real = trained.last, run.search["judges"]["final"]["floor"]
    return [
        "step", last["step"], "fd", last["fd_ratio"], "clean", last["clean"],
        "real images", real["clean"], "coverage", last["coverage"],
    ]  # fmt: skip


def quality(run: RawRun) -> list[list[Item]]:
    """The rows of the table of a GAN's quality: the search's judge, then the final one."""
    best, judges = run.winner, run.search["judges"]
    searching, final = (judges[name]["floor"] for name in ("search", "final"))  # of real images
    tuned = [one for one in run.trials if one.config.get("baseline") == HAND_TUNED]
    measured = [one.last for one in (*tuned[:1], best) if one]
    rows = [_row(["step", one["step"]], one, searching) for one in measured]
    rows.append(_row(["search's judge"], searching, searching))
    seeds = [*run.on_seeds(best).values()] if best else []
    fresh = [one.last for one in seeds if one.last.get("fd") is not None]
    if fresh:
        means = {name: average(one[name] for one in fresh) for name in QUALITY}
        rows.append(_row(["mean of", len(fresh)], means, final))
    if best and (trained := _trained_on(run, best)):
        rows.append(_row(["step", trained.last["step"]], trained.last, final))
    return [*rows, _row(["final judge"], final, final)]


def _row(label: list[Item], values: Mapping[str, Any], real: Mapping[str, float]) -> list[Item]:
    """A row's items; ``fd_ratio`` is the distance divided by that of ``real`` images."""
    shown = {**values, "fd_ratio": values["fd"] / real["fd"]}
    return [*label, *(shown.get(name) for name in QUALITY)]


def table_of_trials(run: RawRun) -> list[dict[str, Item]]:
    """The rows of the table of trials, by heading; also each trial's ``rank``, the fraction of
    trials that are no worse."""
    places = {one.number: place for place, one in enumerate(run.ranked, start=1)}
    return [
        {
            **_metrics(one),
            **{name: one.config.get(name) for name in run.space},
            "trial": one.number,
            "ended": run.words(one),
            "minutes": one.minutes,
            "seed": one.config["seed"],
            "baseline": one.config.get("baseline", ""),
            "rank": places[one.number] / len(places) if one.number in places else None,
        }
        for one in run.trials
    ]


def table_of_seeds(run: RawRun) -> list[dict[str, Any]]:
    """The rows of the table of fresh seeds, by heading, in the order of the page."""
    every = {one.number: one for one in run.trials}
    tried = dict.fromkeys(one.config["confirms"] for one in run.fresh)
    return [
        {
            **_metrics(one),
            "settings": ["trial", number, *run.settings(every[number].config)],
            "seed": one.config["seed"],
            "ended": run.words(replace(one, error=None)),
        }
        for number in tried
        if run.on_seeds(every[number])
        for one in sorted(run.fresh, key=lambda one: int(one.config["seed"]))
        if one.config["confirms"] == number
    ]


def _metrics(trial: Trial) -> dict[str, Item]:
    """The last report's numbers, by their headings."""
    return {_plain(name): one for name, one in trial.last.items() if not isinstance(one, list)}


def _plain(name: str) -> str:
    return name.replace("_", " ")
