"""The interactive figures of all trials of a run as pure functions: tables in, a Figure out.

``trials`` has a row for each trial: number, ended, settings, metrics and its words (``WORDS``).
Every trace that shows trials names the trial of each point, so that the page's filter can hide
any trial in any figure (``static/report.js``).
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from records.outcome import COMPLETE
from reports.figures.style import BEST, HAND_TUNED
from reports.figures.traces import (
    WORDS,
    Axis,
    Figure,
    by_outcome,
    digits,
    in_legend,
    joined,
    mark,
    outcome_mark,
    thinned,
)  # fmt: skip

MOST_POINTS = 60_000
"""Points of all learning curves together that a browser draws without waiting."""
FEWEST_POINTS = 20
"""Points that a learning curve keeps at least."""
TIMED_TO_S = 1.0
"""Reports are timed to the second, so two bars of one slot may overlap by that much."""
RANGE: dict[str, Any] = {"tickvals": [0, 0.5, 1], "ticktext": ["low end", "middle", "high end"]}
"""Ticks of an axis from one end of each parameter's range to the other."""
RUNG, STOPPED = "at the rung", "was stopped"
"""Columns of a table of rungs, beside the metric, which may have any other name."""
BEST_LINE = {"color": BEST, "width": 3}
KNOWN = HAND_TUNED[1]
"""The colour around baselines."""


def scatter(trials: pd.DataFrame, x: Axis, y: Axis, best: int | None) -> Figure:
    """A point for each trial, marked by its outcome; a ring around the best one."""
    figure = Figure()
    measured = trials.dropna(subset=[x.column, y.column])
    for outcome, rows in by_outcome(measured):
        look = {"name": in_legend(outcome, rows), "marker": outcome_mark(outcome)}
        figure.points(rows, rows[x.column], rows[y.column], **look)
    rings(figure, measured, x, y, best)
    figure.scale(x=x, y=y)
    return figure


def rings(figure: Figure, rows: pd.DataFrame, x: Axis, y: Axis, best: int | None) -> None:
    """Draw a mark around the best trial and around every baseline."""
    known = rows.dropna(subset=["baseline"]) if "baseline" in rows else rows[:0]
    for name, ringed, look in (
        (f"baseline ({known['number'].nunique()})", known, mark(KNOWN, "diamond-open", 14)),
        ("best", rows[rows["number"] == best], mark(BEST, "circle-open", 17)),
    ):
        if not ringed.empty:
            figure.add(
                "scatter", ringed[x.column], ringed[y.column], ringed["number"], mode="markers",
                name=name, hoverinfo="skip", marker={**look, "line": {"width": 2}},
            )  # fmt: skip


def history(trials: pd.DataFrame, x: Axis, y: Axis, best: int | None, minimizes: bool) -> Figure:
    """Every trial in the order of ``x``, and the best value so far of the whole trials."""
    figure = scatter(trials, x, y, best)
    whole = trials[trials["ended"].isin(COMPLETE)].dropna(subset=[x.column, y.column])
    whole = whole.sort_values(x.column)
    if not whole.empty:
        best_so_far = whole[y.column].cummin() if minimizes else whole[y.column].cummax()
        figure.add(
            "scatter", whole[x.column], best_so_far, mode="lines", name="best so far",
            hoverinfo="skip", line={"shape": "hv", "color": BEST, "width": 2},
        )  # fmt: skip
    return figure


def timeline(trials: pd.DataFrame, stretches: pd.DataFrame) -> Figure:
    """A bar for each stretch in which a trial was at work, in minutes since the first one began.

    ``stretches``: number, begin and end, in seconds. Trials at work at one time are side by side.
    """
    figure = Figure()
    ran = stretches.sort_values("begin")
    if ran.empty:
        return figure
    ends: list[float] = []  # of the last bar in each slot
    slots = []
    for begin, end in ran[["begin", "end"]].itertuples(index=False):
        free = (slot for slot, until in enumerate(ends) if until <= begin + TIMED_TO_S)
        slot = next(free, len(ends))
        ends[slot : slot + 1] = [end]
        slots.append(slot + 1)
    zero = ran["begin"].min()
    ran = ran.assign(slot=slots).merge(trials[["number", "ended", WORDS]], on="number")
    for outcome, rows in by_outcome(ran):
        figure.add(
            "bar", (rows["end"] - rows["begin"]) / 60, rows["slot"], rows["number"],
            base=digits((rows["begin"] - zero) / 60), orientation="h", width=0.85,
            name=in_legend(outcome, rows), text=rows[WORDS].tolist(), hoverinfo="text",
            textposition="none",
            marker={"color": outcome.color, "line": {"width": 1, "color": "rgba(255,255,255,.7)"}},
        )  # fmt: skip
    figure.layout.update(barmode="overlay")
    figure.axis("xaxis", "minutes since the first trial began")
    figure.axis("yaxis", "side by side", dtick=1 if len(ends) < 20 else None)
    return figure


def rungs(at_rungs: pd.DataFrame, cost: str, y: Axis, best: int | None) -> Figure:
    """The metric of every trial at each rung that it reached.

    ``at_rungs``: number, baseline, the metric, ``RUNG``, and ``STOPPED``: whether it was stopped
    there.
    """
    figure = Figure()
    order = [f"{rung:,.0f}" for rung in sorted(at_rungs[RUNG].unique())]
    measured = zip(at_rungs["number"], at_rungs[y.column], strict=True)
    words = [f"trial {number}: {value:.4g}" for number, value in measured]
    table = at_rungs.assign(**{WORDS: words})
    table[RUNG] = table[RUNG].map("{:,.0f}".format)
    for stopped, name, marker in (
        (False, "went on, or ended", mark(BEST, opacity=0.75)),
        (True, "was stopped there", mark("#9a9a9a", "triangle-down", opacity=0.75)),
    ):
        rows = table[table[STOPPED] == stopped]
        look = {"name": f"{name} ({len(rows)})", "marker": marker}
        figure.points(rows, rows[RUNG], rows[y.column], **look)
    rings(figure, table, Axis(RUNG, ""), y, best)
    figure.categories("xaxis", order, f"rung ({cost})")
    figure.scale(y=y)
    return figure


