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


@dataclass(frozen=True)
class Compared:
    """A run in the table of its experiment; ``by_hand``: what the best of the hand-tuned settings came to in it."""

    run: Run
    answer: Answer | None
    by_hand: str
    coursework: float | None = None
    quality: list[dict[str, Any]] | None = None


def compare(runs: list[Run], names: Mapping[Path, str], folder: Path) -> dict[str, Any] | None:
    """What the page of the comparison reads, its figures drawn into ``folder``; None where there are not two runs of a kind.

    ``names``: what each run is called, by its path.
    """
    lengths = sorted(of(runs, "lstm"), key=lambda run: (run.search["fixed"]["input_length"], run.search["fixed"]["model"]))
    data_sets = of(runs, "gan")
    if max(len(lengths), len(data_sets)) < 2:
        return None
    return {
        "lengths": [length(run) for run in lengths],
        "picture": draw(lengths, folder) if len(lengths) > 1 else None,
        "data_sets": [Compared(run, gan.run_answer(run), "", quality=gan.quality_table(run)) for run in data_sets],
        "plots": {
            **best_curves("lengths", lengths, names, lstm.MEASURED, folder),
            **best_curves("data-sets", data_sets, names, ("fd_ratio", "clean", "coverage"), folder),
        },
    }


def best_curves(
    name: str, runs: list[Run], names: Mapping[Path, str], measured: tuple[str, ...], folder: Path
) -> dict[str, Plot]:
    """The interactive figure of the best trial of each run, by its name, written into ``folder``; none of fewer than two."""
    best = {names[run.path]: run.reports(run.best) for run in runs if run.best is not None}
    x = Axis("step", "training steps")
    variants = {}
    for column in measured if len(best) > 1 else ():
        drawn = {
            run: (color, {axis: digits(reports[axis]) for axis in (x.column, column) if axis in reports})
            for (run, reports), color in zip(best.items(), cycle(SERIES), strict=False)
        }
        figure = curves(drawn, x, Axis(column, column.replace("_", " "), column in LOG))
        if figure.data:
            variants[column.replace("_", " ")] = f"{name}-{column}"
            write_figure(figure, folder, variants[column.replace("_", " ")])
    alt = f"Learning curves of the best trial of {', '.join(best)}."
    return {name: Plot("The best trial of each", alt, variants)} if variants else {}


def of(runs: list[Run], experiment: str) -> list[Run]:
    return [run for run in runs if run.search["experiment"] == experiment and not run.trials.empty]


def length(run: Run) -> Compared:
    fixed = run.search["fixed"]
    hand = best_by_hand(run)
    words = "" if hand is None else f"{hand['known']}: {100 * hand['accuracy']:.1f}% at step {number(hand['step'])}"
    return Compared(run, lstm.run_answer(run), words, COURSEWORK.get((fixed["model"], fixed["input_length"])))


def best_by_hand(run: Run) -> "pd.Series[Any] | None":
    """The hand-tuned trial that came to the highest accuracy in this run."""
    if "accuracy" not in run.trials:
        return None
    known = run.trials.dropna(subset=["known", "accuracy"]).sort_values("accuracy", ascending=False)
    return None if known.empty else known.iloc[0]


def draw(runs: list[Run], folder: Path) -> Picture:
    points = []
    for run in runs:
        fixed, hand = run.search["fixed"], best_by_hand(run)
        seeds = run.confirmed["test_accuracy"].dropna().tolist() if "test_accuracy" in run.confirmed else []
        points.append(
            Length(
                model=str(fixed["model"]).upper(),
                length=int(fixed["input_length"]),
                confirmed=[float(one) for one in seeds],
                by_hand=None if hand is None else float(hand["accuracy"]),
                coursework=COURSEWORK.get((fixed["model"], fixed["input_length"])),
            )
        )
    words = "; ".join(f"{one.model} T = {one.length}: lowest {min(one.confirmed):.4f}" for one in points if one.confirmed)
    return save(
        figures.lengths(points), folder, "lengths", f"Accuracy on fresh seeds by length, beside hand-tuned settings. {words}."
    )
