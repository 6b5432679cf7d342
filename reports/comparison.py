"""Several runs of an experiment side by side: a table, the best trials' curves, and what the experiment's own page adds."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle, groupby
from pathlib import Path
from typing import Any

from records.run import Run
from reports.content import Answer, number
from reports.experiments import page_of
from reports.experiments.default import Page, Section
from reports.explore import Plot, write_figure
from reports.figures.interactive import curves, digits
from reports.figures.style import SERIES


@dataclass(frozen=True)
class Compared:
    """All that the comparison shows of one run.

    Attributes:
        curve: The best trial's reports, a column by its name; None if there is no best trial.
        hand_tuned: What the best of the hand-tuned settings reached in it, in words.
        own: What the experiment's own page needs of it.
    """

    run: Run
    page: Page
    title: str
    answer: Answer | None
    curve: dict[str, Any] | None
    hand_tuned: str
    own: Any


@dataclass(frozen=True)
class Group:
    """The runs of one experiment, at least two, with what is shown of them."""

    section: Section
    runs: list[Compared]
    plots: dict[str, Plot]


def compared(run: Run) -> Compared | None:
    """The run as it is compared with others; None if it has no trial. Raises whatever odd files give rise to."""
    if run.trials.empty:
        return None
    page = page_of(run)
    reports = None if run.best is None else run.reports(run.best)
    columns = ("step", *page.comparable(run))
    curve = (
        None
        if reports is None
        else {column: digits(reports[column]) for column in columns if column in reports}
    )
    return Compared(
        run,
        page,
        page.title(run),
        page.answer(run),
        curve,
        hand_tuned(run, page),
        page.compared(run),
    )


def hand_tuned(run: Run, page: Page) -> str:
    """What the best of the hand-tuned settings reached in this run."""
    known = run.trials.dropna(subset=["baseline", run.metric])
    if known.empty:
        return ""
    row = known.sort_values(run.metric, ascending=run.minimizes).iloc[0]
    return f"{row['baseline']}: {page.shown(run.metric, row[run.metric])} at step {number(row['step'])}"


def compare(runs: list[Compared], names: Mapping[Path, str], folder: Path) -> list[Group]:
    """The experiments that have two runs or more, their figures drawn into ``folder``.

    ``names``: what each run is called, by its path.
    """
    groups = []
    for experiment, found in groupby(
        sorted(runs, key=lambda one: one.run.experiment), key=lambda one: one.run.experiment
    ):
        same = list(found)
        if len(same) > 1:
            section = same[0].page.section(same, folder)
            groups.append(Group(section, same, best_curves(experiment, same, names, folder)))
    return groups


def best_curves(
    experiment: str, runs: list[Compared], names: Mapping[Path, str], folder: Path
) -> dict[str, Plot]:
    """The interactive figure of the best trial of each run, by its name, written into ``folder``; none of fewer than two."""
    best = {names[one.run.path]: one.curve for one in runs if one.curve is not None}
    first = runs[0]
    x, name = first.page.axis(first.run, "step"), f"{experiment}-best"
    variants = {}
    for column in first.page.comparable(first.run) if len(best) > 1 else ():
        drawn = {
            run: (color, {axis: curve[axis] for axis in (x.column, column) if axis in curve})
            for (run, curve), color in zip(best.items(), cycle(SERIES), strict=False)
        }
        figure = curves(drawn, x, first.page.axis(first.run, column))
        if figure.data:
            variants[column.replace("_", " ")] = f"{name}-{column}"
            write_figure(figure, folder, variants[column.replace("_", " ")])
    alt = f"The best trial's curve of {', '.join(best)}."
    return {name: Plot("The best trial of each", alt, variants)} if variants else {}
