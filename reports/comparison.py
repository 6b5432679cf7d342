"""Several runs side by side: LSTM lengths and the RNN against hand-tuning in a table and a figure, GAN data sets in others."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import pandas as pd

from reports import figures, gan, lstm
from reports.content import Answer, Picture, number, save
from reports.explore import LOG, Plot, write_figure
from reports.figures import Length
from reports.interactive import Axis, curves, digits
from reports.run import Run
from reports.style import SERIES

COURSEWORK = {("lstm", 5): 1.0, ("lstm", 10): 1.0, ("lstm", 20): 0.9, ("rnn", 20): 0.45}
"""Held-out accuracy that the coursework reports for its own settings, by model and length; of T = 20 "about"."""


MEASURED = {"lstm": lstm.MEASURED, "gan": ("fd_ratio", "clean", "coverage")}
"""The columns of a report that the best trials' curves are drawn of, by experiment."""


@dataclass(frozen=True)
class Compared:
    """All that the comparison shows of one run.

    Attributes:
        by_hand: The figure that the best hand-tuned settings reached in it.
        curve: The best trial's reports, a column by its name; None if there is no best trial.
        point: Of an LSTM's run, its place in the picture of lengths.
    """

    run: Run
    answer: Answer | None
    curve: dict[str, Any] | None
    by_hand: str = ""
    point: Length | None = None
    quality: list[dict[str, Any]] | None = None


def compared(run: Run) -> Compared | None:
    """The run as it is compared with others; None if it has no trial. Raises whatever odd files give rise to."""
    if run.trials.empty:
        return None
    columns = ("step", *MEASURED[run.search["experiment"]])
    reports = None if run.best is None else run.reports(run.best)
    curve = None if reports is None else {column: digits(reports[column]) for column in columns if column in reports}
    if run.search["experiment"] == "gan":
        return Compared(run, gan.run_answer(run), curve, quality=gan.quality_table(run))
    hand = best_by_hand(run)
    words = "" if hand is None else f"{hand['known']}: {100 * hand['accuracy']:.1f}% at step {number(hand['step'])}"
    return Compared(run, lstm.run_answer(run), curve, words, length(run, hand))


def compare(runs: list[Compared], names: Mapping[Path, str], folder: Path) -> dict[str, Any] | None:
    """What the page of the comparison reads, its figures drawn into ``folder``; None if there are not two runs of a kind.

    ``names``: what each run is called, by its path.
    """
    lengths = [one for one in runs if one.point]
    lengths.sort(key=lambda one: (one.point.length, one.point.model) if one.point else (0, ""))
    data_sets = [one for one in runs if one.quality is not None]
    if max(len(lengths), len(data_sets)) < 2:
        return None
    return {
        "lengths": lengths,
        "picture": draw([one.point for one in lengths if one.point], folder) if len(lengths) > 1 else None,
        "data_sets": data_sets,
        "plots": {
            **best_curves("lengths", lengths, names, MEASURED["lstm"], folder),
            **best_curves("data-sets", data_sets, names, MEASURED["gan"], folder),
        },
    }


def best_curves(
    name: str, runs: list[Compared], names: Mapping[Path, str], measured: tuple[str, ...], folder: Path
) -> dict[str, Plot]:
    """The interactive figure of the best trial of each run, by its name, written into ``folder``; none of fewer than two."""
    best = {names[one.run.path]: one.curve for one in runs if one.curve is not None}
    x = Axis("step", "training steps")
    variants = {}
    for column in measured if len(best) > 1 else ():
        drawn = {
            run: (color, {axis: curve[axis] for axis in (x.column, column) if axis in curve})
            for (run, curve), color in zip(best.items(), cycle(SERIES), strict=False)
        }
        figure = curves(drawn, x, Axis(column, column.replace("_", " "), column in LOG))
        if figure.data:
            variants[column.replace("_", " ")] = f"{name}-{column}"
            write_figure(figure, folder, variants[column.replace("_", " ")])
    alt = f"Learning curves of the best trial of {', '.join(best)}."
    return {name: Plot("The best trial of each", alt, variants)} if variants else {}


def best_by_hand(run: Run) -> "pd.Series[Any] | None":
    """The hand-tuned trial that came to the highest accuracy in this run."""
    if "accuracy" not in run.trials:
        return None
    known = run.trials.dropna(subset=["known", "accuracy"]).sort_values("accuracy", ascending=False)
    return None if known.empty else known.iloc[0]


def length(run: Run, hand: "pd.Series[Any] | None") -> Length:
    """The run's place in the picture of lengths."""
    fixed = run.search["fixed"]
    seeds = run.confirmed["test_accuracy"].dropna().tolist() if "test_accuracy" in run.confirmed else []
    return Length(
        model=str(fixed["model"]).upper(),
        length=int(fixed["input_length"]),
        confirmed=[float(one) for one in seeds],
        by_hand=None if hand is None else float(hand["accuracy"]),
        coursework=COURSEWORK.get((fixed["model"], fixed["input_length"])),
    )


def draw(points: list[Length], folder: Path) -> Picture:
    words = "; ".join(f"{one.model} T = {one.length}: lowest {min(one.confirmed):.4f}" for one in points if one.confirmed)
    return save(
        figures.lengths(points), folder, "lengths", f"Accuracy on fresh seeds by length, beside hand-tuned settings. {words}."
    )
