"""The interactive part of a run's page: its figures, each written as a script that the page loads
when it is looked at.

A page opened from a disk may not fetch data, so a figure's data come as a script that hands them to
``static/report.js``.
"""

import html
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from records.checks.ablation import seed_noise, stages
from records.checks.early_stopping import let_run_on
from records.checks.fresh_seeds import selected_and_confirmed
from records.checks.statistics import mean_interval
from records.checks.what_mattered import importances_by_budget
from records.outcome import COMPLETE, STOPPED_EARLY
from records.run import Run
from records.tables import stretches
from reports.content import number, scales, settings
from reports.experiments.default import Page
from reports.figures import from_optuna, interactive
from reports.figures.interactive import Axis, Figure
from search_spaces.unit_scale import place

FOLDER = "figures"


@dataclass(frozen=True)
class Plot:
    """An interactive figure on a page.

    Attributes:
        variants: What it can be shown against or for, by the words of the choice; each a script's
            path less its ending.
        alt: What it shows, for who cannot see it.
        filtered: Whether its points are trials, which the page's filter hides and shows.
    """

    title: str
    alt: str
    variants: dict[str, str]
    filtered: bool = True


@dataclass
class Explorer:
    """Writes the interactive figures of ``run`` under ``folder``; what cannot be drawn is named in the run's notes."""

    run: Run
    folder: Path
    page: Page
    plots: dict[str, Plot] = field(default_factory=dict)

    def __post_init__(self) -> None:
        trials = self.run.trials
        self.y = self.page.axis(self.run, self.run.metric)
        self.cost = self.page.axis(self.run, self.run.time_attr)
        words = [
            f"trial {row['number']}: {row['ended'] or 'still running'}<br>{settings(self.run, row)}<br>"
            f"{self.y.title} {number(row.get(self.y.column), 4)}"
            for _, row in trials.iterrows()
        ]
        self.words = pd.Series(
            [html.escape(text).replace("&lt;br&gt;", "<br>") for text in words],
            trials.index,
            dtype=object,
        )

    def write(self) -> dict[str, Plot]:
        """Every figure that the run has the data for, by name."""
        if self.run.trials.empty:
            return {}
        (self.folder / FOLDER).mkdir(exist_ok=True)
        for name, draw in self._figures():
            try:
                draw(name)
            except Exception as error:  # files that were cut off or changed by hand hold whatever they happen to hold
                self.run.note(
                    f"the figure “{name}” cannot be drawn from what is there ({type(error).__name__}: {error})"
                )
        return self.plots

    def _figures(self) -> Iterator[tuple[str, Callable[[str], None]]]:
        yield "history", self._history
        yield "curves-of-all", self._curves
        yield "timeline", self._timeline
        yield "rungs", self._rungs
        yield "importances", self._importances
        yield "path", self._path
        yield "slices", self._slices
        yield "contour", self._contour
        yield "rank", self._rank
        yield "parallel", self._parallel
        yield "coverage", self._coverage
        yield "pareto", self._pareto
        yield "curse", self._curse
        yield "audit", self._audit

    def _history(self, name: str) -> None:
        trials = self.run.trials.sort_values("number")
        cost = self.run.time_attr if self.run.time_attr in trials else "step"
        begin = trials["started"].min()
        trials = trials.assign(
            spent=trials[cost].fillna(0).cumsum(),
            minutes=(trials["finished"] - begin) / 60,
        )
        axes = {
            "trials": Axis("number", "trial"),
            self.page.axis(self.run, cost).title: Axis(
                "spent", f"{self.page.axis(self.run, cost).title} so far, over all trials"
            ),
            "wall clock": Axis("minutes", "minutes since the first trial began"),
        }
        drawn = {
            label: interactive.history(
                trials,
                x,
                self.y,
                self.words,
                self.run.best,
                lambda ended: ended in COMPLETE,
                self.run.minimizes,
            )
            for label, x in axes.items()
        }
        alt = f"{self.y.title} of every trial in the order in which they came, and the best so far."
        self._keep(name, "The search's progress", alt, drawn)

    def _curves(self, name: str) -> None:
        shown = [
            one
            for one in dict.fromkeys((*self.page.measured(self.run), self.run.metric))
            if one in self.run.histories
        ]
        x = (
            self.cost
            if self.run.time_attr in self.run.histories
            else self.page.axis(self.run, "step")
        )
        drawn = {
            column.replace("_", " "): interactive.all_curves(
                self.run.histories,
                self.run.trials,
                x,
                self.page.axis(self.run, column),
                self.run.best,
            )
            for column in shown
        }
        self._keep(
            name,
            "Learning curves of all trials",
            "Every trial's curve, coloured by how it ended.",
            drawn,
        )

    def _timeline(self, name: str) -> None:
        figure = interactive.timeline(self.run.trials, stretches(self.run), self.words)
        alt = "A bar for each stretch that a trial was at work, coloured by how the trial ended; between two it waited."
        self._keep(name, "Which trial ran when", alt, {"": figure})

    def _rungs(self, name: str) -> None:
        cost, histories = self.run.time_attr, self.run.histories
        if cost not in histories:
            return
        ends = self.run.trials.set_index("number")
        found = []
        for rung in self.run.search.get("rungs", []):
            there = histories[histories[cost] >= rung].groupby("number").first()
            last = ends[cost].reindex(there.index)
            stopped = (ends["ended"].reindex(there.index) == STOPPED_EARLY.name) & (
                there[cost] >= last
            )
            found.append(
                pd.DataFrame(
                    {"rung": rung, self.y.column: there[self.y.column], "stopped": stopped}
                ).reset_index()
            )
        table = pd.concat(found).dropna() if found else pd.DataFrame()
        if not table.empty:
            figure = interactive.rungs(table, self.cost.title, self.y)
            self._keep(
                name,
                "Rungs",
                "What every trial had come to at each rung that it reached, and which were stopped.",
                {"": figure},
            )

    def _importances(self, name: str) -> None:
        shares = importances_by_budget(self.run)
        if shares:
            told = "; ".join(
                f"{budget}: {max(found, key=lambda one: found[one])} first"
                for budget, found in shares.items()
            )
            self._keep(
                name, "What decided, at each budget", f"PED-ANOVA's share of each parameter. {told}.",
                {"": interactive.importances(shares)}, filtered=False,
            )  # fmt: skip

    def _slices(self, name: str) -> None:
        drawn = {
            parameter: interactive.scatter(
                self.run.trials,
                Axis(parameter, parameter, scale == "log"),
                self.y,
                self.words,
                self.run.best,
            )
            for parameter, scale in scales(self.run).items()
            if self.run.trials[parameter].notna().any()
        }
        self._keep(
            name,
            "Against each setting",
            f"{self.y.title} of every trial against one setting at a time.",
            drawn,
        )

    def _path(self, name: str) -> None:
        evidence = self.run
        places = [(one.changed, evidence.value(one.loss)) for one in stages(evidence)]
        if places:
            alt = "; ".join(
                f"{changed or 'hand-tuned'}: {number(figure)}" for changed, figure in places
            )
            title = "From the hand-tuned settings to the winner's, one change at a time"
            figure = interactive.path(places, seed_noise(evidence), self.y)
            self._keep(
                name,
                title,
                f"{self.y.title} after each change. {alt}.",
                {"": figure},
                filtered=False,
            )

    def _contour(self, name: str) -> None:
        plane = self._plane()
        if plane:
            figure = from_optuna.contour(self.run, *plane, self.y)
            shown = sum(len(trace["meta"]["trials"]) for trace in figure.data if "meta" in trace)
            title = f"{plane[0].title} × {plane[1].title}: {self.y.title} of {shown} whole trials, filled in between"
            self._keep(
                name,
                title,
                f"A contour of {self.y.title} over {plane[0].title} and {plane[1].title}.",
                {"": figure},
            )

    def _pareto(self, name: str) -> None:
        if len(self.run.objectives) == 2:
            words = " and ".join(one.metric.replace("_", " ") for one in self.run.objectives)
            alt = f"Every whole trial by {words}; those on the front are beaten by none in both."
            self._keep(name, f"Pareto front: {words}", alt, {"": from_optuna.front(self.run)})

    def _curse(self, name: str) -> None:
        evidence = self.run
        if evidence.winner is None or evidence.goal is None or evidence.objective is None:
            return
        metric, selected, confirmed = selected_and_confirmed(
            evidence, evidence.objective, evidence.goal
        )
        if selected is None or len(confirmed) < 2:
            return
        y = self.page.axis(self.run, metric)
        better_half = evidence.complete[: math.ceil(len(evidence.complete) / 2)]
        rows = [(one.number, one.last.get(metric)) for one in better_half]
        searched = pd.DataFrame(rows, columns=["number", metric]).dropna()
        figure = interactive.winners_curse(
            searched, selected, confirmed, mean_interval(confirmed), y
        )
        alt = f"{y.title}: {number(selected, 4)} where selected, {number(sum(confirmed) / len(confirmed), 4)} on fresh seeds."
        self._keep(name, "Was the winner lucky?", alt, {"": figure})

    def _audit(self, name: str) -> None:
        value = self.run.value
        audited, others = let_run_on(self.run)
        rows = []
        for one in audited:
            there = one.curve[one.curve[:, 0] >= float(one.audited or 0)]
            if len(there):
                rows.append((one.number, value(float(there[0, 1])), value(one.loss)))
        if rows:
            figure = interactive.audit(
                pd.DataFrame(rows, columns=["number", "there", "in_the_end"]),
                value(others[0].loss) if others else None,
                self.y,
            )
            alt = f"{len(rows)} trials that early stopping would have ended, and what they came to."
            self._keep(name, "What early stopping would have ended", alt, {"": figure})

    def _plane(self) -> tuple[Axis, Axis] | None:
        """The two settings that the plane is drawn over: the first two that are searched on a logarithmic scale."""
        log = [one for one, scale in scales(self.run).items() if scale == "log"]
        return (Axis(log[0], log[0], True), Axis(log[1], log[1], True)) if len(log) > 1 else None

    def _rank(self, name: str) -> None:
        plane = self._plane()
        if plane:
            figure = interactive.rank(
                self.run.trials, *plane, self.y.column, self.run.minimizes, self.words
            )
            title = f"{plane[0].title} × {plane[1].title}, by rank"
            self._keep(name, title, f"Every trial in the plane of {title}.", {"": figure})

    def _parallel(self, name: str) -> None:
        places = self._places()
        ranks = self.run.trials[self.y.column].rank(ascending=not self.run.minimizes, pct=True)
        figure = interactive.parallel(
            self.run.trials,
            places.assign(**{f"{self.y.title} (rank)": ranks}),
            self.words,
            self.run.best,
        )
        self._keep(
            name,
            "All settings of all trials",
            "A line a trial through the place of each of its settings.",
            {"": figure},
        )

    def _coverage(self, name: str) -> None:
        figure = interactive.coverage(self.run.trials, self._places(), self.words)
        self._keep(
            name,
            "How the space was covered",
            "Where in its range every parameter was tried, a mark a trial.",
            {"": figure},
        )

    def _places(self) -> pd.DataFrame:
        """Where every setting lies in its range, 0 to 1, a column a parameter; choices without order spread evenly."""
        table = {}
        for name, parameter in self.run.parameters.items():
            choices = [str(one) for one in getattr(parameter.distribution, "choices", ())]

            def lies(
                value: Any, distribution: Any = parameter.distribution, choices: list[str] = choices
            ) -> float | None:
                if pd.isna(value):
                    return None
                found = place(value, distribution)
                if found is None and str(value) in choices:
                    return choices.index(str(value)) / max(1, len(choices) - 1)
                return found

            table[name] = self.run.trials[name].map(lies).astype(float)
        return pd.DataFrame(table, index=self.run.trials.index)

    def _keep(
        self, name: str, title: str, alt: str, drawn: dict[str, Figure], filtered: bool = True
    ) -> None:
        variants = {}
        for at, (label, figure) in enumerate(drawn.items()):
            if figure.data:
                variants[label] = f"{FOLDER}/{name}-{at}" if len(drawn) > 1 else f"{FOLDER}/{name}"
                write_figure(figure, self.folder, variants[label])
        if variants:
            self.plots[name] = Plot(title, alt, variants, filtered)


def write_figure(figure: Figure, folder: Path, name: str) -> None:
    """A figure as the script ``name``.js that hands it to a page in ``folder``."""
    content = orjson.dumps(
        {"data": figure.data, "layout": figure.layout}, option=orjson.OPT_SERIALIZE_NUMPY
    ).decode()
    (folder / f"{name}.js").write_text(
        f"report.figure({json.dumps(name)}, {content});\n", encoding="utf-8"
    )
