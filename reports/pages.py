"""The pages: an index of the runs and a page for each, HTML from jinja2 with every value from a run escaped.

A page loads nothing from elsewhere and runs no script; its content security policy says so.
"""

import datetime
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from reports import figures
from reports.figures import Curve
from reports.run import Run
from reports.style import FATE_WORDS


@dataclass(frozen=True)
class Picture:
    """A figure as a file beside its page, with its alternative text."""

    file: str
    alt: str


def number(value: Any, digits: int = 3) -> str:
    """A figure with sensible digits: 0.00123, 12,300, 1.00; an em dash where there is none."""
    if value is None or pd.isna(value):
        return "—"
    if isinstance(value, str | bool):
        return str(value)
    if float(value).is_integer() and abs(value) >= 1:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def share(value: Any) -> str:
    """An accuracy as a percentage that never rounds up to 100%."""
    if value is None or pd.isna(value):
        return "—"
    return f"{int(value * 10_000) / 100:.2f}%"


def moment(seconds: float | None) -> str:
    """Seconds since 1970 as local date and time."""
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M") if seconds else "—"


def environment() -> Environment:
    pages = Environment(
        loader=PackageLoader("reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    pages.filters.update(number=number, share=share, moment=moment, fate=lambda ended: FATE_WORDS.get(ended, "still running"))
    return pages


class Site:
    """The report of several runs, written under ``output``. ``companions`` are runs that may be drawn beside them."""

    def __init__(self, runs: list[Run], companions: list[Run], output: Path) -> None:
        self.runs, self.companions, self.output = runs, companions, output
        self.templates = environment()

    def write(self, progress: Callable[[str], None]) -> Path:
        """Write every page; returns the index."""
        self.output.mkdir(parents=True, exist_ok=True)
        entries = []
        for run in self.runs:
            progress(run.name)
            entries.append(self._write_run(run))
        index = self.output / "index.html"
        self._render("index.html", index, {"entries": entries})
        return index

    def _write_run(self, run: Run) -> dict[str, Any]:
        folder = self.output / run.name
        folder.mkdir(exist_ok=True)
        other = self._other_model(run)
        entry = {
            "run": run,
            "answer": answer(run),
            "beside": answer(other) if other else None,
            "other": other,
            "pictures": self._pictures(run, other, folder),
            "fates": Counter(run.trials["ended"].fillna("running")).most_common() if not run.trials.empty else [],
            "trials": run.trials.to_dict("records"),
            "confirmations": confirmations(run),
            "figures": [name for name in TRIAL_FIGURES if name in run.trials],
        }
        self._render("run.html", folder / "index.html", {"entry": entry, **entry})
        return entry

    def _pictures(self, run: Run, other: Run | None, folder: Path) -> dict[str, Picture | None]:
        drawn: dict[str, tuple[Figure, str]] = {}
        pictures: dict[str, Picture | None] = dict.fromkeys(PICTURES)
        if run.trials.empty:
            return pictures
        known = run.trials.dropna(subset=["known"])
        by_hand = [
            Curve(f"{row['known']}: {settings(run, row)}", reports)
            for _, row in known.iterrows()
            if not (reports := run.reports(row["number"])).empty
        ]
        curves = [*by_hand, best_curve(other), best_curve(run)]
        if any(curves):
            figure = figures.learning_curves(by_hand, best_curve(other), best_curve(run), run.title)
            words = "; ".join(f"{c.label}: accuracy {c.reports['accuracy'].iloc[-1]:.2f}" for c in curves if c)
            drawn["curves"] = (figure, f"Loss and accuracy over training steps. {words}.")
        if {"lr", "max_norm", "steps_to_converge"} <= set(run.trials):
            title = f"{run.title}: {len(run.trials)} trials in the lr × max_norm plane"
            drawn["map"] = (figures.parameter_map(run.trials, run.best, title), f"{title}, by how each ended.")
        winner = confirmed_reports(run)
        if winner:
            title = "The best settings on fresh seeds"
            goal = run.search["goal"]["at_least"]
            drawn["confirmation"] = (figures.confirmation_curves(winner, goal, title), f"{title}: held-out accuracy.")
        for name, (figure, alt) in drawn.items():
            figure.savefig(folder / f"{name}.png")
            plt.close(figure)
            pictures[name] = Picture(f"{name}.png", alt)
        return pictures

    def _other_model(self, run: Run) -> Run | None:
        """The latest run of the other model at the same length, to set beside this one."""
        same = [
            other
            for other in self.companions
            if other.search["experiment"] == run.search["experiment"]
            and other.search["fixed"]["input_length"] == run.search["fixed"]["input_length"]
            and other.search["fixed"]["model"] != run.search["fixed"]["model"]
            and other.best is not None
        ]
        return same[-1] if same else None

    def _render(self, template: str, file: Path, content: dict[str, Any]) -> None:
        file.write_text(self.templates.get_template(template).render(content))


PICTURES = ("curves", "map", "confirmation")
"""What a run's page shows; one that cannot be drawn is None."""

TRIAL_FIGURES = ("accuracy", "mean_accuracy", "test_accuracy", "loss", "steps_to_converge")
"""Columns of the table of trials after the settings."""


def settings(run: Run, row: Any) -> str:
    """The varied settings of a trial in words."""
    return " ".join(f"{name}={number(row[name])}" for name in run.varied)


def best_curve(run: Run | None) -> Curve | None:
    """The winner's learning curve, or None where there is none to draw."""
    if run is None or run.best is None or run.reports(run.best).empty:
        return None
    row = run.trials[run.trials["number"] == run.best].iloc[0]
    model = str(run.search["fixed"]["model"]).upper()
    return Curve(f"{model}, best: {settings(run, row)}", run.reports(run.best))


def confirmations(run: Run) -> list[dict[str, Any]]:
    """Every confirmed candidate with its trials on fresh seeds, in the order tried."""
    table = run.confirmations
    if table.empty:
        return []
    return [
        {
            "trial": int(group["confirms"].iloc[0]),
            "settings": settings(run, group.iloc[0]),
            "rows": group.sort_values("seed").to_dict("records"),
        }
        for _, group in table.groupby("confirms", sort=False)
    ]


def confirmed_reports(run: Run) -> dict[int, pd.DataFrame]:
    """The winner's reports on every fresh seed, by seed."""
    table = run.confirmations
    if table.empty or run.best is None:
        return {}
    mine = table[table["confirms"] == run.best]
    reports = {int(row["seed"]): run.confirmation_reports(int(row["number"])) for _, row in mine.iterrows()}
    return {seed: rows for seed, rows in reports.items() if not rows.empty}


def answer(run: Run) -> dict[str, Any] | None:
    """The winner: its settings, its figure in the search and its figures on fresh seeds."""
    if run.best is None:
        return None
    row = run.trials[run.trials["number"] == run.best].iloc[0]
    goal = run.search["goal"]
    table = run.confirmations
    mine = table[table["confirms"] == run.best] if not table.empty else table
    whole = mine[goal["metric"]].dropna().tolist()
    steps = mine["steps_to_converge"].dropna().tolist() if "steps_to_converge" in mine else []
    return {
        "number": run.best,
        "settings": settings(run, row),
        "ended": row["ended"],
        "step": row["step"],
        "accuracy": row.get("accuracy"),
        "steps_to_converge": row.get("steps_to_converge"),
        "seeds": len(mine),
        "reached": sum(value >= goal["at_least"] for value in whole),
        "goal": goal["at_least"],
        "lowest": min(whole) if whole else None,
        "mean": sum(whole) / len(whole) if whole else None,
        "fastest": min(steps) if steps else None,
        "slowest": max(steps) if steps else None,
    }
