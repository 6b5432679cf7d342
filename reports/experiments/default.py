"""The page that any run has: learning curves, slices and fresh seeds, drawn from whatever its
trials report.

An experiment that wants more derives a class ``Page`` from this one, in a file of its own name in
this folder. Its templates extend ``run.html`` and lie here too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from records.run import Run
from records.tables import is_taken
from records.versus_baseline import versus_baseline
from reports.content import Answer, Picture, answer, save, scales, settings
from reports.figures import printed
from reports.figures.printed import Curve
from reports.figures.traces import Axis

BOOKKEEPING = ("number", "step", "timestamp", "time_this_iter_s", "ended")
"""Columns of a report that measure nothing."""
TO_CONVERGE = ("steps_to_converge", "work_to_converge")
MOST_PANELS = 4
LEGIBLE = 3
"""Settings, at most, that a legend has room for."""

Pictures = dict[str, Callable[[], Picture | None]]
"""What draws each picture of a page, by the picture's name; None if there is nothing to draw."""
WIDE = 100.0


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
        logarithmic: Metrics that are drawn on a logarithmic scale; None: see ``is_logarithmic``.
        of_the_answer: The script's options that are part of the answer and not of the task, such as
            a choice between two models: runs that differ only in these are compared.
    """

    template: ClassVar[str] = "run.html"
    front_page: ClassVar[str] = "curves"
    costs: ClassVar[Mapping[str, str]] = {"step": "training steps"}
    logarithmic: ClassVar[tuple[str, ...] | None] = None
    of_the_answer: ClassVar[tuple[str, ...]] = ()

    def suits(self, run: Run) -> bool:
        """Whether the run has what this page reads, and not only the experiment's name."""
        return True

    def title(self, run: Run) -> str:
        """What was searched, for a reader."""
        return run.experiment.replace("_", " ")

    def measured(self, run: Run) -> list[str]:
        """The columns of a report that have learning curves, the most telling first."""
        most = run.histories.groupby("number").count().max()
        return [name for name in self.numbers(run) if most[name] > 1]

    def comparable(self, run: Run) -> list[str]:
        """Those of ``measured`` that compare with other runs of the experiment."""
        return self.measured(run)

    def columns(self, run: Run) -> list[str]:
        """The metrics in the table of trials, the objective first."""
        return [name for name in self.numbers(run) if not is_taken(run, name)]

    def numbers(self, run: Run) -> list[str]:
        """Every number that a trial reported, the objective first."""
        table = run.histories.drop(columns=[name for name in BOOKKEEPING if name in run.histories])
        numbers = [str(name) for name in table.select_dtypes("number") if table[name].notna().any()]
        return sorted(numbers, key=lambda name: name != run.metric)

    def axis(self, run: Run, column: str) -> Axis:
        """How a metric or a cost is drawn."""
        title = self.costs.get(column, column.replace("_", " "))
        return Axis(column, title, self.is_logarithmic(run, column))

    def is_logarithmic(self, run: Run, column: str) -> bool:
        """Whether a metric or a cost is drawn on a logarithmic scale.

        A page with a list ``logarithmic`` says so itself. A run does not say it: ``search.json``
        has a scale for each setting and none for a metric. So the default page draws
        ``TO_CONVERGE`` on a logarithmic scale, and each column whose reported values are all
        positive and differ by more than a factor of ``WIDE``.
        """
        if self.logarithmic is not None:
            return column in self.logarithmic
        if column not in run.histories or column in TO_CONVERGE:
            return column in TO_CONVERGE
        values = pd.to_numeric(run.histories[column], errors="coerce")
        return bool(values.min() > 0 and values.max() > WIDE * values.min())

    def result(self, run: Run) -> str:
        """The metric that tells a trial's result in a sentence."""
        return run.metric

    def answer(self, run: Run) -> Answer | None:
        """The winner and its fresh seeds in words."""
        return answer(run, self.result(run))

    def pictures(self, run: Run, companions: list[Run], folder: Path) -> Pictures:
        """The printed figures, drawn into ``folder``.

        ``companions``: other runs that may be drawn in the same figures.
        """
        return {
            "curves": lambda: self.curves(run, folder),
            "slices": lambda: slices(run, self.axis(run, run.metric), folder),
            "confirmation": lambda: self.confirmation(run, run.metric, folder),
        }

    def curves(self, run: Run, folder: Path) -> Picture | None:
        """The learning curves of the best trial and of hand-tuned settings."""
        axes = [self.axis(run, column) for column in self.measured(run)[:MOST_PANELS]]
        hand_tuned, best = hand_tuned_curves(run), best_curve(run, "best")
        if not axes or not (hand_tuned or best):
            return None
        steps = self.axis(run, "step")
        draw = partial(printed.curves, hand_tuned, best, steps, axes, self.title(run))
        alt = f"{', '.join(axis.title for axis in axes)} over training steps."
        return save(draw(), folder, "curves", alt, draw(narrow=True))

    def confirmation(
        self, run: Run, column: str, folder: Path, lines: Mapping[str, float] | None = None
    ) -> Picture | None:
        """The curves of the metric ``column`` on fresh seeds: the winner's, and those of the
        settings that it is compared with.

        ``lines``: values to mark besides the goal, by their words.
        """
        reports, beside = confirmed_reports(run, run.best, column), {}
        if not reports:
            return None
        if versus := versus_baseline(run):
            other = versus.beside_winner
            name = str(other.config.get("baseline", f"trial {other.number}"))
            beside[name] = confirmed_reports(run, other.number, column)
        axis, marked = self.axis(run, column), dict(lines or {})
        if run.goal.metric in (column, f"test_{column}"):
            marked = {f"goal {run.goal.bound:g}": run.goal.bound, **marked}
        title = "The best settings on fresh seeds"
        figure = printed.confirmation_curves(reports, beside, axis, marked, title)
        return save(figure, folder, "confirmation", f"{title}: {axis.title}.")

    def extra(self, run: Run, companions: list[Run]) -> dict[str, Any]:
        """What else the template reads."""
        return {}

    def compared(self, run: Run) -> Any:
        """What ``section`` needs of the run, read while the run's own page is built."""
        return None

    def section(self, runs: list[Any], folder: Path) -> Section:
        """The part of the comparison that shows these runs (``comparison.Compared``).

        Its pictures are drawn into ``folder``.
        """
        return Section(self.title(runs[0].run), "compared.html", {})


