"""The printed figures of any run as pure functions: tables in, a matplotlib Figure out.

Below them is what the figures of all experiments share.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from records.checks.check import amount
from records.outcome import Outcome
from reports.figures.style import BEST, DASHES, HAND_TUNED, INK, MUTED, hand_tuned_lines
from reports.figures.traces import Axis, by_outcome

Scale = Literal["log", "linear"] | tuple[Any, ...]
"""How a setting is drawn: on a scale, or as choices in this order."""


WIDTHS = {1: 5.4, 2: 10.5}
"""Inches, by the panels in a row: for a narrow window, and for a wide one."""


@dataclass(frozen=True)
class Curve:
    """A trial's reports, at least one, and its label."""

    label: str
    reports: pd.DataFrame


def parameter_slices(
    trials: pd.DataFrame, scales: Mapping[str, Scale], best: int | None, metric: Axis, title: str
) -> Figure:
    """The metric of every trial against each setting in turn, marked by the trial's outcome.

    Each setting has its own scale; one that no measured trial has is left out.
    """
    measured = trials.dropna(subset=[metric.column])
    scales = {
        name: scale for name, scale in scales.items() if measured[name].notna().any()
    } or scales
    figure, places = panels(len(scales), 5, 12, 2.3, title, sharey=True)
    for axes, (name, scale) in zip(places, scales.items(), strict=True):
        chosen = measured.dropna(subset=[name])
        choices = in_order(chosen[name], scale)
        x = chosen[name].map(choices.index) if choices else chosen[name]
        for outcome, group in by_outcome(chosen):
            marks(axes, x[group.index], group[metric.column], outcome, 22)
        winner = chosen[chosen["number"] == best]
        ring(axes, x[winner.index], winner[metric.column], 120, linewidths=1.6)
        if choices:
            _name_choices(axes, choices)
        elif not isinstance(scale, tuple) and not chosen.empty:
            axes.set_xscale(scale)
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_title(name, fontsize=10)
    places[0].set_yscale("log" if metric.log else "linear")  # of all: they share it
    shared_legend(figure, places, ncols=3)
    return figure


def in_order(values: "pd.Series[Any]", scale: Scale) -> list[Any]:
    """The choices that were tried, in their order, a baseline's own last; empty for a range."""
    if not isinstance(scale, tuple):
        return []
    places = {choice: place for place, choice in enumerate(scale)}
    return sorted(values.dropna().unique(), key=lambda value: places.get(value, len(places)))


def _name_choices(axes: Axes, choices: Sequence[Any]) -> None:
    words = [amount(choice, 6) for choice in choices]
    turned = 15 if max(map(len, words)) > 7 else 0
    axes.set_xticks(range(len(choices)), words, fontsize=7, rotation=turned)
    axes.set_xlim(-0.5, max(0.5, len(choices) - 0.5))


def curves(
    hand_tuned: list[Curve],
    best: Curve | None,
    x: Axis,
    metrics: Sequence[Axis],
    title: str,
    narrow: bool = False,
) -> Figure:
    """The learning curves of the best trial and of hand-tuned settings, a panel for each metric."""
    columns = 1 if narrow else {1: 1, 3: 3}.get(len(metrics), 2)
    width = WIDTHS[1] if columns == 1 else WIDTHS[2]
    figure, places = panels(len(metrics), columns, width, 3.4, title, margin=0.8)
    for axes, metric in zip(places, metrics, strict=True):
        for curve, look in looks(hand_tuned, (best, BEST)):
            if metric.column in curve.reports:
                told = curve.reports.dropna(subset=[metric.column])
                axes.plot(told[x.column], told[metric.column], **look, label=curve.label)
        axes.set(title=metric.title, yscale="log" if metric.log else "linear")
        count_from_zero(axes, x.title)
    figure.legend(
        *places[0].get_legend_handles_labels(), loc="outside lower left", ncols=min(2, columns)
    )
    return figure


def looks(
    hand_tuned: Sequence[Curve], *others: tuple[Curve | None, str]
) -> Iterator[tuple[Curve, dict[str, Any]]]:
    """Each curve with its colour and line style. ``others``: curves with their colours, or None."""
    for curve, (color, dash) in zip(hand_tuned, hand_tuned_lines(), strict=False):
        yield curve, {"color": color, "linestyle": DASHES[dash]}
    yield from ((curve, {"color": color}) for curve, color in others if curve is not None)


