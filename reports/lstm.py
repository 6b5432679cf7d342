"""What an LSTM run's page shows: learning curves beside hand-tuning and the other model, fresh seeds, the lr x max_norm map."""

from pathlib import Path
from typing import Any

import pandas as pd

from reports import figures
from reports.content import Answer, Content, Picture, answer, save, scales, settings, share
from reports.figures import Curve
from reports.run import Run

MEASURED = ("accuracy", "loss")
"""What a report measures, in the order in which a reader wants it."""

PICTURES = ("curves", "map", "slices", "confirmation")
TRIAL_FIGURES = (
    "accuracy", "mean_accuracy", "log_work", "test_accuracy", "loss", "steps_to_converge", "work_to_converge",
)  # fmt: skip
LEGIBLE = 3
"""Settings, at most, that a legend has room for."""

OBJECTIVES = ("mean_accuracy", "log_work")
"""Of these, a trial's table shows the one that was searched for."""


def run_answer(run: Run) -> Answer | None:
    return answer(run, selected="accuracy", show=share)


def content(run: Run, companions: list[Run], folder: Path) -> Content:
    """Draw the run's pictures into ``folder``; the other model's best comes from ``companions``."""
    other = other_model(run, companions)
    return Content(
        template="lstm.html",
        front_page="curves",
        pictures=pictures(run, other, folder),
        figures=[name for name in TRIAL_FIGURES if name in run.trials and (name not in OBJECTIVES or name == run.objective)],
        extra={"other": other, "beside": run_answer(other) if other else None},
    )


def pictures(run: Run, other: Run | None, folder: Path) -> dict[str, Picture | None]:
    drawn: dict[str, Picture | None] = dict.fromkeys(PICTURES)
    if run.trials.empty:
        return drawn
    known = run.trials.dropna(subset=["known"])
    by_hand = [
        Curve(label(row["known"], run, row), reports)
        for _, row in known.iterrows()
        if not (reports := run.reports(row["number"])).empty
    ]
    curves = [*by_hand, best_curve(other), best_curve(run)]
    if any(curves):
        figure = figures.learning_curves(by_hand, best_curve(other), best_curve(run), run.title)
        words = "; ".join(f"{c.label}: accuracy {c.reports['accuracy'].iloc[-1]:.2f}" for c in curves if c)
        drawn["curves"] = save(figure, folder, "curves", f"Loss and accuracy over training steps. {words}.")
    if {"lr", "max_norm", "steps_to_converge"} <= set(run.trials):
        title = f"{run.title}: {len(run.trials)} trials in the lr × max_norm plane"
        figure = figures.parameter_map(run.trials, run.best, title)
        drawn["map"] = save(figure, folder, "map", f"{title}, by how each ended.")
    if len(run.varied) > 2 and run.objective in run.trials:
        title = f"{run.objective} of every trial, against each setting"
        figure = figures.parameter_slices(run.trials, scales(run), run.best, run.objective, title, log=False)
        drawn["slices"] = save(figure, folder, "slices", f"{title}, marked by how the trial ended.")
    winner = confirmed_reports(run)
    if winner:
        title = "The best settings on fresh seeds"
        figure = figures.confirmation_curves(winner, run.search["goal"]["bound"], title)
        drawn["confirmation"] = save(figure, folder, "confirmation", f"{title}: held-out accuracy.")
    return drawn


def other_model(run: Run, companions: list[Run]) -> Run | None:
    """The latest run of the other model at the same length, to set beside this one."""
    fixed = run.search["fixed"]

    def is_beside(other: Run) -> bool:
        theirs = other.search["fixed"]
        if other.search["experiment"] != "lstm" or theirs["input_length"] != fixed["input_length"]:
            return False
        try:
            return theirs["model"] != fixed["model"] and run_answer(other) is not None and best_curve(other) is not None
        except Exception:  # a damaged run spoils no other's page; its own says what is wrong
            return False

    return next((other for other in reversed(companions) if is_beside(other)), None)


def best_curve(run: Run | None) -> Curve | None:
    """The winner's learning curve, or None where there is none to draw."""
    if run is None or run.best is None or run.reports(run.best).empty:
        return None
    row = run.trials[run.trials["number"] == run.best].iloc[0]
    model = str(run.search["fixed"]["model"]).upper()
    return Curve(label(f"{model}, best", run, row), run.reports(run.best))


def label(name: str, run: Run, row: "pd.Series[Any]") -> str:
    """A curve's name with its settings, where these are few enough to be read there."""
    return f"{name}: {settings(run, row)}" if len(run.varied) <= LEGIBLE else f"{name} (trial {row['number']})"


def confirmed_reports(run: Run) -> dict[int, pd.DataFrame]:
    """The winner's reports on every fresh seed, by seed."""
    table = run.confirmations
    if table.empty or run.best is None:
        return {}
    mine = table[table["confirms"] == run.best]
    reports = {int(row["seed"]): run.confirmation_reports(int(row["number"])) for _, row in mine.iterrows()}
    return {seed: rows for seed, rows in reports.items() if not rows.empty}
