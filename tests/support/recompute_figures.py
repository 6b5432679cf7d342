"""The points of the interactive figures, computed from a run's raw files.

Nothing here comes from the project's own code. Each function returns the traces of one figure or of
several to choose between, in their order.
"""

import html
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Any

from tests.support.page_numbers import differences
from tests.support.raw_run import WHOLE, Item, RawRun, Trial

Value = float | str | None
Point = tuple[Value, Value, int | None]
"""x, y and the trial whose point it is; without a trial if the page's filter leaves it alone."""
SCRIPT = re.compile(r'report\.figure\("([^"]+)", (\{.*\})\);\n')
MOST, FEWEST = 60_000, 20
"""Points of all curves of all trials together, and of one curve at least."""


@dataclass(frozen=True)
class Trace:
    """A trace of a figure.

    Attributes:
        more: For some, one more number of each point: its colour, or where its bar begins.
        error: How far an interval reaches above and below the only point.
    """

    name: str | None
    points: Sequence[Point]
    more: Sequence[float] | None = None
    error: tuple[float, float] | None = None


Traces = list[Trace]


def read_figure(script: str) -> list[dict[str, Any]]:
    """The traces in a figure's script."""
    found = SCRIPT.fullmatch(script)
    assert found is not None
    traces: list[dict[str, Any]] = json.loads(found[2])["data"]
    return traces


def unlike_figure(shown: Sequence[dict[str, Any]], expected: Traces) -> list[str]:
    """What a figure's traces show otherwise than expected, at six significant digits."""
    if (names := [one.get("name") for one in shown]) != [one.name for one in expected]:
        return [f"the traces {names} are {[one.name for one in expected]}"]
    return [
        line
        for trace, wanted in zip(shown, expected, strict=True)
        for line in _unlike_trace(trace, wanted)
    ]


def _unlike_trace(trace: dict[str, Any], wanted: Trace) -> list[str]:
    x, y = trace["x"], trace["y"]
    trials = trace.get("meta", trace).get("trials", [None] * len(x))
    if not len(x) == len(y) == len(trials) == len(wanted.points):
        return [f"{wanted.name}: {len(x)} points are {len(wanted.points)}"]
    pairs = zip(zip(x, y, trials, strict=True), wanted.points, strict=True)
    found = [f"{wanted.name}: {one} is {own}" for one, own in pairs if not _same(one, own)]
    more = trace["base"] if "base" in trace else trace.get("marker", {}).get("color")
    if wanted.more is not None and not _same(more, wanted.more):
        found.append(f"{wanted.name}: {more} is {wanted.more}")
    error = trace.get("error_y", {"array": [], "arrayminus": []})
    if not _same([*error["array"], *error["arrayminus"]], wanted.error or ()):
        found.append(f"the interval {error} is {wanted.error}")
    return found


def _same(shown: Sequence[Any], wanted: Sequence[Any]) -> bool:
    """Whether numbers are the same at six significant digits, and all else just the same."""
    return len(shown) == len(wanted) and all(
        one == own
        if not isinstance(own, int | float) or not isinstance(one, int | float) or not own
        else abs(one - own) <= 0.5 * 10.0 ** (math.floor(math.log10(abs(own))) - 5) * (1 + 1e-9)
        for one, own in zip(shown, wanted, strict=True)
    )


def unlike_words(run: RawRun, name: str, shown: Sequence[dict[str, Any]]) -> list[str]:
    """What the words at the points of a figure say otherwise than the files."""
    every, found = {one.number: one for one in run.trials}, list[str]()
    for trace in shown:
        numbers = trace.get("meta", trace).get("trials", [])
        texts = trace.get("text", []) if numbers else []
        points = zip(texts, numbers, trace["y"], strict=True) if texts else ()
        for text, number, y in points:
            items: list[Item] = ["trial", number]
            if name.startswith("rungs"):
                items += [y]
            elif not name.startswith("curves"):
                items += _in_words(run, every[number])
            found += differences(html.unescape(text.replace("<br>", " ")), items)
    return found


def _in_words(run: RawRun, trial: Trial) -> list[Item]:
    metric = run.objective["metric"]
    settings = ["None" if one is None else one for one in run.settings(trial.config)]
    ended = run.words(replace(trial, error=None))
    return [ended, *settings, metric.replace("_", " "), trial.last.get(metric)]


def value(trial: Trial, metric: str) -> float | None:
    """A metric in a trial's last report; None if it is missing or not finite."""
    found = trial.last.get(metric)
    return None if found is None or not math.isfinite(found) else float(found)


def by_outcome(run: RawRun, trials: Iterable[Trial]) -> list[tuple[str, list[Trial]]]:
    """The name of each outcome's trace and its trials."""
    groups: dict[str, list[Trial]] = {}
    for one in trials:
        groups.setdefault(run.words(replace(one, error=None)), []).append(one)
    ordered = sorted(groups.items(), key=lambda one: -len(one[1]))  # stable, as is pandas' count
    return [(f"{words} ({len(some)})", some) for words, some in ordered]


def scatter(run: RawRun, x: Callable[[Trial], Value], y: Callable[[Trial], Value]) -> Traces:
    """A point for each trial that has both values, by outcome, and again around the baselines and
    the best one."""

    def points(some: Iterable[Trial]) -> list[Point]:
        return [(x(one), y(one), one.number) for one in some]

    shown = [one for one in run.trials if x(one) is not None and y(one) is not None]
    known = [one for one in shown if one.is_baseline]
    best = [one for one in shown if run.winner and one.number == run.winner.number]
    traces = [Trace(name, points(some)) for name, some in by_outcome(run, shown)]
    traces += [Trace(f"baseline ({len(known)})", points(known))] if known else []
    return traces + ([Trace("best", points(best))] if best else [])


