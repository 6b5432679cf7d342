"""The points of the figures beside the checks, of those of the whole space, and of a trial's own
page, computed from a run's raw files.

Nothing here comes from the project's own code. See ``recompute_figures``.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from tests.support.raw_run import RawRun, Trial, average
from tests.support.recompute_checks import measured_alike
from tests.support.recompute_figures import Point, Trace, Traces, Value, by_outcome, value
from tests.support.recompute_trained import stages
from tests.support.recompute_what import Judged, at_cost, judged_at_budgets, place
from tests.support.skewed import mean_interval

Bars = dict[str, tuple[float, float, float]]
"""By parameter, its importance, and how far its interval reaches above and below it, in percent."""


def importances(run: RawRun) -> dict[str, Bars]:
    """PED-ANOVA's importances at each budget with enough trials."""
    return {
        f"{label}, {found.trials} trials": {name: _bar(found, name) for name in found.parts}
        for label, found in judged_at_budgets(run)
    }


def _bar(found: Judged, name: str) -> tuple[float, float, float]:
    part, (low, high) = found.parts[name], found.interval(name)
    return 100 * part, max(0.0, 100 * (high - part)), max(0.0, 100 * (part - low))


def shown_bars(traces: Sequence[dict[str, Any]]) -> dict[str, Bars]:
    """What a figure of importances shows."""
    return {
        one["name"]: {
            name: (part, above, below)
            for name, part, above, below in zip(
                one["y"], one["x"], one["error_x"]["array"], one["error_x"]["arrayminus"],
                strict=True,
            )
        }
        for one in traces
    }  # fmt: skip


def path(run: RawRun) -> Traces:
    """The objective after each change, its mean and on each seed."""
    found = stages(run)
    if not found:
        return []
    columns = ["hand-tuned", *(f"+ {changed}" for changed, _ in found[1:])]
    means: list[Point] = []
    seeds: list[Point] = []
    for column, (_, losses) in zip(columns, found, strict=True):
        means.append((column, _finite(run, average(losses.values())), None))
        seeds += [(column, _finite(run, one), None) for one in losses.values()]
    return [Trace("mean", means), Trace("a fresh seed", seeds)]


def audit(run: RawRun) -> Traces:
    """Trials that were let run on: where they would have been stopped, and in the end."""
    there, end = "where it would have been stopped", "in the end"
    traces: Traces = []
    for one in run.finished:
        beyond = [loss for cost, loss in one.losses if cost >= (one.audited or 0)]
        if one.audited is not None and one.ended != "stopped early" and beyond:
            first, last = _finite(run, beyond[0]), _finite(run, one.loss)
            points: list[Point] = [(there, first, one.number), (end, last, one.number)]
            traces.append(Trace(f"trial {one.number}", points))
    best = next((one.loss for one in run.complete if one.audited is None), None)
    if traces and best is not None:
        level = _finite(run, best)
        traces.append(Trace("best of all others", [(there, level, None), (end, level, None)]))
    return traces


def _finite(run: RawRun, loss: float) -> float | None:
    return run.sign * loss if math.isfinite(loss) else None


def timeline(run: RawRun) -> Traces:
    """A bar for each stretch in which a trial was at work, beside those of other trials, in minutes
    since the first began. Bars may overlap by a second, to which reports are timed."""
    bars = sorted(
        ((begin, end, one) for one in run.trials for begin, end in _stretches(one)),
        key=lambda bar: bar[0],
    )
    until: list[float] = []
    groups: dict[str, list[tuple[Point, float]]] = {}
    for begin, end, one in bars:
        slot = next((at for at, free in enumerate(until) if free <= begin + 1), len(until))
        until[slot : slot + 1] = [end]
        point: Point = ((end - begin) / 60, slot + 1, one.number)
        own = groups.setdefault(run.words(replace(one, error=None)), [])
        own.append((point, (begin - bars[0][0]) / 60))
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
    return [
        Trace(
            f"{words} ({len({point[2] for point, _ in own})})",
            [point for point, _ in own],
            [begin for _, begin in own],
        )
        for words, own in ordered
    ]


