"""The figures of a GAN run as pure functions: tables and images in, a matplotlib Figure or a GIF's bytes out."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray
from PIL import Image

from records.objective import pareto_front
from records.outcome import BUDGET, outcome_of
from records.tables import training_curve
from reports.figures.printed import Scale
from reports.figures.style import BEST, HAND_TUNED, INK, MUTED

Gray = NDArray[np.uint8]


@dataclass(frozen=True)
class History:
    """A trial to draw over its steps: its reports, and what to call it."""

    label: str
    reports: pd.DataFrame


@dataclass(frozen=True)
class Samples:
    """A trial's sample grids, by training step, and what to call it."""

    label: str
    grids: Mapping[int, Gray]


def sample_grids(rows: Sequence[Samples], steps: Sequence[int], title: str) -> Figure:
    """A row a trial, a column a step: the grid drawn there, or an empty place where the trial had none."""
    size = (2.6 * len(steps) + 0.4, 2.9 * len(rows) + 0.5)
    figure, places = plt.subplots(
        len(rows), len(steps), figsize=size, squeeze=False, layout="constrained"
    )
    for line, samples in zip(places, rows, strict=True):
        for axes, step in zip(line, steps, strict=True):
            axes.axis("off")
            if step in samples.grids:
                axes.imshow(
                    samples.grids[step], cmap="gray", vmin=0, vmax=255, interpolation="nearest"
                )
                axes.set_title(f"step {step:,}", fontsize=9, color=MUTED)
        line[0].annotate(
            samples.label,
            (0, 1.1),
            xycoords="axes fraction",
            fontsize=10,
            fontweight="bold",
            color=INK,
            annotation_clip=False,
        )
    figure.set_layout_engine("constrained", h_pad=0.1)  # room for the labels
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    return figure


def training_history(
    hand_tuned: History | None,
    best: History,
    final_from: int | None,
    clean_floor: float,
    title: str,
) -> Figure:
    """Quality and the players' figures over steps; from ``final_from`` on the winner trained alone."""
    figure, places = plt.subplots(2, 3, figsize=(12, 6.4), layout="constrained")
    fd, clean, coverage, d_best, d_hand, losses = places.flat
    for one, color in ((hand_tuned, HAND_TUNED[0]), (best, BEST)):
        if one is None:
            continue
        for axes, name in ((fd, "fd_ratio"), (clean, "clean"), (coverage, "coverage")):
            if name in one.reports:
                axes.plot(
                    one.reports["step"],
                    one.reports[name],
                    "o-",
                    markersize=3,
                    color=color,
                    label=one.label,
                )
        curve = _smoothed(training_curve(one.reports))
        losses.plot(
            curve["step"], curve["train_g_loss"], color=color, linewidth=1.2, label="generator"
        )
        losses.plot(
            curve["step"],
            curve["train_d_loss"],
            color=color,
            linewidth=1.2,
            linestyle="--",
            label="discriminator",
        )
        axes = d_hand if one is hand_tuned else d_best
        axes.plot(curve["step"], curve["train_d_real"], color=color, linewidth=1.2, label="D(x)")
        axes.plot(
            curve["step"],
            curve["train_d_fake"],
            color=color,
            linewidth=1.2,
            linestyle="--",
            label="D(G(z))",
        )
    fd.set(title="Fréchet distance / real against real", yscale="log")
    fd.axhline(1, color=MUTED, linewidth=0.8, linestyle="--")
    fd.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    clean.set(title="Clean: the judge is 95% sure", ylim=(0, 1.03))
    clean.axhline(clean_floor, color=MUTED, linewidth=0.8, linestyle="--")
    coverage.set(title="Coverage of the ten classes", ylim=(0, 1.03))
    d_best.set(title=f"The discriminator: {best.label}", ylim=(0, 1.03))
    d_hand.set(title=f"The discriminator: {hand_tuned.label}" if hand_tuned else "", ylim=(0, 1.03))
    losses.set(title="Losses (line: generator, dashed: discriminator)")
    losses.set_yscale("symlog", linthresh=1)  # the hinge loss of a generator has either sign
    for axes in places.flat:
        axes.set_xlabel("training step")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.locator_params(axis="x", nbins=5)
        if final_from is not None and axes is not d_hand:
            axes.axvline(final_from, color=MUTED, linewidth=0.8, linestyle=":")
    d_best.legend(loc="center right")
    d_hand.legend(loc="center right") if hand_tuned else d_hand.set_visible(False)
    figure.legend(*fd.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    return figure


def _smoothed(curve: pd.DataFrame, points: int = 20) -> pd.DataFrame:
    """Means over ``points`` training points: single batches hide where a curve goes."""
    return curve.groupby(curve.index // points).mean()


def class_histogram(made: Sequence[float], real: Sequence[float], title: str) -> Figure:
    """Shares of the ten classes among made images, beside the test images'."""
    figure, axes = plt.subplots(figsize=(10.5, 3.2), layout="constrained")
    places = np.arange(len(real))
    axes.bar(places - 0.2, real, 0.4, color=MUTED, label="test images")
    axes.bar(places + 0.2, made, 0.4, color=BEST, label="made, as the judge names them")
    axes.set(title=title, xlabel="class", ylabel="share", xticks=places)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:.0%}"))
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.18), ncols=2)
    return figure


def interpolations(linear: Gray, spherical: Gray, title: str) -> Figure:
    """Rows of images (R, n + 1, 28, 28) on straight paths between latents, and on great circles below."""
    figure, places = plt.subplots(2, 1, figsize=(8.4, 9.4), layout="constrained")
    for axes, rows, name in (
        (places[0], linear, "straight"),
        (places[1], spherical, "along the great circle"),
    ):
        _image(axes, tiled(rows))
        axes.set_title(name, fontsize=10)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    return figure


