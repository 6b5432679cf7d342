"""Several runs of an experiment side by side: a table, the best trials' curves, and what the
experiment's own page adds."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle, groupby
from pathlib import Path
from typing import Any

from records.run import Run
from reports.content import Answer, number
from reports.experiments import page_of
from reports.experiments.default import Page, Section
from reports.figures.interactive import curves
from reports.figures.scripts import Plot, write_variants
from reports.figures.style import SERIES
from reports.figures.traces import digits


@dataclass(frozen=True)
class Compared:
    """All that the comparison shows of one run.

    Attributes:
        curve: The best trial's reports by column; None if there is no best trial.
        hand_tuned: What the best hand-tuned settings reached in this run, in words.
        own: What the experiment's own page needs of the run.
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
    """The run as it is compared with others; None if it has no trial.

    Raises any exception if files of the run were edited.
    """
    if run.trials.empty:
        return None
    page, curve = page_of(run), None
    if run.best is not None:
        reports = run.reports(run.best)
        columns = ("step", *page.comparable(run))
        curve = {column: digits(reports[column]) for column in columns if column in reports}
    words = hand_tuned(run, page)
    return Compared(run, page, page.title(run), page.answer(run), curve, words, page.compared(run))


def hand_tuned(run: Run, page: Page) -> str:
    """What the best of the hand-tuned settings reached in this run; empty if none were tried."""
    known = run.trials.dropna(subset=["baseline", run.metric])
    if known.empty:
        return ""
    row = known.sort_values(run.metric, ascending=run.minimizes).iloc[0]
    value = page.shown(run.metric, row[run.metric])
    return f"{row['baseline']}: {value} at step {number(row['step'])}"


def compare(runs: list[Compared], names: Mapping[Path, str], folder: Path) -> list[Group]:
    """The experiments that have at least two runs, their figures drawn into ``folder``.

    ``names``: what each run is called, by its path.
    """

    def experiment(one: Compared) -> str:
        return one.run.experiment

    groups = []
    for _, found in groupby(sorted(runs, key=experiment), key=experiment):
        same = list(found)
        if len(same) > 1:
            section = same[0].page.section(same, folder)
            groups.append(Group(section, same, best_curves(same, names, folder)))
    return groups


def best_curves(runs: list[Compared], names: Mapping[Path, str], folder: Path) -> dict[str, Plot]:
    """The interactive figure of each run's best trial, by its name; empty if there are not two.

    Its script is written into ``folder``.
    """
    best = {names[one.run.path]: one.curve for one in runs if one.curve is not None}
    run, page = runs[0].run, runs[0].page
    x, name = page.axis(run, "step"), f"{run.experiment}-best"
    drawn = {}
    for column in page.comparable(run) if len(best) > 1 else ():
        coloured = zip(best.items(), cycle(SERIES), strict=False)
        named = {run_name: (color, curve) for (run_name, curve), color in coloured}
        drawn[f"{name}-{column}"] = (
            column.replace("_", " "),
            curves(named, x, page.axis(run, column)),
        )
    variants = write_variants(drawn, folder)
    alt = f"The best trial's curve of {', '.join(best)}."
    return {name: Plot("The best trial of each run", alt, variants)} if variants else {}
