"""The figures of an LSTM run as pure functions: tables in, a matplotlib Figure out."""

from dataclasses import dataclass
from typing import Any, Literal

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from records.tables import training_curve
from reports.figures import printed
from reports.figures.printed import Curve
from reports.figures.style import BEST, HAND_TUNED, INK, OTHER_MODEL
from reports.figures.traces import by_outcome

CHANCE = 0.1
"""Accuracy of a guess among ten digits."""


def learning_curves(
    hand_tuned: list[Curve],
    other_model: Curve | None,
    best: Curve | None,
    title: str,
    columns: Literal[1, 2] = 2,
) -> Figure:
    """Loss and accuracy over training steps, the best trial on top.

    Lines are held-out values, pale traces are training batches.
    """
    figure, panels = printed.panels(2, columns, printed.WIDTHS[columns], 3.6, title, margin=1)
    loss, accuracy = panels
    for curve, look in printed.looks(hand_tuned, (other_model, OTHER_MODEL), (best, BEST)):
        batches = training_curve(curve.reports)
        for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
            if not batches.empty:
                pale: dict[str, Any] = {"alpha": 0.22, "linewidth": 0.8}
                axes.plot(batches["step"], batches[f"train_{name}"], **{**look, **pale})
            held_out = curve.reports.dropna(subset=[name])
            axes.plot(held_out["step"], held_out[name], **look, label=curve.label)
            end = held_out.tail(1)
            if not end.empty:
                axes.plot(end["step"], end[name], "o", color=look["color"], markersize=4)
    loss.set(title="Loss (cross-entropy, nats)", yscale="log")
    accuracy.set(title="Accuracy", ylim=(0, 1.03))
    printed.marked_line(accuracy, CHANCE, "chance", ":")
    figure.legend(*accuracy.get_legend_handles_labels(), loc="outside lower left", ncols=columns)
    for axes in panels:
        printed.count_from_zero(axes, "training step")
    return figure


def parameter_map(trials: pd.DataFrame, best: int | None, title: str) -> Figure:
    """Every trial in the lr x max_norm plane, marked by its outcome.

    The shade of a converged trial says after how many steps it had.
    """
    figure, axes = plt.subplots(figsize=(7.2, 4.6), layout="constrained")
    count = StrMethodFormatter("{x:,.0f}")
    shades: dict[str, Any] = {"cmap": plt.get_cmap("viridis_r"), "norm": LogNorm()}
    for outcome, rows in by_outcome(trials):
        x, y, label = rows["lr"], rows["max_norm"], f"{outcome.words} ({len(rows)})"
        look: dict[str, Any] = {"marker": outcome.mark, "label": label}
        if outcome.name == "converged":
            look |= {**shades, "s": 60, "edgecolors": INK, "linewidths": 0.5, "zorder": 3}
            points = axes.scatter(x, y, c=rows["steps_to_converge"], **look)
            scale = figure.colorbar(points, label="steps to converge", format=count)
            scale.ax.yaxis.set_minor_formatter(count)
        else:
            axes.scatter(x, y, color=outcome.color, s=44, zorder=2, **look)
    baselines = trials.dropna(subset=["baseline"])
    for (lr, max_norm), names in baselines.groupby(["lr", "max_norm"])["baseline"]:
        # The best trial has its word on the right
        left = (trials["lr"] < lr).mean() > 0.3
        printed.named_point(axes, "; ".join(names), lr, max_norm, left)
    for _, winner in trials[trials["number"] == best].iterrows():
        place = (winner["lr"], winner["max_norm"])
        printed.ring(axes, *place, 260, linewidths=2, zorder=4)
        axes.annotate("best", place, xytext=(11, -12), textcoords="offset points", color=BEST)
    axes.set(xscale="log", yscale="log", xlabel="lr", ylabel="max_norm", title=title)
    columns = 3 if (trials["ended"] == "converged").any() else 2
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=columns)
    return figure


@dataclass(frozen=True)
class Length:
    """The accuracies that a model reached at a length.

    Attributes:
        confirmed: The winner's test accuracy on each fresh seed.
        hand_tuned: Of the best hand-tuned settings in the same search.
        coursework: As the coursework reports it.
    """

    model: str
    length: int
    confirmed: list[float]
    hand_tuned: float | None
    coursework: float | None


def lengths(points: list[Length], width: float = 9) -> Figure:
    """Accuracy by model and length: each fresh seed of the winner, and hand-tuned settings."""
    figure, axes = plt.subplots(figsize=(width, 4.2), layout="constrained")
    drawn = (
        (-0.15, "coursework", "X", HAND_TUNED[1], "reported by the coursework"),
        (0.0, "hand_tuned", "s", HAND_TUNED[0], "best hand-tuned settings, trained in this search"),
        (0.15, "confirmed", "o", BEST, "found by the search, each on fresh seeds"),
    )
    for shift, name, marker, color, label in drawn:
        values = [(place, getattr(point, name)) for place, point in enumerate(points)]
        found = pd.DataFrame(values, columns=["place", "accuracy"]).explode("accuracy").dropna()
        if not found.empty:
            alpha = 0.7 if name == "confirmed" else 1.0
            axes.plot(
                found["place"] + shift, found["accuracy"], marker, color=color, markersize=8,
                alpha=alpha, label=label,
            )  # fmt: skip
    printed.marked_line(axes, CHANCE, "chance", ":")
    axes.set_xticks(range(len(points)), [f"{one.model}\nT = {one.length}" for one in points])
    axes.set(ylabel="held-out accuracy", ylim=(0, 1.05), xlim=(-0.6, len(points) - 0.4))
    figure.legend(loc="outside lower left", ncols=3 if width > 6 else 1)
    return figure
