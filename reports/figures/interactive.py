"""The interactive figures of a run as pure functions: tables in, a plotly Figure out.

Every trace that shows trials carries, in its ``meta``, the trial of each point (``trials``, one
entry a point), so that a page's filter can hide the points of any trial in any figure
(``static/report.js``). Points are plain lists: plotly packs numpy arrays into bytes that a page
could not filter.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from records.outcome import outcome_of
from reports.figures.style import BEST, HAND_TUNED, MUTED

SYMBOLS = {"o": "circle", "s": "square", "v": "triangle-down", "X": "x", "<": "triangle-left", ">": "triangle-right",
           "P": "cross", "D": "diamond", "1": "y-down-open"}  # fmt: skip
"""Matplotlib's marks, as plotly calls them."""

MOST_POINTS = 60_000
"""Points of all learning curves together that a browser draws without waiting."""
FEWEST_POINTS = 20
"""Points a learning curve keeps at least."""
TIMED_TO_S = 1.0
"""Reports are timed to the second, so two bars of one slot may overlap by that much."""


@dataclass
class Figure:
    """A figure as plotly.js takes it (https://plotly.com/javascript/reference/).

    Not ``plotly.graph_objects``: it checks every value of every trace, which takes minutes for a
    thousand trials.
    """

    data: list[dict[str, Any]] = field(default_factory=list)
    layout: dict[str, Any] = field(default_factory=dict)

    def add(self, kind: str, **trace: Any) -> None:
        self.data.append({"type": kind, **trace})

    def axis(self, which: str, title: str = "", **more: Any) -> None:
        """Set an axis; what is None is plotly's to choose."""
        self.layout[which] = {
            "title": {"text": title},
            **{name: value for name, value in more.items() if value is not None},
        }


@dataclass(frozen=True)
class Axis:
    """A figure's axis: the column of the table that it shows, what it is called, and its scale."""

    column: str
    title: str
    log: bool = False


def digits(values: Iterable[Any]) -> list[Any]:
    """Values for a page, of six digits; None where there is none, or none that is finite."""
    listed = list(values)
    words = [isinstance(value, str | bool) for value in listed]
    numbers = np.array(
        [None if word else value for value, word in zip(listed, words, strict=True)],
        dtype=np.float64,
    )
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        power = np.minimum(5 - np.floor(np.log10(np.abs(numbers))), 300)
        scale = 10 ** np.abs(power)
        rounded = np.where(
            power < 0, np.rint(numbers / scale) * scale, np.rint(numbers * scale) / scale
        )
    rounded = np.where(numbers == 0, 0.0, rounded)
    plain = [value if math.isfinite(value) else None for value in rounded.tolist()]
    return (
        [value if word else own for value, word, own in zip(listed, words, plain, strict=True)]
        if any(words)
        else plain
    )


def by_outcome(trials: pd.DataFrame) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """Name for the legend, plotly's mark, colour and rows of the trials that ended alike, the most frequent outcome first."""
    outcomes = trials["ended"].fillna("running")
    for ended in outcomes.value_counts().index:
        outcome = outcome_of(str(ended))
        rows = trials[outcomes == ended]
        yield (
            f"{outcome.words} ({rows['number'].nunique()})",
            SYMBOLS[outcome.mark],
            outcome.color,
            rows,
        )


def scatter(
    trials: pd.DataFrame, x: Axis, y: Axis, words: "pd.Series[str]", best: int | None
) -> Figure:
    """A point a trial, marked by how it ended, the best one ringed; ``words`` are shown where one points at it."""
    figure = Figure()
    measured = trials.dropna(subset=[x.column, y.column])
    for name, symbol, color, rows in by_outcome(measured):
        figure.add("scatter", 
            x=digits(rows[x.column]), y=digits(rows[y.column]), mode="markers", name=name,
            marker={"symbol": symbol, "color": color, "size": 8}, text=words[rows.index].tolist(), hoverinfo="text",
            meta={"trials": rows["number"].tolist()},
        )  # fmt: skip
    winner = measured[measured["number"] == best]
    if not winner.empty:
        figure.add("scatter", 
            x=digits(winner[x.column]), y=digits(winner[y.column]), mode="markers", name="best", hoverinfo="skip",
            marker={"symbol": "circle-open", "color": BEST, "size": 17, "line": {"width": 2}}, meta={"trials": [best]},
        )  # fmt: skip
    return scaled(figure, x, y)


def scaled(figure: Figure, x: Axis, y: Axis) -> Figure:
    figure.axis("xaxis", x.title, type="log" if x.log else None)
    figure.axis("yaxis", y.title, type="log" if y.log else None)
    return figure


