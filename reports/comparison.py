"""Several runs of an experiment side by side: the best trials' curves, what the experiment's own
page adds, the best settings on fresh seeds, and runs of the same task compared in pairs."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle, groupby
from pathlib import Path
from typing import Any

from records.run import Run
from records.versus_run import compare_runs
from reports.content import Answer, number
from reports.experiments import page_of
from reports.experiments.default import Page, Section, best_hand_tuned
from reports.figures.interactive import curves
from reports.figures.scripts import Plot, write_variants
from reports.figures.style import SERIES
from reports.figures.traces import digits
from reports.fresh_seeds import Fresh, Pair, fresh, shown_pair


@dataclass(frozen=True)
class Compared:
    """All that the comparison shows of one run.

    Attributes:
        curve: The best trial's reports by column; None if there is no best trial.
        hand_tuned: What the best hand-tuned settings reached in this run, in words.
        fresh: What the best settings reached on fresh seeds, in words.
        own: What the experiment's own page needs of the run.
    """

    run: Run
    page: Page
    title: str
    answer: Answer | None
    curve: dict[str, Any] | None
    hand_tuned: str
    fresh: Fresh
    own: Any


@dataclass(frozen=True)
class Group:
    """The runs of one experiment, at least two, with what is shown of them.

    Attributes:
        pairs: Every two runs of the same task.
        alone: The runs that are compared with no other, and why.
    """

    section: Section
    runs: list[Compared]
    plots: dict[str, Plot]
    pairs: list[Pair]
    alone: list[tuple[Run, str]]


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
    return Compared(
        run=run,
        page=page,
        title=page.title(run),
        answer=page.answer(run),
        curve=curve,
        hand_tuned=hand_tuned(run, page),
        fresh=fresh(run),
        own=page.compared(run),
    )


def hand_tuned(run: Run, page: Page) -> str:
    """What the best of the hand-tuned settings reached in this run; empty if none were tried."""
    row, metric = best_hand_tuned(run, page.result(run)), page.result(run)
    if row is None:
        return ""
    return f"{row['baseline']}: {number(row[metric])} at step {number(row['step'])}"


def compare(runs: list[Compared], names: Mapping[Path, str], folder: Path) -> list[Group]:
    """The experiments that have at least two runs, their figures drawn into ``folder``.

    ``names``: what each run is called, by its path.
    """

    def kind(one: Compared) -> tuple[str, str]:
        return one.run.experiment, type(one.page).__module__

    groups: list[Group] = []
    for _, found in groupby(sorted(runs, key=kind), key=kind):
        same = list(found)
        if len(same) > 1:
            section = same[0].page.section(same, folder)
            drawn = best_curves(same, names, f"best-{len(groups)}", folder)
            versus = compare_runs([one.run for one in same], same[0].page.of_the_answer)
            told_apart = zip(versus.pairs, versus.tasks, strict=True)
            pairs = [shown_pair(pair, task) for pair, task in told_apart]
            groups.append(Group(section, same, drawn, pairs, versus.alone))
    return groups


def best_curves(
    runs: list[Compared], names: Mapping[Path, str], name: str, folder: Path
) -> dict[str, Plot]:
    """The interactive figure of each run's best trial, by its ``name``; empty if there are not two.

    Its scripts are written into ``folder``.
    """
    best = {names[one.run.path]: one.curve for one in runs if one.curve is not None}
    run, page = runs[0].run, runs[0].page
    lines = zip(best.items(), cycle(SERIES), strict=False)
    named = {run_name: ({"color": color}, curve) for (run_name, curve), color in lines}
    drawn = [
        (column, curves(named, page.axis(run, "step"), page.axis(run, column)))
        for column in page.comparable(run)
    ]
    variants = write_variants(name, drawn, folder) if len(best) > 1 else {}
    alt = f"The best trial's curve of {', '.join(best)}."
    return {name: Plot("The best trial of each run", alt, variants)} if variants else {}
