"""The figures of a GAN run as pure functions: tables and images in, a matplotlib Figure or a GIF's
bytes out."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray
from PIL import Image

from records.checks.check import amount
from records.objective import pareto_front
from records.outcome import BUDGET
from records.tables import training_curve
from reports.figures import printed
from reports.figures.printed import Curve, Scale
from reports.figures.style import BEST, HAND_TUNED, INK, MUTED
from reports.figures.traces import by_outcome

Gray = NDArray[np.uint8]


@dataclass(frozen=True)
class Samples:
    """A trial's sample grids by training step, and its label."""

    label: str
    grids: Mapping[int, Gray]


def sample_grids(rows: Sequence[Samples], steps: Sequence[int], title: str) -> Figure:
    """A row for each trial, a column for each step; empty if the trial has no grid of that step."""
    size = (2.6 * len(steps) + 0.4, 2.9 * len(rows) + 0.5)
    figure, places = plt.subplots(
        len(rows), len(steps), figsize=size, squeeze=False, layout="constrained"
    )
    for line, samples in zip(places, rows, strict=True):
        for axes, step in zip(line, steps, strict=True):
            axes.axis("off")
            if step in samples.grids:
                _image(axes, samples.grids[step])
                axes.set_title(f"step {step:,}", fontsize=9, color=MUTED)
        line[0].annotate(
            samples.label, (0, 1.1), xycoords="axes fraction", fontsize=10, fontweight="bold",
            color=INK, annotation_clip=False,
        )  # fmt: skip
    figure.set_layout_engine("constrained", h_pad=0.1)  # room for the labels
    printed.titled(figure, title)
    return figure


def training_history(
    hand_tuned: Curve | None,
    best: Curve,
    final_from: int | None,
    real_clean: float,
    title: str,
    columns: Literal[1, 3] = 3,
) -> Figure:
    """Quality, losses and the discriminator's outputs over training steps.

    From ``final_from`` on the winner was trained alone. ``real_clean``: of real images.
    """
    width = 12 if columns == 3 else printed.WIDTHS[1]
    figure, places = printed.panels(6, columns, width, 3, title, margin=0.4)
    fd, clean, coverage, d_best, d_hand, losses = places
    for curve, color, judged in ((hand_tuned, HAND_TUNED[0], d_hand), (best, BEST, d_best)):
        if curve is None:
            continue
        for axes, name in ((fd, "fd_ratio"), (clean, "clean"), (coverage, "coverage")):
            if name in curve.reports:
                x, y = curve.reports["step"], curve.reports[name]
                axes.plot(x, y, "o-", markersize=3, color=color, label=curve.label)
        batches = _smoothed(training_curve(curve.reports))
        _pair(
            losses, batches, color, {"train_g_loss": "generator", "train_d_loss": "discriminator"}
        )
        _pair(judged, batches, color, {"train_d_real": "D(x)", "train_d_fake": "D(G(z))"})
        judged.set(title=f"The discriminator: {curve.label}", ylim=(0, 1.03))
    fd.set(title="Fréchet distance / real against real", yscale="log")
    fd.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    clean.set(title="Clean: the judge is 95% sure", ylim=(0, 1.03))
    coverage.set(title="Coverage of the ten classes", ylim=(0, 1.03))
    losses.set(title="Losses (line: generator, dashed: discriminator)")
    losses.set_yscale("symlog", linthresh=1)  # a generator's hinge loss has either sign
    fd.axhline(1, color=MUTED, linewidth=0.8, linestyle="--")
    clean.axhline(real_clean, color=MUTED, linewidth=0.8, linestyle="--")
    for axes in places:
        printed.count_from_zero(axes, "training step")
        axes.locator_params(axis="x", nbins=5)
        if final_from is not None and axes is not d_hand:
            axes.axvline(final_from, color=MUTED, linewidth=0.8, linestyle=":")
    d_best.legend(loc="best")
    d_hand.legend(loc="best") if hand_tuned else d_hand.set_visible(False)
    figure.legend(*fd.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return figure


def _smoothed(curve: pd.DataFrame) -> pd.DataFrame:
    """Means over 20 training points, fewer of a short curve: single batches hide where it goes."""
    points = min(20, max(1, len(curve) // 10))
    return curve.groupby(curve.index // points).mean()


def _pair(axes: Axes, batches: pd.DataFrame, color: str, labels: Mapping[str, str]) -> None:
    """Two columns over training steps, the second one dashed."""
    for (column, label), style in zip(labels.items(), ("-", "--"), strict=True):
        x, y = batches["step"], batches[column]
        axes.plot(x, y, color=color, linewidth=1.2, linestyle=style, label=label)


def class_histogram(made: Sequence[float], real: Sequence[float], title: str) -> Figure:
    """Fractions of the ten classes among generated images and among the test images."""
    figure, axes = plt.subplots(figsize=(10.5, 3.2), layout="constrained")
    places = np.arange(len(real))
    axes.bar(places - 0.2, real, 0.4, color=MUTED, label="test images")
    axes.bar(places + 0.2, made, 0.4, color=BEST, label="generated, as the judge names them")
    axes.set(title=title, xlabel="class", ylabel="fraction", xticks=places)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:.0%}"))
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.18), ncols=2)
    return figure


def interpolations(linear: Gray, spherical: Gray, title: str) -> Figure:
    """Images (R, n + 1, 28, 28) on straight paths between latents, and below on great circles."""
    figure, places = plt.subplots(2, 1, figsize=(8.4, 9.4), layout="constrained")
    named = {"straight": linear, "along the great circle": spherical}
    for axes, (name, rows) in zip(places, named.items(), strict=True):
        _image(axes, tiled(rows))
        axes.set_title(name, fontsize=10)
    printed.titled(figure, title)
    return figure


def neighbour_pairs(made: Gray, nearest: Gray, title: str, columns: int = 8) -> Figure:
    """Generated images (N, 28, 28), each with its nearest training image on its right."""
    rows = len(made) // columns
    figure, axes = plt.subplots(figsize=(8.4, 8.4 * rows / columns / 2 + 0.5), layout="constrained")
    pairs = np.concatenate([made, nearest], axis=2)[: rows * columns]  # (N, 28, 56)
    _image(axes, tiled(pairs.reshape(rows, columns, *pairs.shape[1:])))
    axes.set_title(title)
    return figure


def tiled(images: Gray, gap: int = 3) -> Gray:
    """Images (R, C, H, W) as one image of R rows and C columns, with white gaps."""
    padded = np.pad(images, ((0, 0), (0, 0), (gap, 0), (gap, 0)), constant_values=255)
    rows, columns, height, width = padded.shape
    joined = padded.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)
    return np.pad(joined, ((0, gap), (0, gap)), constant_values=255)


