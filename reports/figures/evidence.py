"""The interactive figures beside the checks of a run as pure functions: values in, a Figure out."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import pandas as pd

from records.checks.check import Interval, amount
from records.checks.statistics import mean_interval
from reports.figures.style import BEST, HAND_TUNED, MUTED
from reports.figures.traces import Axis, Figure, digits, mark

SHADES = ("#56b4e9", "#cc79a7", "#009e73", "#e69f00")
CLEAR = "rgba(0,0,0,0)"


def importances(
    budgets: Mapping[str, tuple[Mapping[str, float], Mapping[str, Interval]]],
) -> Figure:
    """How much each parameter decided, at each budget, with its interval.

    ``budgets``: the least first; by parameter, its part of 1 and the interval of this part.
    """
    figure, (*_, (last, _)) = Figure(), budgets.values()
    every = set().union(*(found for found, _ in budgets.values()))
    names = sorted(every, key=lambda name: last.get(name, 0.0))
    for (budget, (found, intervals)), shade in zip(budgets.items(), cycle(SHADES), strict=False):
        parts = [found.get(name, 0.0) for name in names]
        ends = [intervals.get(name, (part, part)) for name, part in zip(names, parts, strict=True)]
        above = [100 * (high - part) for part, (_, high) in zip(parts, ends, strict=True)]
        below = [100 * (part - low) for part, (low, _) in zip(parts, ends, strict=True)]
        bars = {"type": "data", "symmetric": False, "thickness": 1.5, "color": MUTED}
        figure.add(
            "bar", [100 * part for part in parts], names, name=budget, orientation="h",
            marker={"color": shade},
            error_x={**bars, "array": digits(above), "arrayminus": digits(below)},
        )  # fmt: skip
    figure.axis("xaxis", "importance, %")
    return figure


def path(stages: Sequence[tuple[str, Sequence[float]]], y: Axis) -> Figure:
    """The metric after each change on the way from the hand-tuned settings to the winner's.

    ``stages``: what changed, and the metric after it on each seed, not finite if the training
    broke; the hand-tuned settings first.
    """
    figure = Figure()
    places = ["hand-tuned", *(f"+ {changed}" for changed, _ in stages[1:])]
    means = [sum(values) / len(values) for _, values in stages]
    figure.add(
        "scatter", places, digits(means), mode="lines", name="mean",
        line={"shape": "hvh", "color": BEST}, hoverinfo="text",
        text=[amount(value, 4) for value in means],
    )  # fmt: skip
    seeds = [
        (place, one) for place, (_, values) in zip(places, stages, strict=True) for one in values
    ]
    figure.add(
        "scatter", [place for place, _ in seeds], digits([one for _, one in seeds]),
        mode="markers", name="a fresh seed", marker={"size": 9, "color": HAND_TUNED[0]},
        hoverinfo="y",
    )  # fmt: skip
    figure.categories("xaxis")
    figure.scale(y=y)
    return figure


def winners_curse(
    searched: pd.DataFrame,
    selected: float,
    confirmed: Sequence[float],
    beside: Mapping[str, Sequence[float]],
    y: Axis,
) -> Figure:
    """The metric by which the winner was selected, and the same metric on fresh seeds.

    Args:
        searched: Number and metric of the better half of the whole trials.
        beside: The metric of other settings on fresh seeds, by their name.
    """
    figure, (low, high) = Figure(), mean_interval(confirmed)
    winner = ["the winner,<br>as selected", "the winner,<br>fresh seeds", "mean, 95%<br>interval"]
    others = [f"{name},<br>fresh seeds" for name in beside]
    columns = ["better half<br>of trials", *winner, *others]
    middle = sum(confirmed) / len(confirmed)
    bars = {"array": digits([high - middle]), "arrayminus": digits([middle - low])}
    shown: dict[str, Any] = {"mode": "markers", "hoverinfo": "y", "showlegend": False}
    figure.add(
        "box", columns[:1] * len(searched), searched[y.column], searched["number"],
        name=columns[0], boxpoints="all", jitter=0.4, pointpos=0, hoverinfo="y", showlegend=False,
        marker={"color": MUTED, "size": 5}, line={"color": CLEAR}, fillcolor=CLEAR,
    )  # fmt: skip
    figure.add("scatter", columns[1:2], [selected], marker=mark(BEST, size=13), **shown)
    seeds = mark(HAND_TUNED[0], "diamond", 9)
    figure.add("scatter", columns[2:3] * len(confirmed), confirmed, marker=seeds, **shown)
    figure.add(
        "scatter", columns[3:4], [middle], marker=mark(HAND_TUNED[0], "square", 11),
        error_y={"type": "data", "symmetric": False, **bars}, **shown,
    )  # fmt: skip
    known = {**shown, "marker": mark(HAND_TUNED[1], "diamond-open", 9)}
    for column, values in zip(others, beside.values(), strict=True):
        figure.add("scatter", [column] * len(values), values, **known)
    figure.categories("xaxis", columns)
    figure.layout["xaxis"] |= {"tickangle": 0, "tickfont": {"size": 11}}
    figure.scale(y=y)
    return figure


def audit(let_run: pd.DataFrame, best_of_others: float | None, y: Axis) -> Figure:
    """Trials that early stopping would have ended: their metric at that point and in the end.

    ``let_run``: number, there, in_the_end.
    """
    figure = Figure()
    columns = ["where it would have been stopped", "in the end"]
    look: dict[str, Any] = {"mode": "lines+markers", "line": {"color": HAND_TUNED[0]}}
    for number, *values in let_run.itertuples(index=False):
        figure.add("scatter", columns, values, [number] * 2, name=f"trial {number}", **look)
    if best_of_others is not None:
        look = {"mode": "lines", "line": {"color": BEST, "dash": "dash"}}
        figure.add("scatter", columns, [best_of_others] * 2, name="best of all others", **look)
    figure.categories("xaxis")
    figure.scale(y=y)
    return figure