def history(
    trials: pd.DataFrame,
    x: Axis,
    y: Axis,
    words: "pd.Series[str]",
    best: int | None,
    complete: Callable[[Any], bool],
    least: bool,
) -> Figure:
    """Every trial in the order of ``x``, and the best so far of those that came to their own end."""
    figure = scatter(trials, x, y, words, best)
    whole = (
        trials[trials["ended"].map(complete)]
        .dropna(subset=[x.column, y.column])
        .sort_values(x.column)
    )
    if not whole.empty:
        record = whole[y.column].cummin() if least else whole[y.column].cummax()
        figure.add("scatter", 
            x=digits(whole[x.column]), y=digits(record), mode="lines", name="best so far", hoverinfo="skip",
            line={"shape": "hv", "color": BEST, "width": 2},
        )  # fmt: skip
    return figure


def timeline(trials: pd.DataFrame, stretches: pd.DataFrame, words: "pd.Series[str]") -> Figure:
    """Trials side by side, a bar for each stretch that one was at work, in minutes since the first
    one began.

    ``stretches``: number, begin, end, in seconds; ``words`` by the index of ``trials``.
    """
    figure = Figure()
    ran = stretches.sort_values("begin")
    if ran.empty:
        return figure
    zero = ran["begin"].min()
    slots: list[float] = []
    places = []
    for begin, end in ran[["begin", "end"]].itertuples(index=False):
        free = next(
            (place for place, until in enumerate(slots) if until <= begin + TIMED_TO_S), len(slots)
        )
        slots[free : free + 1] = [end]
        places.append(free + 1)
    ran = ran.assign(slot=places).merge(
        trials[["number", "ended"]].assign(words=words), on="number"
    )
    for name, _, color, rows in by_outcome(ran):
        figure.add("bar", 
            base=digits((rows["begin"] - zero) / 60), x=digits((rows["end"] - rows["begin"]) / 60),
            y=rows["slot"].tolist(), orientation="h", name=name, text=rows["words"].tolist(),
            hoverinfo="text", textposition="none", width=0.85,
            marker={"color": color, "line": {"width": 1, "color": "rgba(255,255,255,.7)"}},
            meta={"trials": rows["number"].tolist()},
        )  # fmt: skip
    figure.layout.update(barmode="overlay")
    figure.axis("xaxis", "minutes since the first trial began")
    figure.axis("yaxis", "side by side", dtick=1 if len(slots) < 20 else None)
    return figure


def rungs(at_rungs: pd.DataFrame, cost: str, y: Axis) -> Figure:
    """What every trial had come to at each rung it reached; ``at_rungs``: number, rung, the figure, stopped."""
    figure = Figure()
    for stopped, symbol, color in ((False, "circle", BEST), (True, "triangle-down", "#9a9a9a")):
        rows = at_rungs[at_rungs["stopped"] == stopped]
        name = "was stopped there" if stopped else "went on, or came to its end"
        words = [
            f"trial {n}: {value:.4g}"
            for n, value in zip(rows["number"], rows[y.column], strict=True)
        ]
        figure.add("scatter", 
            x=[f"{rung:,.0f}" for rung in rows["rung"]], y=digits(rows[y.column]), mode="markers", name=f"{name} ({len(rows)})",
            marker={"symbol": symbol, "color": color, "size": 8, "opacity": 0.75}, text=words, hoverinfo="text",
            meta={"trials": rows["number"].tolist()},
        )  # fmt: skip
    order = [f"{rung:,.0f}" for rung in sorted(at_rungs["rung"].unique())]
    figure.axis(
        "xaxis", f"rung ({cost})", type="category", categoryorder="array", categoryarray=order
    )
    figure.axis("yaxis", y.title, type="log" if y.log else None)
    return figure


