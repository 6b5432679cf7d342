"""What every run's page is made of: pictures as files, the answer in words, and printed numbers."""

import datetime
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from optuna.distributions import CategoricalDistribution

from records.run import Run
from reports.figures.printed import Scale


@dataclass(frozen=True)
class Picture:
    """A figure as a file beside its page, with its alternative text."""

    file: str
    alt: str


@dataclass(frozen=True)
class Answer:
    """The winner: its settings, and its metrics in the search and on fresh seeds.

    Metrics are in words ready for a page.
    """

    number: int
    settings: str
    ended: str
    step: float
    selected: str
    selected_words: str
    goal: str
    seeds: int
    reached: int
    worst: str
    worst_words: str
    mean: str
    pace: str
    final: str


def number(value: Any, digits: int = 3) -> str:
    """A number with sensible digits: 0.00123, 12,300, 1; a dash if there is none."""
    if value is None or pd.isna(value):
        return "—"
    if isinstance(value, str | bool):
        return str(value)
    if float(value).is_integer() and abs(value) >= 1:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}" if abs(value) < 1000 else f"{value:,.0f}"


def percentage(value: Any) -> str:
    """A fraction as a percentage that never rounds up to 100%; a dash if there is none."""
    if value is None or pd.isna(value):
        return "—"
    percent = round(100 * value, 2)
    return f"{99.99 if percent == 100 and value < 1 else percent:.2f}%"


def moment(seconds: float | None) -> str:
    """Seconds since 1970 as local date and time."""
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M") if seconds else "—"


def address(file: Path, folder: Path) -> str:
    """A file's address from a page in ``folder``."""
    return quote(os.fsencode(os.path.relpath(file, folder)))


def settings(run: Run, row: Any) -> str:
    """The varied settings of a trial in words, without those that its other settings rule out."""
    used = [name for name in run.varied if name in row and not pd.isna(row[name])]
    return " ".join(f"{name}={number(row[name])}" for name in used)


def scales(run: Run) -> dict[str, Scale]:
    """How each setting was searched: among choices, on a logarithmic or on a linear scale."""

    def scale(distribution: Any) -> Scale:
        if isinstance(distribution, CategoricalDistribution):
            return "choice"
        return "log" if getattr(distribution, "log", False) else "linear"

    return {name: scale(parameter.distribution) for name, parameter in run.parameters.items()}


def save(figure: Figure, folder: Path, name: str, alt: str) -> Picture:
    """Write a figure beside the page, as PNG to look at and as SVG to print, and close it."""
    figure.savefig(folder / f"{name}.png")
    figure.set_layout_engine("none")  # keep what was laid out: doing it again is half of the time
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)
    return Picture(f"{name}.png", alt)


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows for a template, with None for a missing value: pandas' NaN counts as true."""
    return [
        {
            str(name): None if not isinstance(value, list) and pd.isna(value) else value
            for name, value in row.items()
        }
        for row in table.to_dict("records")
    ]


def answer(
    run: Run, selected: str, shown: Callable[[str, Any], str], final: str = ""
) -> Answer | None:
    """The winner in words; None if the search has none.

    Args:
        selected: The metric that tells the search's own result.
        shown: Prints a value of a metric.
        final: What the final training reached, in a sentence.
    """
    if run.winner is None or run.goal is None:
        return None
    row, goal, mine = run.winner.last, run.goal, run.confirmed
    least = goal.at == "least"
    values = mine[goal.metric].dropna().tolist() if not mine.empty else []
    steps = mine["steps_to_converge"].dropna().tolist() if "steps_to_converge" in mine else []
    worst = shown(goal.metric, (min if least else max)(values)) if values else "—"
    value, bound = shown(selected, row.get(selected)), shown(goal.metric, goal.bound)
    return Answer(
        number=run.winner.number,
        settings=settings(run, run.winner.settings),
        ended=run.winner.ended,
        step=row.get("step", math.nan),
        selected=value,
        selected_words=f"{selected.replace('_', ' ')} {value}",
        goal=f"{goal.metric.replace('_', ' ')} {bound}{'' if least else ' or less'}",
        seeds=len(mine),
        reached=sum(map(run.reached, values)),
        worst=worst,
        worst_words=f"{'lowest' if least else 'highest'} {worst}",
        mean=shown(goal.metric, sum(values) / len(values)) if values else "—",
        pace=f"converged at step {number(min(steps))} to {number(max(steps))}" if steps else "",
        final=final,
    )


def confirmations(run: Run) -> list[dict[str, Any]]:
    """The candidates for which at least one fresh seed has ended, with all their seeds, in the
    order in which they were tried."""
    table = run.confirmations
    if table.empty:
        return []
    begun = table.loc[table["ended"].notna(), "confirms"]
    return [
        {
            "trial": int(str(trial)),
            "settings": settings(run, group.iloc[0]),
            "rows": rows(group.sort_values("seed")),
        }
        for trial, group in table[table["confirms"].isin(begun)].groupby("confirms", sort=False)
    ]
