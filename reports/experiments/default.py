"""The page that any run has: learning curves, slices and fresh seeds, drawn from whatever its
trials report.

An experiment that wants more derives a class ``Page`` from this one, in the file of its name beside
this, and overrides what it shows otherwise. Its templates extend ``run.html`` and lie there too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from records.run import Run
from reports.content import Answer, Picture, answer, number, save, scales, settings, share
from reports.figures import printed
from reports.figures.interactive import Axis
from reports.figures.printed import Curve

BOOKKEEPING = ("number", "step", "timestamp", "time_this_iter_s", "ended")
"""Columns of a report that measure nothing."""
MOST_PANELS = 4
LEGIBLE = 3
"""Settings, at most, that a legend has room for."""
WIDE = 100.0
"""Positive values whose largest is so many times their smallest are drawn on a logarithmic scale."""


@dataclass(frozen=True)
class Section:
    """A part of the page that compares runs.

    Attributes:
        template: Included for it; it reads ``section``.
        content: What else the template reads.
    """

    title: str
    template: str
    content: Mapping[str, Any]


class Page:
    """What a run's page shows.

    Attributes:
        template: Of the page.
        front_page: The picture for the index, by its name among ``pictures``.
        costs: What the unit of a trial's cost is called, by its column.
        logarithmic: Metrics that are drawn on a logarithmic scale.
        percentages: Metrics that are printed as percentages.
    """

    template: ClassVar[str] = "run.html"
    front_page: ClassVar[str] = "curves"
    costs: ClassVar[Mapping[str, str]] = {"step": "training steps"}
    logarithmic: ClassVar[tuple[str, ...]] = ("steps_to_converge", "work_to_converge")
    percentages: ClassVar[tuple[str, ...]] = ()

    def title(self, run: Run) -> str:
        """What was searched, for a reader."""
        return run.experiment.replace("_", " ")

    def measured(self, run: Run) -> list[str]:
        """The columns of a report that learning curves are drawn of, the most telling first."""
        most = run.histories.groupby("number").count().max()
        return [name for name in self.columns(run) if most[name] > 1]

    def comparable(self, run: Run) -> list[str]:
        """Those of ``measured`` that compare with other runs of the experiment."""
        return self.measured(run)

    def columns(self, run: Run) -> list[str]:
        """The metrics in the table of trials, that which was searched for first."""
        table = run.histories.drop(columns=[name for name in BOOKKEEPING if name in run.histories])
        numbers = [str(name) for name in table.select_dtypes("number") if table[name].notna().any()]
        return sorted(numbers, key=lambda name: name != run.metric)

    def axis(self, run: Run, column: str) -> Axis:
        """How a metric or a cost is drawn."""
        log = column in self.logarithmic
        if column in run.histories and not log and type(self).measured is Page.measured:
            values = pd.to_numeric(run.histories[column], errors="coerce").dropna()
            log = bool(len(values) and values.min() > 0 and values.max() > WIDE * values.min())
        return Axis(column, self.costs.get(column, column.replace("_", " ")), log)

    def shown(self, column: str, value: Any) -> str:
        """A metric's value in a sentence."""
        return share(value) if column in self.percentages else number(value)

    def answer(self, run: Run) -> Answer | None:
        """The winner and its fresh seeds in words."""
        return answer(run, run.metric, self.shown)

    def pictures(self, run: Run, companions: list[Run], folder: Path) -> dict[str, Picture | None]:
        """The printed figures, drawn into ``folder``; None for what cannot be drawn. ``companions``: runs to draw beside it."""
        drawn: dict[str, Picture | None] = {"curves": None, "slices": None, "confirmation": None}
        if run.trials.empty:
            return drawn
        title, axes = (
            self.title(run),
            [self.axis(run, column) for column in self.measured(run)[:MOST_PANELS]],
        )
        hand_tuned = [
            Curve(label(str(row["baseline"]), run, row), reports)
            for _, row in run.trials.dropna(subset=["baseline"]).iterrows()
            if not (reports := run.reports(row["number"])).empty
        ]
        best = best_curve(run, "best")
        if axes and (hand_tuned or best):
            figure = printed.curves(hand_tuned, best, self.axis(run, "step"), axes, title)
            drawn["curves"] = save(
                figure,
                folder,
                "curves",
                f"{', '.join(axis.title for axis in axes)} over training steps.",
            )
        if run.metric in run.trials and run.trials[run.metric].notna().any():
            axis = self.axis(run, run.metric)
            words = f"{axis.title} of every trial, against each setting"
            figure = printed.parameter_slices(
                run.trials, scales(run), run.best, run.metric, words, log=axis.log
            )
            drawn["slices"] = save(
                figure, folder, "slices", f"{words}, marked by how the trial ended."
            )
        drawn["confirmation"] = self.confirmation(run, run.metric, folder)
        return drawn

    def confirmation(
        self, run: Run, column: str, folder: Path, lines: Mapping[str, float] | None = None
    ) -> Picture | None:
        """The winner's curves on fresh seeds. ``column``: the metric that is drawn; ``lines``: what else is marked."""
        reports = {seed: rows for seed, rows in confirmed_reports(run).items() if column in rows}
        if not reports or run.goal is None:
            return None
        own = (
            {f"goal {run.goal.bound:g}": run.goal.bound}
            if run.goal.metric in (column, f"test_{column}")
            else {}
        )
        axis = self.axis(run, column)
        figure = printed.confirmation_curves(
            reports, axis, {**own, **(lines or {})}, "The best settings on fresh seeds"
        )
        return save(
            figure, folder, "confirmation", f"The best settings on fresh seeds: {axis.title}."
        )

    def extra(self, run: Run, companions: list[Run]) -> dict[str, Any]:
        """What else the template reads."""
        return {}

    def compared(self, run: Run) -> Any:
        """What ``section`` needs of the run, read while its own page is built."""
        return None

    def section(self, runs: list[Any], folder: Path) -> Section:
        """The part of the comparison that shows these runs (``comparison.Compared``), its pictures drawn into ``folder``."""
        return Section(self.title(runs[0].run), "compared.html", {})


def best_curve(run: Run | None, name: str) -> Curve | None:
    """The winner's learning curve, or None if there is none to draw."""
    if run is None or run.best is None or run.reports(run.best).empty:
        return None
    row = run.trials[run.trials["number"] == run.best].iloc[0]
    return Curve(label(name, run, row), run.reports(run.best))


def label(name: str, run: Run, row: "pd.Series[Any]") -> str:
    """A curve's name with its settings, if these are few enough to be read there."""
    return (
        f"{name}: {settings(run, row)}"
        if len(run.varied) <= LEGIBLE
        else f"{name} (trial {row['number']})"
    )


def confirmed_reports(run: Run) -> dict[int, pd.DataFrame]:
    """The winner's reports on every fresh seed, by seed."""
    table = run.confirmations
    if table.empty or run.best is None:
        return {}
    mine = table[table["confirms"] == run.best]
    reports = {
        int(row["seed"]): run.confirmation_reports(int(row["number"])) for _, row in mine.iterrows()
    }
    return {seed: rows for seed, rows in reports.items() if not rows.empty}
