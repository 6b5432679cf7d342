"""What every run's page is made of: pictures as files, the answer in words, and printed numbers."""

import datetime
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any, TypeVar

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from optuna.distributions import CategoricalDistribution

from records.checks.check import amount
from records.objective import Goal
from records.run import Run
from records.versus_baseline import versus_baseline
from reports.figures.printed import Scale
from search_spaces.unit_scale import ordered_choices

Made = TypeVar("Made")


@dataclass(frozen=True)
class Picture:
    """A figure as a file beside its page, with its alternative text.

    Attributes:
        narrow: The file for a narrow window, or empty.
    """

    file: str
    alt: str
    narrow: str = ""


@dataclass(frozen=True)
class Answer:
    """The winner: its settings, and its metrics in the search and on fresh seeds.

    Metrics are in words ready for a page.

    Attributes:
        pace: When its fresh seeds converged, or empty.
        guess: What a guess would reach, if the winner is hardly better; else empty.
        baseline: The winner's name if it is a baseline, or empty.
        versus: Whether the best settings are better than the best baseline, in words; empty if
            they were not trained on the same fresh seeds.
        seeds_needed: How many of them would show so large a difference, or None.
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
    guess: str
    final: str
    baseline: str
    versus: str
    seeds_needed: int | None


def number(value: Any, digits: int = 3) -> str:
    """A number with sensible digits (see ``amount``); a dash if there is none."""
    return "—" if value is None or pd.isna(value) else amount(value, digits)


def moment(seconds: float | None) -> str:
    """Seconds since 1970 as local date and time."""
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M") if seconds else "—"


def settings(run: Run, row: Any) -> str:
    """The varied settings of a trial in words, without those that its other settings rule out."""
    values = {name: row[name] for name in run.varied if name in row}
    used = {name: one for name, one in values.items() if one is None or pd.notna(one)}
    return " ".join(f"{name}={amount(value)}" for name, value in used.items())


def scales(run: Run) -> dict[str, Scale]:
    """How each setting was searched: among choices, on a logarithmic or on a linear scale."""

    def scale(distribution: Any) -> Scale:
        if isinstance(distribution, CategoricalDistribution):
            choices = ordered_choices(distribution) or distribution.choices
            return tuple("None" if one is None else one for one in choices)
        return "log" if distribution.log else "linear"

    return {name: scale(parameter.distribution) for name, parameter in run.parameters.items()}


def attempt(run: Run, refusal: str, make: Callable[[], Made]) -> Made | None:
    """What ``make`` returns; if it fails, None, and the run's notes have the ``refusal`` and why.

    Raises OSError if the output cannot be written to.
    """
    try:
        return make()
    except OSError:
        raise
    except Exception as error:  # damaged files can cause any of them
        run.note(f"{refusal} ({type(error).__name__}: {error})")
        return None


def save(
    figure: Figure, folder: Path, name: str, alt: str, narrow: Figure | None = None
) -> Picture:
    """Write a figure beside the page, as PNG to look at and as SVG to print, and close it.

    ``narrow``: the same figure for a narrow window, also written as PNG.
    """
    figure.savefig(folder / f"{name}.png")
    figure.set_layout_engine("none")  # keep what was laid out: doing it again is half of the time
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)
    if narrow is None:
        return Picture(f"{name}.png", alt)
    narrow.savefig(folder / f"{name}-narrow.png")
    plt.close(narrow)
    return Picture(f"{name}.png", alt, f"{name}-narrow.png")


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows for a template, with None for a missing value: pandas' NaN counts as true."""
    return [
        {
            str(name): None if not isinstance(value, list) and pd.isna(value) else value
            for name, value in row.items()
        }
        for row in table.to_dict("records")
    ]


def answer(run: Run, selected: str, final: str = "") -> Answer | None:
    """The winner in words; None if the search has none.

    Args:
        selected: The metric that tells the search's own result.
        final: What the final training reached, in a sentence.
    """
    if run.winner is None:
        return None
    versus = versus_baseline(run)
    row, goal, least = run.winner.last, run.goal, run.goal.at == "least"
    every = [one.last for one in run.fresh_seeds]
    values = [one[goal.metric] for one in every if pd.notna(one.get(goal.metric))]
    steps = [one["steps_to_converge"] for one in every if one.get("steps_to_converge")]
    worst = number((min if least else max)(values)) if values else "—"
    value = number(row.get(selected))
    return Answer(
        number=run.winner.number,
        settings=settings(run, run.winner.settings),
        ended=run.winner.ended,
        step=row.get("step", math.nan),
        selected=value,
        selected_words=f"{selected.replace('_', ' ')} {value}",
        goal=goal_words(goal),
        seeds=len(every),
        reached=sum(map(goal.reached, every)),
        worst=worst,
        worst_words=f"{'lowest' if least else 'highest'} {worst}",
        mean=_mean(values, len(every)),
        pace=_pace(steps),
        guess=number(goal.chance) if goal.guessed(every or [row]) else "",
        final=final,
        baseline=str(run.winner.config.get("baseline", "")),
        versus=versus.words if versus else "",
        seeds_needed=versus.seeds_needed if versus else None,
    )


def goal_words(goal: Goal) -> str:
    """A goal for a reader."""
    less = "" if goal.at == "least" else " or less"
    return f"{goal.metric.replace('_', ' ')} {number(goal.bound, 6)}{less}"


def _mean(values: list[float], seeds: int) -> str:
    if not values:
        return "—"
    return number(mean(values)) + f" of the {len(values)} with a result" * (len(values) < seeds)


def _pace(steps: list[float]) -> str:
    if not steps:
        return ""
    low, high, middle = map(number, (min(steps), max(steps), median(steps)))
    return f"converged at step {low} to {high}, median {middle}"


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