def all_curves(
    histories: pd.DataFrame, trials: pd.DataFrame, x: Axis, y: Axis, best: int | None
) -> Figure:
    """The learning curve of every trial, coloured by how it ended, the best one on top. Long ones are thinned, ends kept."""
    figure = Figure()
    points = histories.dropna(subset=[x.column, y.column])
    points = thinned(points, max(FEWEST_POINTS, MOST_POINTS // max(1, len(trials))))
    own = {int(str(number)): rows for number, rows in points.groupby("number")}
    for name, _, color, rows in by_outcome(trials):
        xs: list[Any] = []
        ys: list[Any] = []
        whose: list[Any] = []
        for number in rows["number"]:
            if number in own and number != best:
                curve = own[number]
                xs += [*digits(curve[x.column]), None]
                ys += [*digits(curve[y.column]), None]
                whose += [int(number)] * (len(curve) + 1)
        figure.add("scatter", 
            x=xs, y=ys, mode="lines", name=name, line={"color": color, "width": 1}, opacity=0.6,
            text=[f"trial {number}" for number in whose], hoverinfo="text+y", meta={"trials": whose},
        )  # fmt: skip
    if best is not None and best in own:
        curve = own[best]
        figure.add("scatter", 
            x=digits(curve[x.column]), y=digits(curve[y.column]), mode="lines", name=f"best, trial {best}",
            line={"color": BEST, "width": 3}, meta={"trials": [best] * len(curve)},
        )  # fmt: skip
    return scaled(figure, x, y)


def thinned(points: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most about ``most`` reports of each trial, evenly spread, the last one among them."""
    place = points.groupby("number").cumcount()
    count = points.groupby("number")["number"].transform("size")
    every = np.ceil(count / most)
    kept: pd.DataFrame = points[(place % every == 0) | (place == count - 1)]
    return kept


def curves(named: Mapping[str, tuple[str, Mapping[str, list[Any]]]], x: Axis, y: Axis) -> Figure:
    """Some trials' learning curves beside each other; ``named``: colour and columns of reports, as ``digits``, by label."""
    figure = Figure()
    for label, (color, reports) in named.items():
        if {x.column, y.column} <= set(reports):
            figure.add("scatter", 
                x=reports[x.column], y=reports[y.column], mode="lines+markers", name=label,
                line={"color": color}, marker={"size": 4}, connectgaps=True,
            )  # fmt: skip
    return scaled(figure, x, y)


def importances(shares: Mapping[str, Mapping[str, float]]) -> Figure:
    """How much each parameter decided, at each budget; ``shares``: by budget, then by parameter."""
    figure = Figure()
    shades = ("#56b4e9", "#0072b2", "#009e73", "#e69f00")
    names = sorted(
        {name for budget in shares.values() for name in budget},
        key=lambda name: list(shares.values())[-1].get(name, 0.0),
    )
    for place, (budget, found) in enumerate(shares.items()):
        shade = shades[place % len(shades)]
        figure.add(
            "bar",
            x=digits(100 * found.get(name, 0.0) for name in names),
            y=names,
            orientation="h",
            name=budget,
            marker={"color": shade},
        )
    figure.axis("xaxis", "share of what decides, %")
    return figure


def path(stages: Sequence[tuple[str, float]], noise: float | None, y: Axis) -> Figure:
    """The figure after every change on the way from the hand-tuned settings to the winner's; bars: what seeds alone do."""
    figure = Figure()
    names = ["hand-tuned", *(f"+ {changed}" for changed, _ in stages[1:])]
    figure.add("scatter", 
        x=names, y=digits(value for _, value in stages), mode="lines+markers", name="trained on one fresh seed",
        line={"shape": "hvh", "color": BEST}, marker={"size": 9}, text=[f"{value:.4g}" for _, value in stages],
        error_y={"type": "constant", "value": noise, "visible": noise is not None}, hoverinfo="text",
    )  # fmt: skip
    figure.axis("xaxis", type="category")
    figure.axis("yaxis", y.title, type="log" if y.log else None)
    return figure


def winners_curse(
    searched: pd.DataFrame,
    selected: float,
    confirmed: Sequence[float],
    interval: tuple[float, float],
    y: Axis,
) -> Figure:
    """The figure that the winner was selected by, among other whole trials, beside its fresh seeds
    with their mean.

    ``searched``: number and figure of the better half of the trials that came to their own end.
    """
    figure = Figure()
    columns = (
        "the better half of whole trials",
        "the winner, as selected",
        "the winner, on fresh seeds",
        "mean and 95% interval",
    )
    middle = sum(confirmed) / len(confirmed)
    low, high = interval
    figure.add("box", 
        x=[columns[0]] * len(searched), y=digits(searched[y.column]), name=columns[0], boxpoints="all", jitter=0.4, pointpos=0,
        marker={"color": MUTED, "size": 5}, line={"color": "rgba(0,0,0,0)"}, fillcolor="rgba(0,0,0,0)", hoverinfo="y",
        meta={"trials": searched["number"].tolist()}, showlegend=False,
    )  # fmt: skip
    figure.add("scatter", x=[columns[1]], y=digits([selected]), mode="markers", marker={"color": BEST, "size": 13},
               hoverinfo="y", showlegend=False)  # fmt: skip
    figure.add("scatter", x=[columns[2]] * len(confirmed), y=digits(confirmed), mode="markers", showlegend=False,
               marker={"color": HAND_TUNED[0], "symbol": "diamond", "size": 9}, hoverinfo="y")  # fmt: skip
    figure.add("scatter", 
        x=[columns[3]], y=digits([middle]), mode="markers", marker={"color": HAND_TUNED[0], "symbol": "square", "size": 11},
        error_y={"type": "data", "symmetric": False, "array": digits([high - middle]), "arrayminus": digits([middle - low])},
        hoverinfo="y", showlegend=False,
    )  # fmt: skip
    figure.axis("xaxis", type="category", categoryorder="array", categoryarray=list(columns))
    figure.axis("yaxis", y.title, type="log" if y.log else None)
    return figure


def audit(let_run: pd.DataFrame, best_of_others: float | None, y: Axis) -> Figure:
    """Trials that early stopping would have ended: their figure there and in the end, and the best
    of all other trials.

    ``let_run``: number, there, in_the_end.
    """
    figure = Figure()
    columns = ("where it would have been stopped", "in the end")
    for number, there, end in let_run.itertuples(index=False):
        figure.add("scatter", x=list(columns), y=digits([there, end]), mode="lines+markers", name=f"trial {number}",
                   meta={"trials": [number, number]}, line={"color": HAND_TUNED[0]})  # fmt: skip
    if best_of_others is not None:
        figure.add("scatter", x=list(columns), y=digits([best_of_others] * 2), mode="lines", name="best of all others",
                   line={"color": BEST, "dash": "dash"})  # fmt: skip
    figure.axis("xaxis", type="category")
    figure.axis("yaxis", y.title, type="log" if y.log else None)
    return figure


def parallel(
    trials: pd.DataFrame, places: pd.DataFrame, words: "pd.Series[str]", best: int | None
) -> Figure:
    """A line a trial through the place of each of its settings in the range (0 to 1) and of its figure, the last column."""
    figure = Figure()
    for name, _, color, rows in by_outcome(trials):
        xs: list[Any] = []
        ys: list[Any] = []
        text: list[Any] = []
        whose: list[Any] = []
        for index in rows.index:
            line = places.loc[index].dropna()
            xs += [*line.index, None]
            ys += [*digits(line), None]
            text += [words[index]] * (len(line) + 1)
            whose += [int(str(rows.loc[index, "number"]))] * (len(line) + 1)
        figure.add("scatter", 
            x=xs, y=ys, mode="lines", name=name, text=text, hoverinfo="text", opacity=0.55, meta={"trials": whose},
            line={"color": color, "width": 1},
        )  # fmt: skip
    for index in trials.index[trials["number"] == best]:
        line = places.loc[index].dropna()
        figure.add("scatter", 
            x=list(line.index), y=digits(line), mode="lines+markers", name="best", hoverinfo="skip",
            line={"color": BEST, "width": 3}, meta={"trials": [best] * len(line)},
        )  # fmt: skip
    figure.axis("xaxis", categoryorder="array", categoryarray=list(places.columns), type="category")
    figure.axis(
        "yaxis",
        "place in the range",
        tickvals=[0, 0.5, 1],
        ticktext=["low end", "middle", "high end"],
    )
    return figure


def rank(
    trials: pd.DataFrame, x: Axis, y: Axis, value: str, least: bool, words: "pd.Series[str]"
) -> Figure:
    """Every trial in the plane of two settings, coloured by its rank: the best dark, the poorest pale."""
    measured = trials.dropna(subset=[x.column, y.column, value])
    ranks = measured[value].rank(ascending=least, method="min")
    figure = Figure()
    figure.add("scatter", 
        x=digits(measured[x.column]), y=digits(measured[y.column]), mode="markers", text=words[measured.index].tolist(),
        hoverinfo="text", meta={"trials": measured["number"].tolist()}, showlegend=False,
        marker={
            "color": digits(ranks), "colorscale": "Viridis", "size": 10, "line": {"width": 1, "color": "#222"},
            "colorbar": {"title": {"text": "rank"}},
        },
    )  # fmt: skip
    return scaled(figure, x, y)


def coverage(trials: pd.DataFrame, places: pd.DataFrame, words: "pd.Series[str]") -> Figure:
    """Where in its range every parameter was tried: a row a parameter, a mark a trial."""
    figure = Figure()
    for name, symbol, color, rows in by_outcome(trials):
        cells = places.loc[rows.index].stack()
        index = cells.index.get_level_values(0)
        figure.add("scatter", 
            x=digits(cells), y=list(cells.index.get_level_values(1)), mode="markers", name=name, hoverinfo="text",
            text=words[index].tolist(), marker={"symbol": symbol, "color": color, "size": 6, "opacity": 0.7},
            meta={"trials": trials.loc[index, "number"].tolist()},
        )  # fmt: skip
    figure.axis(
        "xaxis",
        tickvals=[0, 0.5, 1],
        ticktext=["low end", "middle", "high end"],
        range=[-0.03, 1.03],
    )
    figure.axis(
        "yaxis", type="category", categoryorder="array", categoryarray=list(places.columns)[::-1]
    )
    return figure
