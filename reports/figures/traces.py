"""A figure as plotly.js takes it, and the parts that its traces are made of."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from records.outcome import RUNNING, Outcome, outcome_of

SYMBOLS = {
    "o": "circle", "s": "square", "v": "triangle-down", "X": "x", "<": "triangle-left",
    ">": "triangle-right", "P": "cross", "D": "diamond", "1": "y-down-open",
}  # fmt: skip
"""Plotly's names of matplotlib's marks."""

WORDS = "in words"
"""The column of a table of trials with what is shown when the reader points at a trial."""


@dataclass(frozen=True)
class Axis:
    """The column of a table that an axis shows, its title, and whether its scale is logarithmic."""

    column: str
    title: str
    log: bool = False


@dataclass
class Figure:
    """A figure as plotly.js takes it (https://plotly.com/javascript/reference/).

    Not ``plotly.graph_objects``, which checks every value of every trace: that takes minutes for a
    thousand trials.
    """

    data: list[dict[str, Any]] = field(default_factory=list)
    layout: dict[str, Any] = field(default_factory=dict)

    def add(
        self, kind: str, x: Any, y: Any, trials: Iterable[int] | None = None, **trace: Any
    ) -> None:
        """Add a trace; ``trials``: the trial of each point, by which the page's filter hides it."""
        meta = {} if trials is None else {"meta": {"trials": list(trials)}}
        self.data.append({"type": kind, "x": digits(x), "y": digits(y), **trace, **meta})

    def points(self, rows: pd.DataFrame, x: Any, y: Any, **trace: Any) -> None:
        """Add a mark for each row of a table of trials, with its words."""
        hover = {"text": rows[WORDS].tolist(), "hoverinfo": "text"}
        self.add("scatter", x, y, rows["number"], mode="markers", **hover, **trace)

    def axis(self, which: str, title: str = "", **more: Any) -> None:
        """Set an axis; plotly chooses what is None."""
        chosen = {name: value for name, value in more.items() if value is not None}
        self.layout[which] = {"title": {"text": title}, **chosen}

    def scale(self, *, x: Axis | None = None, y: Axis) -> None:
        """Give the axes their titles and scales."""
        for which, axis in {"xaxis": x, "yaxis": y}.items():
            if axis:
                self.axis(which, axis.title, type="log" if axis.log else None)

    def categories(self, which: str, names: Iterable[str] = (), title: str = "") -> None:
        """Make an axis one of names, in this order if ``names`` are given."""
        order = list(names)
        more = {"categoryorder": "array", "categoryarray": order} if order else {}
        self.axis(which, title, type="category", **more)


def mark(color: Any, symbol: str = "circle", size: int = 8, **more: Any) -> dict[str, Any]:
    return {"color": color, "symbol": symbol, "size": size, **more}


def digits(values: Iterable[Any]) -> list[Any]:
    """Values for a page, rounded to six digits; None for what is missing or not finite.

    A list of Python's own values: plotly packs arrays into bytes that the page could not filter.
    """
    return [
        value if isinstance(value, str | bool)
        else float(f"{value:.6g}") if value is not None and math.isfinite(value) else None
        for value in values
    ]  # fmt: skip


def by_outcome(trials: pd.DataFrame) -> Iterator[tuple[Outcome, pd.DataFrame]]:
    """The rows of the trials with each outcome, the most frequent outcome first."""
    outcomes = trials["ended"].fillna(RUNNING.name)
    for ended in outcomes.value_counts().index:
        yield outcome_of(str(ended)), trials[outcomes == ended]


def in_legend(outcome: Outcome, rows: pd.DataFrame) -> str:
    """An outcome's words, and how many trials had it."""
    return f"{outcome.words} ({rows['number'].nunique()})"


def outcome_mark(outcome: Outcome, size: int = 8, **more: Any) -> dict[str, Any]:
    """The mark of an outcome's trials; plotly does not have every mark of matplotlib."""
    return mark(outcome.color, SYMBOLS.get(outcome.mark, "circle"), size, **more)


def joined(lines: Iterable[tuple[int, Iterable[Any], Iterable[Any]]]) -> dict[str, list[Any]]:
    """The lines of several trials as one trace; a None between two lines keeps them apart.

    ``lines``: number, x and y of each trial.
    """
    x, y, trials = list[Any](), list[Any](), list[int]()
    for number, own_x, own_y in lines:
        x += [*own_x, None]
        y += [*own_y, None]
        trials += [number] * (len(x) - len(trials))
    return {"x": x, "y": y, "trials": trials}


def thinned(points: pd.DataFrame, most: int) -> pd.DataFrame:
    """About ``most`` reports of each trial or fewer, evenly spread, the last one among them."""
    place = points.groupby("number").cumcount()
    count = points.groupby("number")["number"].transform("size")
    kept: pd.DataFrame = points[(place % np.ceil(count / most) == 0) | (place == count - 1)]
    return kept