def slices(run: Run, axis: Axis, folder: Path) -> Picture | None:
    """The metric of ``axis`` against each setting; None if no trial or no setting has a value."""
    if not run.varied or axis.column not in run.trials or run.trials[axis.column].isna().all():
        return None
    words = f"{axis.title} of every trial, against each setting"
    figure = printed.parameter_slices(run.trials, scales(run), run.best, axis, words)
    return save(figure, folder, "slices", f"{words}, marked by the trial's outcome.")


def hand_tuned_curves(run: Run) -> list[Curve]:
    """The learning curves of the baselines that have reported."""
    return [
        Curve(label(str(row["baseline"]), run, row), reports)
        for _, row in run.trials.dropna(subset=["baseline"]).iterrows()
        if not (reports := run.reports(row["number"])).empty
    ]


def best_hand_tuned(run: Run, metric: str) -> "pd.Series[Any] | None":
    """The hand-tuned trial that came best by its last value of the metric."""
    if metric not in run.trials:
        return None
    known = run.trials.dropna(subset=["baseline", metric])
    ranked = known.sort_values(metric, ascending=run.smaller_is_better(metric))
    return None if known.empty else ranked.iloc[0]


def best_curve(run: Run, name: str) -> Curve | None:
    """The winner's learning curve, or None if there is none to draw."""
    if run.best is None or run.reports(run.best).empty:
        return None
    row = run.trials[run.trials["number"] == run.best].iloc[0]
    return Curve(label(name, run, row), run.reports(run.best))


def label(name: str, run: Run, row: "pd.Series[Any]") -> str:
    """A curve's name with its settings, if these are few enough to be read there."""
    few = len(run.varied) <= LEGIBLE
    return f"{name}: {settings(run, row)}" if few else f"{name} (trial {row['number']})"


def confirmed_reports(run: Run, trial: int | None, column: str) -> dict[int, pd.DataFrame]:
    """The reports of a trial's settings on every fresh seed that have ``column``, by seed."""
    table = run.confirmations
    if table.empty or trial is None:
        return {}
    mine = table[table["confirms"] == trial]
    reports = {
        int(row["seed"]): run.confirmation_reports(int(row["number"])) for _, row in mine.iterrows()
    }
    return {seed: rows for seed, rows in reports.items() if column in rows}