def schedules(
    changes: pd.DataFrame,
    scales: Mapping[str, Scale],
    lineage: Sequence[tuple[int, int]],
    end: int,
    title: str,
) -> Figure:
    """Each of the parameters in ``scales`` over training steps up to ``end``, a line for each trial
    of the population.

    Args:
        changes: A row for each trial and ``step`` from which on its settings hold, with ``number``.
        lineage: The steps from which on the winner's weights were trained, and in which trial;
            drawn as a strong line.
    """
    shown = {
        name: scale
        for name, scale in scales.items()
        if name in changes and changes[name].notna().any()
    }
    figure, places = printed.panels(len(shown), 3, 12, 2.2, title)
    steps = [step for step, _ in lineage]
    for axes, (name, scale) in zip(places, shown.items(), strict=True):
        choices = printed.in_order(changes[name], scale)
        own = changes[name].map(choices.index, na_action="ignore") if choices else changes[name]
        drawn = changes.assign(drawn=own)
        for _, trial in drawn.groupby("number"):
            _stairs(axes, trial["drawn"], [*trial["step"], end], MUTED, 1, "a trial", alpha=0.6)
        at = drawn.drop_duplicates(["step", "number"]).set_index(["step", "number"])["drawn"]
        if steps:
            values = [at[place] for place in lineage]
            _stairs(axes, values, [*steps, end], BEST, 2.6, "the winner's weights")
        _scale_values(axes, scale, choices)
        axes.set(title=name, xlim=(0, end))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    for axes in places[(len(places) - 1) // 3 * 3 :]:
        axes.set_xlabel("training step")
    printed.shared_legend(figure, places[:1], ncols=2)
    return figure


def _stairs(
    axes: Axes, values: Any, edges: Sequence[int], color: str, width: float, label: str, **more: Any
) -> None:
    look = {"color": color, "linewidth": width, "label": label, **more}
    axes.stairs(values, edges, baseline=None, **look)


def _scale_values(axes: Axes, scale: Scale, choices: Sequence[Any]) -> None:
    if isinstance(scale, tuple):
        axes.set_yticks(range(len(choices)), [amount(choice, 6) for choice in choices])
        return
    axes.set_yscale(scale)
    if scale == "log":
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def quality_plane(
    trials: pd.DataFrame, best: int | None, real: Mapping[str, float], title: str
) -> Figure:
    """Every trial, and real images, by Fréchet distance and fraction of clean images."""
    figure, axes = plt.subplots(figsize=(9, 4.6), layout="constrained")
    measured = trials.dropna(subset=["fd", "clean"])
    for outcome, rows in by_outcome(measured):
        printed.marks(axes, rows["fd"], rows["clean"], outcome, 44, f" ({len(rows)})")
    for _, trial in measured.dropna(subset=["baseline"]).iterrows():
        printed.named_point(axes, trial["baseline"], trial["fd"], trial["clean"])
    used_up = measured[measured["ended"] == BUDGET.name]
    front = used_up.iloc[pareto_front(np.column_stack([used_up["fd"], -used_up["clean"]]))]
    axes.plot(
        front["fd"], front["clean"], color=BEST, linewidth=1, linestyle="--", zorder=1,
        label="no trial is better in both",
    )  # fmt: skip
    winner = trials[trials["number"] == best]
    printed.ring(axes, winner["fd"], winner["clean"], 220, linewidths=2, label="best")
    axes.scatter(real["fd"], real["clean"], marker="*", s=120, color=INK, label="real images")
    axes.set(xscale="log", xlabel="fd (lower is better)", title=title)
    axes.set(ylim=(0, 1.03), ylabel="clean")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return figure


def animation(frames: Sequence[Gray], frame_ms: int, last_ms: int) -> bytes:
    """Grayscale frames (H, W) as a GIF that repeats; the last frame stays for ``last_ms``."""
    first, *others = [Image.fromarray(frame) for frame in frames]
    times = [frame_ms] * len(others) + [last_ms]
    content = io.BytesIO()
    how = {"save_all": True, "append_images": others, "duration": times, "loop": 0}
    first.save(content, "GIF", optimize=True, **how)
    return content.getvalue()


def _image(axes: Axes, image: Gray) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.axis("off")