def all_curves(
    histories: pd.DataFrame, trials: pd.DataFrame, x: Axis, y: Axis, best: int | None
) -> Figure:
    """Every trial's learning curve, coloured by its outcome, with baselines and the best on top.

    Long curves are thinned; their last points are kept.
    """
    figure = Figure()
    points = histories.dropna(subset=[x.column, y.column])
    points = thinned(points, max(FEWEST_POINTS, MOST_POINTS // max(1, len(trials))))
    own = {int(str(number)): rows for number, rows in points.groupby("number")}
    for outcome, rows in by_outcome(trials):
        drawn = [number for number in rows["number"] if number in own and number != best]
        lines = joined((n, own[n][x.column], own[n][y.column]) for n in drawn)
        figure.add(
            "scatter", **lines, mode="lines", name=in_legend(outcome, rows), opacity=0.6,
            text=[f"trial {number}" for number in lines["trials"]], hoverinfo="text+y",
            line={"color": outcome.color, "width": 1},
        )  # fmt: skip
    known = trials.loc[trials["baseline"].notna() & trials["number"].isin(own), "number"]
    if not known.empty:
        lines = joined((n, own[n][x.column], own[n][y.column]) for n in known)
        figure.add(
            "scatter", **lines, mode="lines", name=f"baseline ({len(known)})", hoverinfo="skip",
            line={"color": KNOWN, "width": 1.5, "dash": "dash"},
        )  # fmt: skip
    if best is not None and best in own:
        x_best, y_best, numbers = (own[best][name] for name in (x.column, y.column, "number"))
        name = f"best, trial {best}"
        figure.add("scatter", x_best, y_best, numbers, mode="lines", name=name, line=BEST_LINE)
    figure.scale(x=x, y=y)
    return figure


def curves(
    named: Mapping[str, tuple[Mapping[str, str], Mapping[str, list[Any]]]], x: Axis, y: Axis
) -> Figure:
    """Some trials' learning curves in one figure.

    ``named``: by label, plotly's line and the columns of the reports (of ``digits``).
    """
    figure = Figure()
    for label, (line, reports) in named.items():
        if {x.column, y.column} <= set(reports):
            curve = {"x": reports[x.column], "y": reports[y.column], "mode": "lines+markers"}
            style = {"line": line, "marker": {"size": 4}, "connectgaps": True}
            figure.data.append({"type": "scatter", **curve, "name": label, **style})
    figure.scale(x=x, y=y)
    return figure


def parallel(trials: pd.DataFrame, places: pd.DataFrame, best: int | None) -> Figure:
    """A line for each trial through the place of each of its settings in the range (0 to 1).

    ``places``: a column for each setting, and a last one for the metric.
    """
    figure = Figure()
    lines = {index: row.dropna() for index, row in places.iterrows()}
    for outcome, rows in by_outcome(trials):
        numbers, words = rows["number"], rows[WORDS]
        figure.add(
            "scatter",
            **joined((int(numbers[i]), lines[i].index, lines[i]) for i in rows.index),
            mode="lines", name=in_legend(outcome, rows), opacity=0.55,
            line={"color": outcome.color, "width": 1},
            text=[text for i, text in words.items() for _ in range(len(lines[i]) + 1)],
            hoverinfo="text",
        )  # fmt: skip
    for index, number in trials.loc[trials["number"] == best, "number"].items():
        line = lines[index]
        look = {"mode": "lines+markers", "name": "best", "hoverinfo": "skip", "line": BEST_LINE}
        figure.add("scatter", line.index, line, [number] * len(line), **look)
    figure.categories("xaxis", places.columns)
    figure.axis("yaxis", "place in the range", **RANGE)
    return figure


def rank(
    trials: pd.DataFrame, x: Axis, y: Axis, ranks: "pd.Series[float]", best: int | None
) -> Figure:
    """Every trial in the plane of two settings, coloured by its rank: the best is dark."""
    there = ranks.notna() & trials[[x.column, y.column]].notna().all(axis=1)
    marker = {
        "color": digits(ranks[there]), "colorscale": "Viridis", "size": 10,
        "line": {"width": 1, "color": "#888"}, "colorbar": {"title": {"text": "rank"}},
    }  # fmt: skip
    figure, shown = Figure(), trials[there]
    figure.points(shown, shown[x.column], shown[y.column], showlegend=False, marker=marker)
    rings(figure, shown, x, y, best)
    figure.scale(x=x, y=y)
    return figure


def coverage(trials: pd.DataFrame, places: pd.DataFrame) -> Figure:
    """Where in its range every parameter was tried: a row for each parameter, a mark a trial."""
    figure = Figure()
    for outcome, rows in by_outcome(trials):
        cells = places.loc[rows.index].stack().dropna()
        own = trials.loc[cells.index.get_level_values(0)]
        look = {"name": in_legend(outcome, rows), "marker": outcome_mark(outcome, 6, opacity=0.7)}
        figure.points(own, cells, cells.index.get_level_values(1), **look)
    figure.axis("xaxis", range=[-0.03, 1.03], **RANGE)
    figure.categories("yaxis", places.columns[::-1])
    return figure
