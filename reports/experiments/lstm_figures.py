"""The figures of an LSTM run as pure functions: tables in, a matplotlib Figure out."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from records.outcome import outcome_of
from records.tables import training_curve
from reports.figures.printed import Curve, marked_line
from reports.figures.style import BEST, HAND_TUNED, INK, OTHER_MODEL

CHANCE = 0.1
"""Accuracy of a guess among ten digits."""


def learning_curves(
    hand_tuned: list[Curve], other_model: Curve | None, best: Curve | None, title: str
) -> Figure:
    """Loss and accuracy over training steps: held-out as lines, training batches as a pale trace; the best on top."""
    figure, (loss, accuracy) = plt.subplots(1, 2, figsize=(10.5, 4.6), layout="constrained")
    coloured = [
        *zip(hand_tuned, HAND_TUNED, strict=False),
        (other_model, OTHER_MODEL),
        (best, BEST),
    ]
    for curve, color in coloured:
        if curve is None:
            continue
        training = training_curve(curve.reports)
        for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
            if not training.empty:
                axes.plot(
                    training["step"],
                    training[f"train_{name}"],
                    color=color,
                    alpha=0.22,
                    linewidth=0.8,
                )
            held_out = curve.reports.dropna(subset=[name])
            axes.plot(held_out["step"], held_out[name], color=color, label=curve.label)
            if not held_out.empty:
                axes.plot(
                    held_out["step"].iloc[-1],
                    held_out[name].iloc[-1],
                    "o",
                    color=color,
                    markersize=4,
                )
    loss.set(title="Loss (cross-entropy, nats)", yscale="log", xlabel="training step")
    accuracy.set(title="Accuracy", ylim=(0, 1.03), xlabel="training step")
    marked_line(accuracy, CHANCE, "chance", ":")
    figure.legend(*accuracy.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    for axes in (loss, accuracy):
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_xlim(left=0)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    return figure


def parameter_map(trials: pd.DataFrame, best: int | None, title: str) -> Figure:
    """Every trial in the lr x max_norm plane: how it ended, and for the converged ones after how many steps."""
    figure, axes = plt.subplots(figsize=(7.2, 4.6), layout="constrained")
    shades = plt.get_cmap("viridis_r")
    converged = trials[trials["ended"] == "converged"]
    for ended, group in trials.groupby(trials["ended"].fillna("running")):
        outcome = outcome_of(str(ended))
        label = f"{outcome.words} ({len(group)})"
        if ended == "converged":
            points = axes.scatter(
                group["lr"], group["max_norm"], c=group["steps_to_converge"], cmap=shades, norm=LogNorm(), s=60,
                marker=outcome.mark, edgecolors=INK, linewidths=0.5, label=label, zorder=3,
            )  # fmt: skip
            scale = figure.colorbar(
                points, label="steps to converge", format=StrMethodFormatter("{x:,.0f}")
            )
            scale.ax.yaxis.set_minor_formatter(StrMethodFormatter("{x:,.0f}"))
        else:
            axes.scatter(
                group["lr"],
                group["max_norm"],
                color=outcome.color,
                marker=outcome.mark,
                s=44,
                label=label,
                zorder=2,
            )
    for (lr, max_norm), known in trials.dropna(subset=["baseline"]).groupby(["lr", "max_norm"])[
        "baseline"
    ]:
        axes.annotate(
            "; ".join(known), (lr, max_norm), xytext=(7, 5), textcoords="offset points", fontsize=8
        )
    if best is not None and best in set(trials["number"]):
        winner = trials[trials["number"] == best].iloc[0]
        axes.scatter(
            winner["lr"],
            winner["max_norm"],
            s=260,
            facecolors="none",
            edgecolors=BEST,
            linewidths=2,
            zorder=4,
        )
        axes.annotate(
            "best",
            (winner["lr"], winner["max_norm"]),
            xytext=(11, -12),
            textcoords="offset points",
            color=BEST,
        )
    axes.set(xscale="log", yscale="log", xlabel="lr", ylabel="max_norm", title=title)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2 if converged.empty else 3)
    return figure


@dataclass(frozen=True)
class Length:
    """What a model came to at a length: test accuracy of the winner on each fresh seed, the best
    hand-tuned settings' accuracy in the same search, and what the coursework reports."""

    model: str
    length: int
    confirmed: list[float]
    hand_tuned: float | None
    coursework: float | None


def lengths(points: list[Length]) -> Figure:
    """Accuracy against length, a group of marks a run: every fresh seed of the winner, the hand-tuned ones beside them."""
    figure, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
    names = [f"{one.model}\nT = {one.length}" for one in points]
    shifted = ((-0.15, "coursework", "X", HAND_TUNED[1]), (0.0, "hand_tuned", "s", HAND_TUNED[0]))
    labels = {
        "coursework": "reported by the coursework",
        "hand_tuned": "best hand-tuned settings, trained in this search",
    }
    for shift, name, marker, color in shifted:
        found = [
            (at + shift, value)
            for at, one in enumerate(points)
            if (value := getattr(one, name)) is not None
        ]
        if found:
            axes.plot(
                *zip(*found, strict=True), marker, color=color, markersize=8, label=labels[name]
            )
    seeds = [(at + 0.15, value) for at, one in enumerate(points) for value in one.confirmed]
    if seeds:
        label = "found by the search, each on fresh seeds"
        axes.plot(*zip(*seeds, strict=True), "o", color=BEST, alpha=0.7, markersize=8, label=label)
    marked_line(axes, CHANCE, "chance", ":")
    axes.set_xticks(range(len(points)), names)
    axes.set(ylabel="held-out accuracy", ylim=(0, 1.05), xlim=(-0.6, len(points) - 0.4))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    return figure
