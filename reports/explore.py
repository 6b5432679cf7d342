"""The interactive part of a run's page: each figure that the run has the data for."""

import html
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from optuna.distributions import BaseDistribution

from records.outcome import outcome_of
from records.run import Run
from records.tables import stretches
from reports import evidence
from reports.content import attempt, number, scales, settings
from reports.experiments.default import Page
from reports.figures import from_optuna, interactive
from reports.figures.scripts import Drawn, Plot, write_variants
from reports.figures.traces import WORDS, Axis
from search_spaces.unit_scale import place

FOLDER = "figures"
OVER_ALL = ("importances", "path", "beside-random")
"""Figures without a point for each trial, which the page's filter leaves as they are."""


class Explorer:
    """Draws the interactive figures of ``run``."""

    def __init__(self, run: Run, page: Page) -> None:
        self.run, self.page = run, page
        self.y = page.axis(run, run.metric)
        self.cost = page.axis(run, run.time_attr)
        self.trials = run.trials.assign(
            **{WORDS: [self._words(row) for _, row in run.trials.iterrows()]}
        )

    def _words(self, row: "pd.Series[Any]") -> str:
        ended = row["ended"]
        lines = (
            f"trial {row['number']}: {outcome_of(None if pd.isna(ended) else ended).words}",
            settings(self.run, row),
            f"{self.y.title} {number(row.get(self.y.column), 4)}",
        )
        return "<br>".join(map(html.escape, lines))

    def write(self, folder: Path) -> dict[str, Plot]:
        """Write every figure that the run has the data for under ``folder``; returns them by name.

        A figure that cannot be drawn is named in the run's notes.
        """
        plots: dict[str, Plot] = {}
        if self.trials.empty:
            return plots
        (folder / FOLDER).mkdir(exist_ok=True)
        for name, draw in self._figures().items():
            if drawn := attempt(self.run, f"the figure “{name}” cannot be drawn", draw):
                title, alt, figures = drawn
                if variants := write_variants(f"{FOLDER}/{name}", figures, folder):
                    plots[name] = Plot(title, alt, variants, name not in OVER_ALL)
        return plots

    def _figures(self) -> dict[str, Callable[[], Drawn | None]]:
        run, y = self.run, self.y
        return {
            "history": self._history,
            "curves-of-all": self._curves,
            "timeline": self._timeline,
            "rungs": self._rungs,
            "importances": partial(evidence.importances, run),
            "path": partial(evidence.path, run, y),
            "slices": self._slices,
            "rank": self._rank,
            "parallel": self._parallel,
            "coverage": self._coverage,
            "pareto": self._pareto,
            "curse": partial(evidence.winners_curse, run, self.page),
            "audit": partial(evidence.audit, run, y),
            "beside-random": partial(evidence.beside_random, run, y),
        }

    def _history(self) -> Drawn:
        trials = self.trials.sort_values("number")
        cost = self.cost if self.cost.column in trials else self.page.axis(self.run, "step")
        spent, minutes = (
            f"{cost.title} so far, over all trials",
            "minutes since the first trial began",
        )
        since = (trials["finished"] - trials["started"].min()) / 60
        trials = trials.assign(**{spent: trials[cost.column].fillna(0).cumsum(), minutes: since})
        axes = (
            ("trials", Axis("number", "trial")),
            (cost.title, Axis(spent, spent)),
            ("wall clock", Axis(minutes, minutes)),
        )
        best, minimizes = self.run.best, self.run.minimizes
        drawn = [
            (words, interactive.history(trials, x, self.y, best, minimizes)) for words, x in axes
        ]
        alt = f"{self.y.title} of every trial in the order of the search, and the best so far."
        return "The search's progress", alt, drawn

    def _curves(self) -> Drawn:
        histories = self.run.histories
        metrics = dict.fromkeys((*self.page.measured(self.run), self.run.metric))
        x = self.cost if self.cost.column in histories else self.page.axis(self.run, "step")
        drawn = []
        for column in metrics:
            if column in histories:
                y = self.page.axis(self.run, column)
                figure = interactive.all_curves(histories, self.trials, x, y, self.run.best)
                drawn.append((column, figure))
        alt = "Every trial's curve, coloured by the trial's outcome."
        return "Learning curves of all trials", alt, drawn

    def _timeline(self) -> Drawn:
        alt = "A bar for each stretch in which a trial was at work, coloured by its outcome."
        figure = interactive.timeline(self.trials, stretches(self.run))
        return "Which trial ran when", alt, [("", figure)]

    def _rungs(self) -> Drawn | None:
        ended = {one.number: one for one in self.run.finished}
        found = [
            {
                "number": number,
                "baseline": ended[number].config.get("baseline") if number in ended else None,
                self.y.column: value,
                interactive.RUNG: rung,
                interactive.STOPPED: number in ended and ended[number].stopped_at(rung),
            }
            for rung in self.run.search.get("rungs", [])
            for number, value in self.run.at_rung(rung).items()
        ]
        if not found:
            return None
        table = pd.DataFrame(found)
        alt = f"{self.y.title} of every trial at each rung that it reached, and which were stopped."
        return (
            "Rungs",
            alt,
            [("", interactive.rungs(table, self.cost.title, self.y, self.run.best))],
        )

    def _slices(self) -> Drawn:
        drawn = []
        for name, scale in scales(self.run).items():
            if self.trials[name].notna().any():
                x = Axis(name, name, scale == "log")
                figure = interactive.scatter(self.trials, x, self.y, self.run.best)
                drawn.append((name, figure))
        alt = f"{self.y.title} of every trial against one setting at a time."
        return "Against each setting", alt, drawn

    def _plane(self) -> tuple[Axis, Axis] | None:
        """The first two settings that are searched on a logarithmic scale."""
        log = [Axis(name, name, True) for name, scale in scales(self.run).items() if scale == "log"]
        return (log[0], log[1]) if len(log) > 1 else None

    def _rank(self) -> Drawn | None:
        if not (plane := self._plane()):
            return None
        title = f"{plane[0].title} × {plane[1].title}, by rank"
        figure = interactive.rank(self.trials, *plane, self._ranks(), self.run.best)
        alt = f"Every trial in the plane of {title}; whole trials are before those stopped early."
        return title, alt, [("", figure)]

    def _ranks(self) -> "pd.Series[float]":
        return self.trials["number"].map(self.run.ranks)

    @property
    def _plane_shows_all(self) -> bool:
        """Whether the figure of two settings has all that a figure of all settings has."""
        return not self.run.varied or (len(self.run.varied) == 2 and self._plane() is not None)

    def _parallel(self) -> Drawn | None:
        if self._plane_shows_all:
            return None
        better_than = 1 - self._ranks() / max(1, len(self.run.ranks))
        places = self._places().assign(**{f"{self.y.title} (rank)": better_than})
        figure = interactive.parallel(self.trials, places, self.run.best)
        alt = "A line for each trial through the place of each of its settings in the range."
        return "All settings of all trials", alt, [("", figure)]

    def _coverage(self) -> Drawn | None:
        if self._plane_shows_all:
            return None
        alt = "Where in its range every parameter was tried, a mark for each trial."
        figure = interactive.coverage(self.trials, self._places())
        return "How the space was covered", alt, [("", figure)]

    def _pareto(self) -> Drawn | None:
        if len(self.run.objectives) != 2:
            return None
        words = " and ".join(one.metric.replace("_", " ") for one in self.run.objectives)
        alt = f"Every whole trial by {words}; no trial beats those on the front in both."
        return f"Pareto front: {words}", alt, [("", from_optuna.front(self.run))]

    def _places(self) -> pd.DataFrame:
        """Where each setting lies in its range, 0 to 1, a column for each parameter."""
        table = {
            name: self.trials[name].map(partial(_place, parameter.distribution)).astype(float)
            for name, parameter in self.run.parameters.items()
        }
        return pd.DataFrame(table, index=self.trials.index)


def _place(distribution: BaseDistribution, value: Any) -> float | None:
    """Where a setting lies in its range; choices without order are spread evenly."""
    if pd.isna(value):
        return None
    choices = [str(one) for one in getattr(distribution, "choices", ())]
    found = place(value, distribution)
    if found is None and str(value) in choices:
        return choices.index(str(value)) / max(1, len(choices) - 1)
    return found