def neighbour_pairs(made: Gray, nearest: Gray, title: str, columns: int = 8) -> Figure:
    """Made images (N, 28, 28), each with its nearest training image on its right."""
    rows = len(made) // columns
    figure, axes = plt.subplots(figsize=(8.4, 8.4 * rows / columns / 2 + 0.5), layout="constrained")
    pairs = np.concatenate([made, nearest], axis=2)[: rows * columns]  # (N, 28, 56)
    _image(axes, tiled(pairs.reshape(rows, columns, *pairs.shape[1:])))
    axes.set_title(title)
    return figure


def tiled(images: Gray, gap: int = 3) -> Gray:
    """Images (R, C, H, W) as one image of R rows and C columns, white between."""
    rows, columns, height, width = images.shape
    canvas = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap), 255, np.uint8)
    for row in range(rows):
        for column in range(columns):
            top, left = gap + row * (height + gap), gap + column * (width + gap)
            canvas[top : top + height, left : left + width] = images[row, column]
    return canvas


def schedules(
    changes: pd.DataFrame,
    scales: Mapping[str, Scale],
    lineage: Sequence[tuple[int, int]],
    end: int,
    title: str,
) -> Figure:
    """Each of the parameters in ``scales`` over training steps up to ``end``, a line a trial of the
    population.

    Args:
        changes: A row for every trial and ``step`` from which on its settings hold, with its
            ``number``.
        lineage: The winner's weights were trained in which trial from which step on; drawn
            strongly.
    """
    shown = {
        name: scale
        for name, scale in scales.items()
        if name in changes and changes[name].notna().any()
    }
    columns = 3
    rows = -(-len(shown) // columns)
    figure, places = plt.subplots(
        rows, columns, figsize=(12, 2.2 * rows + 0.6), squeeze=False, layout="constrained"
    )
    for axes, (name, scale) in zip(places.flat, shown.items(), strict=False):
        choices = sorted(changes[name].dropna().unique())
        drawn = (
            changes[name].map(choices.index, na_action="ignore")
            if scale == "choice"
            else changes[name]
        )
        for _, trial in changes.groupby("number"):
            axes.stairs(
                drawn[trial.index],
                [*trial["step"], end],
                baseline=None,
                color=MUTED,
                linewidth=1,
                alpha=0.6,
                label="a trial",
            )
        steps, values = [step for step, _ in lineage], []
        for step, number in lineage:
            values.append(drawn[(changes["number"] == number) & (changes["step"] == step)].iloc[0])
        if steps:
            axes.stairs(
                values,
                [*steps, end],
                baseline=None,
                color=BEST,
                linewidth=2.6,
                label="the winner's weights",
            )
        if scale == "choice":
            axes.set_yticks(range(len(choices)), [f"{choice:g}" for choice in choices])
        else:
            axes.set_yscale(scale)
            if scale == "log":
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set(title=name, xlim=(0, end))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    for axes in places[-1]:
        axes.set_xlabel("training step")
    for axes in list(places.flat)[len(shown) :]:
        axes.set_visible(False)
    labels = dict(zip(*reversed(places.flat[0].get_legend_handles_labels()), strict=True))
    figure.legend(labels.values(), labels.keys(), loc="outside lower left", ncols=2)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    return figure


def quality_plane(
    trials: pd.DataFrame, best: int | None, real: Mapping[str, float], title: str
) -> Figure:
    """Every trial by its Fréchet distance and its share of clean images, with what real images reach."""
    figure, axes = plt.subplots(figsize=(9, 4.6), layout="constrained")
    for ended, group in trials.dropna(subset=["fd", "clean"]).groupby(
        trials["ended"].fillna("running")
    ):
        outcome = outcome_of(str(ended))
        label = f"{outcome.words} ({len(group)})"
        axes.scatter(
            group["fd"], group["clean"], marker=outcome.mark, color=outcome.color, s=44, label=label
        )
    for _, trial in trials.dropna(subset=["baseline", "fd", "clean"]).iterrows():
        axes.annotate(
            trial["baseline"],
            (trial["fd"], trial["clean"]),
            xytext=(7, 5),
            textcoords="offset points",
            fontsize=8,
        )
    used_up = trials[trials["ended"] == BUDGET.name].dropna(subset=["fd", "clean"])
    front = used_up.iloc[pareto_front(np.column_stack([used_up["fd"], -used_up["clean"]]))]
    axes.plot(
        front["fd"],
        front["clean"],
        color=BEST,
        linewidth=1,
        linestyle="--",
        label="no trial is better in both",
        zorder=1,
    )
    winner = trials[trials["number"] == best]
    axes.scatter(
        winner["fd"],
        winner["clean"],
        s=220,
        facecolors="none",
        edgecolors=BEST,
        linewidths=2,
        label="best",
    )
    axes.scatter(real["fd"], real["clean"], marker="*", s=120, color=INK, label="real images")
    axes.set(
        xscale="log", ylim=(0, 1.03), xlabel="fd (lower is better)", ylabel="clean", title=title
    )
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return figure


def animation(frames: Sequence[Gray], frame_ms: int, last_ms: int) -> bytes:
    """Grayscale frames (H, W) as an endless GIF; the last one stays for ``last_ms``."""
    pictures = [Image.fromarray(frame) for frame in frames]
    content = io.BytesIO()
    times = [frame_ms] * (len(frames) - 1) + [last_ms]
    pictures[0].save(
        content,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=times,
        loop=0,
        optimize=True,
    )
    return content.getvalue()


def _image(axes: Axes, image: Gray) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.axis("off")