def _stretches(trial: Trial) -> list[tuple[float, float]]:
    """When a trial began and ended to work, without pauses of more than 3 s between reports."""
    timed = [row for row in trial.reports if row.get("timestamp") and "time_this_iter_s" in row]
    if not timed:
        return [(trial.started, trial.finished)] if trial.finished else []
    stretches, begin = list[tuple[float, float]](), trial.started
    for row, following in pairwise(timed):
        end, again = row["timestamp"], following["timestamp"] - following["time_this_iter_s"]
        if again - end > 3:
            stretches.append((begin, end))
            begin = again
    end = timed[-1]["timestamp"]
    if trial.finished is not None and trial.finished - end <= 3:
        end = trial.finished
    return [*stretches, (begin, end)]


def _shown_in_a_plane(run: RawRun) -> bool:
    """Whether two settings on a logarithmic scale are all that there are."""
    return len(run.space) == 2 and all(about.get("log") for about in run.space.values())


def _places(run: RawRun, trial: Trial) -> dict[str, float]:
    """Where in its range each setting lies; choices without an order are spread evenly."""
    found: dict[str, float] = {}
    for name, about in run.space.items():
        if name in trial.config:
            where, choices = place(about, trial.config[name]), about.get("choices", [])
            if where is None and trial.config[name] in choices:
                where = choices.index(trial.config[name]) / max(1, len(choices) - 1)
            found |= {} if where is None else {name: where}
    return found


def coverage(run: RawRun) -> Traces:
    """Where in its range every setting was tried."""
    if _shown_in_a_plane(run):
        return []
    return [
        Trace(name, [(at, own, o.number) for o in some for own, at in _places(run, o).items()])
        for name, some in by_outcome(run, run.trials)
    ]


def parallel(run: RawRun) -> Traces:
    """A line for each trial through the places of its settings and of its rank."""
    if _shown_in_a_plane(run):
        return []
    ranks = {one.number: at for at, one in enumerate(run.ranked, 1)}
    last, best = f"{run.objective['metric'].replace('_', ' ')} (rank)", list[Trace]()

    def line(one: Trial) -> list[Point]:
        at = {**_places(run, one)}
        if one.number in ranks:
            at[last] = 1 - ranks[one.number] / len(ranks)
        return [(name, where, one.number) for name, where in at.items()]

    for one in run.trials:
        if run.winner and one.number == run.winner.number:
            best = [Trace("best", line(one))]
    groups = by_outcome(run, run.trials)
    traces = [Trace(name, [*_lines(line(one) for one in some)]) for name, some in groups]
    return traces + best


def _lines(lines: Iterable[list[Point]]) -> Iterable[Point]:
    for one in lines:
        yield from one
        yield (None, None, one[-1][2])


def curves_of_a_trial(run: RawRun, trial: Trial, metric: str) -> Traces:
    """A trial's curve, with those of the baselines and of the best one."""
    cost = run.search.get("time_attr", "step")
    names = {
        o.number: f"{o.config['baseline']}, trial {o.number}" for o in run.trials if o.is_baseline
    }
    names |= {run.winner.number: f"best, trial {run.winner.number}"} if run.winner else {}
    names |= {trial.number: f"trial {trial.number}"}
    every = {one.number: one for one in run.trials}
    return [
        Trace(label, [(_number(row, cost), _number(row, metric), None) for row in rows])
        for number, label in names.items()
        if (rows := every[number].reports)
    ]


def _number(row: Mapping[str, Any], name: str) -> Value:
    found: Value = row.get(name)
    return found