def confirmation_curves(
    reports: Mapping[int, pd.DataFrame],
    beside: Mapping[str, Mapping[int, pd.DataFrame]],
    metric: Axis,
    lines: Mapping[str, float],
    title: str,
) -> Figure:
    """One metric of the same settings on every fresh seed.

    Args:
        reports: By seed.
        beside: The reports of other settings on these seeds, by their name.
        lines: Values to mark, by their words.
    """
    figure, axes = plt.subplots(figsize=(WIDTHS[1], 3.6), layout="constrained")
    for name, others in beside.items():
        look: dict[str, Any] = {"color": HAND_TUNED[1], "linestyle": "--", "linewidth": 1}
        for place, rows in enumerate(others.values()):
            label = "_" if place else f"{name}, the same seeds"
            axes.plot(rows["step"], rows[metric.column], **look, alpha=0.6, label=label)
    for place, (seed, rows) in enumerate(sorted(reports.items())):
        shade = plt.get_cmap("viridis")(0.1 + 0.8 * place / max(1, len(reports) - 1))
        axes.plot(rows["step"], rows[metric.column], color=shade, label=f"seed {seed}")
    for linestyle, (words, value) in zip(("--", ":"), lines.items(), strict=False):
        marked_line(axes, value, words, linestyle)
    scale = "log" if metric.log else "linear"
    axes.set(title=title, ylabel=metric.title, yscale=scale)
    shown = [*reports.values(), *(rows for others in beside.values() for rows in others.values())]
    if pd.concat(shown)[metric.column].between(0, 1).all() and not metric.log:
        axes.set_ylim(0, 1.03)
    count_from_zero(axes, "training steps")
    figure.legend(loc="outside lower left", ncols=3)
    return figure


def panels(
    count: int,
    columns: int,
    width: float,
    height: float,
    title: str,
    margin: float = 0.6,
    **more: Any,
) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels in rows of ``columns``.

    In inches: the figure's ``width``, a row's ``height``, and the ``margin`` for title and legend.
    """
    rows = -(-count // columns)
    figure, places = plt.subplots(
        rows, columns, figsize=(width, height * rows + margin), squeeze=False, layout="constrained",
        **more,
    )  # fmt: skip
    for axes in places.flat[count:]:
        axes.set_visible(False)
    titled(figure, title)
    return figure, list(places.flat[:count])


def titled(figure: Figure, title: str) -> None:
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)


def shared_legend(figure: Figure, places: Sequence[Axes], ncols: int) -> None:
    """A legend below the panels, in which each label stands once."""
    entries = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in places]
    labels = {label: handle for entry in entries for handle, label in entry}
    figure.legend(labels.values(), labels.keys(), loc="outside lower left", ncols=ncols)


def marks(axes: Axes, x: Any, y: Any, outcome: Outcome, size: float, count: str = "") -> None:
    """A mark for each of the trials with an outcome; ``count`` stands after its words."""
    label = f"{outcome.words}{count}"
    axes.scatter(x, y, marker=outcome.mark, color=outcome.color, s=size, label=label)


def ring(axes: Axes, x: Any, y: Any, size: float, **more: Any) -> None:
    """A ring around the best trial."""
    axes.scatter(x, y, s=size, facecolors="none", edgecolors=BEST, **more)


def named_point(axes: Axes, words: str, x: Any, y: Any, left: bool = False) -> None:
    """Words beside a point, on its right or its left."""
    place, side = ((-7, 5), "right") if left else ((7, 5), "left")
    axes.annotate(words, (x, y), place, textcoords="offset points", fontsize=8, ha=side)


def marked_line(axes: Axes, y: float, words: str, linestyle: str) -> None:
    """A thin line across the axes at ``y``, with its words at the right end."""
    axes.axhline(y, color=MUTED, linewidth=0.8, linestyle=linestyle)
    axes.annotate(
        words, (1, y), xycoords=("axes fraction", "data"), xytext=(3, -3),
        textcoords="offset points", color=MUTED, fontsize=8,
    )  # fmt: skip


def count_from_zero(axes: Axes, label: str) -> None:
    """Let the x axis begin at 0, with whole numbers such as 1,000."""
    axes.set_xlabel(label)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlim(left=0)