def history(run: RawRun) -> list[Traces]:
    """By number, by the cost so far, and by the minutes at which the trials ended."""
    cost, metric = run.search.get("time_attr", "step"), run.objective["metric"]
    spent = accumulate(one.last.get(cost) or 0.0 for one in run.trials)
    so_far = dict(zip((one.number for one in run.trials), spent, strict=True))
    began = min(one.started for one in run.trials)
    axes: list[Callable[[Trial], float | None]] = [
        lambda one: one.number,
        lambda one: so_far[one.number],
        lambda one: None if one.finished is None else (one.finished - began) / 60,
    ]
    return [_progress(run, x, metric) for x in axes]


def _progress(run: RawRun, x: Callable[[Trial], float | None], metric: str) -> Traces:
    whole = sorted(
        (at, found)
        for one in run.trials
        if one.ended in WHOLE and (at := x(one)) is not None
        and (found := value(one, metric)) is not None
    )  # fmt: skip
    least = min if run.sign == 1 else max
    best = accumulate((found for _, found in whole), least)
    line: list[Point] = [(at, own, None) for (at, _), own in zip(whole, best, strict=True)]
    points = scatter(run, x, lambda one: value(one, metric))
    return points + ([Trace("best so far", line)] if line else [])


def curves_of_all(run: RawRun, metric: str) -> Traces:
    """The curve of every trial, with those of the baselines and of the best one once more."""
    cost, most = run.search.get("time_attr", "step"), max(FEWEST, MOST // len(run.trials))
    curves = {one.number: _curve(one, cost, metric, most) for one in run.trials}
    best = run.winner.number if run.winner else None

    def lines(some: Iterable[Trial]) -> list[Point]:
        drawn = [(one.number, curves[one.number]) for one in some if curves[one.number]]
        return [point for number, own in drawn for point in (*own, (None, None, number))]

    traces = [
        Trace(name, lines(one for one in some if one.number != best))
        for name, some in by_outcome(run, run.trials)
    ]
    known = [one for one in run.trials if one.is_baseline and curves[one.number]]
    traces += [Trace(f"baseline ({len(known)})", lines(known))] if known else []
    own = curves[best] if best is not None else []
    return traces + ([Trace(f"best, trial {best}", own)] if own else [])


def _curve(trial: Trial, cost: str, metric: str, most: int) -> list[Point]:
    """Evenly spread reports that have the metric, the last one among them."""
    rows = [(row[cost], row[metric]) for row in trial.reports if row.get(metric) is not None]
    every = max(1, math.ceil(len(rows) / most))
    kept = [one for at, one in enumerate(rows) if at % every == 0 or at == len(rows) - 1]
    return [(x, y, trial.number) for x, y in kept]


def rungs(run: RawRun) -> Traces:
    """The objective of each trial at every rung, until it was stopped or would have been."""
    went: list[Point] = []
    stopped: list[Point] = []
    known: list[Point] = []
    best: list[Point] = []
    for rung in run.search.get("rungs", []):
        for one in run.trials:
            beyond = [loss for cost, loss in one.losses if cost >= rung]
            loss = beyond[0] if beyond else one.loss if one.ended == "converged" else math.inf
            if loss == math.inf or (one.audited is not None and rung > one.audited):
                continue
            point = (f"{rung:,}", run.sign * loss, one.number)
            ended_here = one.ended == "stopped early" and len(beyond) == 1
            (stopped if ended_here else went).append(point)
            known += [point] if one.is_baseline and one in run.finished else []
            best += [point] if run.winner and one.number == run.winner.number else []
    traces = [Trace(f"went on, or ended ({len(went)})", went)]
    traces += [Trace(f"was stopped there ({len(stopped)})", stopped)]
    number = len({trial for _, _, trial in known})
    traces += [Trace(f"baseline ({number})", known)] if known else []
    return traces + ([Trace("best", best)] if best else [])


def slices(run: RawRun) -> dict[str, Traces]:
    """The objective against each setting, by its name."""
    metric = run.objective["metric"]
    return {
        name: scatter(run, partial(_setting, name), lambda one: value(one, metric))
        for name in run.space
        if any(name in one.config for one in run.trials)
    }


def _setting(name: str, trial: Trial) -> Value:
    """A setting, None if it does not apply; the choice None is a word."""
    found: Value = trial.config.get(name)
    return "None" if found is None and name in trial.config else found


def rank(run: RawRun) -> Traces:
    """The ranked trials in the plane of the first two settings that have a logarithmic scale."""
    log = [name for name, about in run.space.items() if about.get("log")][:2]
    if len(log) < 2:
        return []
    places = {one.number: float(place) for place, one in enumerate(run.ranked, start=1)}
    shown = [o for o in run.trials if o.number in places and all(n in o.config for n in log)]

    def points(some: Iterable[Trial]) -> list[Point]:
        return [(one.config[log[0]], one.config[log[1]], one.number) for one in some]

    traces = [Trace(None, points(shown), [places[one.number] for one in shown])]
    known = [one for one in shown if one.is_baseline]
    traces += [Trace(f"baseline ({len(known)})", points(known))] if known else []
    best = [one for one in shown if run.winner and one.number == run.winner.number]
    return traces + ([Trace("best", points(best))] if best else [])