def curse(run: RawRun) -> Traces:
    """The winner's metric as selected and on fresh seeds, between the better half of all trials and
    the settings that it is compared with."""
    best = run.winner
    if best is None:
        return []
    metric = run.objective["metric"] if measured_alike(run, best) else run.goal["metric"]
    selected, values = value(best, metric), _fresh(run, best, metric)
    if selected is None or len(values) < 2:
        return []
    half = run.complete[: -(-len(run.complete) // 2)]
    searched = [(one.number, found) for one in half if (found := value(one, metric)) is not None]
    columns = ["better half<br>of trials", "the winner,<br>as selected"]
    columns += ["the winner,<br>fresh seeds", "mean, 95%<br>interval"]
    traces = [
        Trace(columns[0], [(columns[0], found, number) for number, found in searched]),
        Trace(None, [(columns[1], selected, None)]),
        Trace(None, [(columns[2], one, None) for one in values]),
        Trace(None, [(columns[3], average(values), None)], error=_interval(values)),
    ]
    baseline = next((one for one in run.finalists if one.is_baseline), None)
    others = [one for one in run.finalists if not one.is_baseline]
    if baseline is None or not others:
        return traces
    beside = baseline
    if best.is_baseline:
        beside = min(others, key=lambda one: (-len(run.on_seeds(one)), _mean_loss(run, one)))
    name = f"trial {beside.number}" if best.is_baseline else "best baseline"
    column = f"{name},<br>fresh seeds"
    return [*traces, Trace(None, [(column, one, None) for one in _fresh(run, beside, metric)])]


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """How far the interval for the mean reaches above and below it."""
    if np.ptp(values) == 0:
        return 0.0, 0.0
    mean = average(values)
    low, high = mean_interval(values)
    return high - mean, mean - low


def _mean_loss(run: RawRun, trial: Trial) -> float:
    return average(one.fresh_loss for one in run.on_seeds(trial).values())


def _fresh(run: RawRun, trial: Trial, metric: str) -> list[float]:
    found = [value(o, metric) for o in run.on_seeds(trial).values() if o.ended != "error"]
    return [one for one in found if one is not None]


def beside_random(run: RawRun) -> Traces:
    """The best so far at the first rung, without baselines, and the median of the best of as many
    random draws, with the band of Dvoretzky, Kiefer and Wolfowitz."""
    first = run.search.get("startup_trials", 0)
    rung = min(run.search.get("rungs", []), default=None)
    tried = [one for one in run.finished if not one.is_baseline]
    drawn = [_at_rung(one, rung) for one in tried if one.number < first]
    losses = np.array([*drawn, *(_at_rung(one, rung) for one in tried if one.number >= first)])
    finite = losses[np.isfinite(losses)]
    if len(drawn) < 5 or not len(finite):
        return []
    margin = math.sqrt(math.log(2 / 0.05) / (2 * len(drawn)))
    trials = range(1, len(losses) + 1)
    bands = [
        [(n, run.sign * float(np.clip(_best_of(n, drawn, by), finite.min(), finite.max())), None)
         for n in trials]
        for by in (margin, -margin, 0.0)
    ]  # fmt: skip
    best = zip(trials, np.minimum.accumulate(losses), strict=True)
    names = (None, "95% band of the median", "best of as many random draws, median")
    traces = [Trace(name, points) for name, points in zip(names, bands, strict=True)]
    return [
        *traces,
        Trace("this search", [(n, _finite(run, float(loss)), None) for n, loss in best]),
    ]


def _best_of(n: int, drawn: Sequence[float], margin: float) -> float:
    """The loss that the best of n draws is at or below half of the time, if the fraction of draws
    at or below a loss is larger by ``margin`` than seen."""
    wanted, every = 1 - 0.5 ** (1 / n), sorted(drawn)
    if margin >= wanted:
        return -math.inf
    reached = (loss for k, loss in enumerate(every, 1) if min(1, k / len(every) + margin) >= wanted)
    return next(reached, math.inf)


def _at_rung(trial: Trial, rung: float | None) -> float:
    return trial.loss if rung is None else at_cost(trial, rung)
