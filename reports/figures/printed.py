"""The figures of a run as pure functions: tables in, a matplotlib Figure out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from records.outcome import outcome_of
from reports.figures.interactive import Axis
from reports.figures.style import BEST, HAND_TUNED, INK, MUTED

Scale = Literal["choice", "log", "linear"]


@dataclass(frozen=True)
class Curve:
    """A trial to draw: its reports, at least one, and what to call it."""

    label: str
    reports: pd.DataFrame


def parameter_slices(
    trials: pd.DataFrame,
    scales: Mapping[str, Scale],
    best: int | None,
    figure_name: str,
    title: str,
    log: bool = True,
) -> Figure:
    """Every trial's figure against each setting in turn that any has, on the setting's own scale, marked by how it ended."""
    columns = 5
    measured = trials.dropna(subset=[figure_name])
    scales = {
        name: scale for name, scale in scales.items() if measured[name].notna().any()
    } or scales
    rows = -(-len(scales) // columns)
    figure, places = plt.subplots(
        rows,
        columns,
        figsize=(12, 2.3 * rows + 0.6),
        squeeze=False,
        sharey=True,
        layout="constrained",
    )
    for axes, (name, scale) in zip(places.flat, scales.items(), strict=False):
        chosen = measured.dropna(subset=[name])
        choices = {value: place for place, value in enumerate(sorted(chosen[name].unique()))}
        x = chosen[name].map(choices) if scale == "choice" else chosen[name]
        for ended, group in chosen.groupby(chosen["ended"].fillna("running")):
            outcome = outcome_of(str(ended))
            axes.scatter(
                x[group.index],
                group[figure_name],
                marker=outcome.mark,
                color=outcome.color,
                s=22,
                label=outcome.words,
            )
        winner = chosen[chosen["number"] == best]
        axes.scatter(
            x[winner.index],
            winner[figure_name],
            s=120,
            facecolors="none",
            edgecolors=BEST,
            linewidths=1.6,
        )
        if scale == "choice":
            words = [
                f"{value:g}" if isinstance(value, int | float) else str(value) for value in choices
            ]
            axes.set_xticks(
                range(len(choices)),
                words,
                fontsize=7,
                rotation=15 if max(map(len, [*words, ""])) > 7 else 0,
            )
            axes.set_xlim(-0.5, max(0.5, len(choices) - 0.5))
        elif not chosen.empty:
            axes.set_xscale(scale)
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_yscale("log" if log else "linear")
        axes.set_title(name, fontsize=10)
    for axes in list(places.flat)[len(scales) :]:
        axes.set_visible(False)
    labels = {
        label: handle
        for axes in places.flat
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(labels.values(), labels.keys(), loc="outside lower left", ncols=3)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    return figure


def curves(
    hand_tuned: list[Curve], best: Curve | None, x: Axis, metrics: Sequence[Axis], title: str
) -> Figure:
    """A panel a metric: the best trial's learning curve beside those of hand-tuned settings."""
    columns = min(2, len(metrics))
    rows = -(-len(metrics) // columns)
    figure, panels = plt.subplots(
        rows, columns, figsize=(10.5, 0.8 + 3.4 * rows), squeeze=False, layout="constrained"
    )
    coloured = [*zip(hand_tuned, HAND_TUNED, strict=False), (best, BEST)]
    for axes, metric in zip(panels.flat, metrics, strict=False):
        for curve, color in coloured:
            if curve is not None and metric.column in curve.reports:
                told = curve.reports.dropna(subset=[metric.column])
                axes.plot(told[x.column], told[metric.column], color=color, label=curve.label)
        axes.set(title=metric.title, xlabel=x.title, yscale="log" if metric.log else "linear")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_xlim(left=0)
    for axes in list(panels.flat)[len(metrics) :]:
        axes.set_visible(False)
    figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside lower left", ncols=2)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    return figure


def confirmation_curves(
    reports: Mapping[int, pd.DataFrame], metric: Axis, lines: Mapping[str, float], title: str
) -> Figure:
    """One metric of the same settings on every fresh seed, ``reports`` by seed; ``lines``: values to mark, by their words."""
    figure, axes = plt.subplots(figsize=(7.2, 3.2), layout="constrained")
    for place, (seed, rows) in enumerate(sorted(reports.items())):
        shade = plt.get_cmap("viridis")(0.1 + 0.8 * place / max(1, len(reports) - 1))
        axes.plot(rows["step"], rows[metric.column], color=shade, label=f"seed {seed}")
    for linestyle, (words, value) in zip(("--", ":"), lines.items(), strict=False):
        marked_line(axes, value, words, linestyle)
    axes.set(
        title=title,
        xlabel="training steps",
        ylabel=metric.title,
        yscale="log" if metric.log else "linear",
    )
    if pd.concat(reports)[metric.column].between(0, 1).all() and not metric.log:
        axes.set_ylim(0, 1.03)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.legend(loc="best")
    return figure


def marked_line(axes: Axes, y: float, text: str, linestyle: str) -> None:
    """A thin line across the axes at ``y``, named at its right end."""
    axes.axhline(y, color=MUTED, linewidth=0.8, linestyle=linestyle)
    axes.annotate(
        text,
        (1, y),
        xycoords=("axes fraction", "data"),
        xytext=(3, -3),
        textcoords="offset points",
        color=MUTED,
        fontsize=8,
    )
