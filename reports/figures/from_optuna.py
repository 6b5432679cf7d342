"""Figures that Optuna draws, over a study of the run's own tables: a copied run needs no database.

Optuna's figures do not name the trial of a point, so that is added here for the page's filter
(see ``interactive``).
"""

import math
import re
import warnings

import optuna
import pandas as pd
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from records.finished_trial import FinishedTrial
from records.run import Run
from reports.figures.style import BEST, INK, MUTED
from reports.figures.traces import WORDS, Axis, Figure, digits, mark

FEWEST = 4
"""Trials that a contour needs."""
MOST = 100
"""Trials that a contour is drawn of. Its grid has a row and a column for each trial, and a browser
takes half a minute to draw 1,000."""


def study_of(run: Run, most: int | None = None) -> tuple[optuna.Study, list[int]]:
    """A study of the whole trials whose settings lie in the space, and their numbers.

    If there are more than ``most``, about as many are taken, evenly spread over the search, with
    the best one.
    """
    names = [one.metric for one in run.objectives]
    measured = [one for one in run.complete if all(pd.notna(one.last.get(name)) for name in names)]
    whole = sorted(measured, key=lambda one: one.number)
    every = math.ceil(len(whole) / most) if most else 1
    numbers, trials = [], []
    for place, one in enumerate(whole):
        taken = place % every == 0 or one.number == run.best
        if taken and (trial := _trial(run, one, names)):
            numbers.append(one.number)
            trials.append(trial)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    to = {"min": StudyDirection.MINIMIZE, "max": StudyDirection.MAXIMIZE}
    study = optuna.create_study(directions=[to[one.mode] for one in run.objectives])
    study.add_trials(trials)
    return study, numbers


def _trial(run: Run, one: FinishedTrial, names: list[str]) -> FrozenTrial | None:
    """The trial for a study; None if a baseline's settings lie outside the space."""
    kinds = {name: run.parameters[name].distribution for name in one.settings}
    values = [float(one.last[name]) for name in names]
    try:
        return optuna.create_trial(params=one.settings, distributions=kinds, values=values)
    except ValueError:
        return None


def contour(run: Run, x: Axis, y: Axis, value: Axis) -> Figure:
    """The first objective over two settings (``optuna.visualization.plot_contour``): the better,
    the brighter. Empty if fewer than ``FEWEST`` whole trials have both settings."""
    study, numbers = study_of(run, MOST)
    figure, plane = Figure(), {x.column, y.column}
    pairs = zip(numbers, study.trials, strict=True)
    there = [number for number, trial in pairs if plane <= set(trial.params)]
    if len(there) < FEWEST:
        return figure
    drawn = optuna.visualization.plot_contour(
        study,
        params=[x.column, y.column],
        target=lambda trial: math.log10(trial.values[0]) if value.log else trial.values[0],
        target_name=f"log10 {value.title}" if value.log else value.title,
    )
    for trace in drawn.data:
        if trace.type == "contour":
            heights = [digits(row) for row in trace.z]
            plain = {**trace.to_plotly_json(), "x": list(trace.x), "y": list(trace.y), "z": heights}
            look = {"colorscale": "Viridis", "reversescale": run.minimizes}
            figure.data.append({**plain, **look})
        elif len(trace.x) == len(there):
            marker = mark(INK, size=7, line={"width": 1, "color": "#fff"})
            figure.points(_named(there), trace.x, trace.y, marker=marker, showlegend=False)
    axes = drawn.layout.to_plotly_json()
    for name, axis in (("xaxis", x), ("yaxis", y)):
        figure.axis(name, axis.title, **{key: axes[name].get(key) for key in ("type", "range")})
    return figure


def front(run: Run) -> Figure:
    """The Pareto front of two objectives (``optuna.visualization.plot_pareto_front``).

    Empty if the search has not two objectives, or no whole trial.
    """
    figure = Figure()
    study, numbers = study_of(run)
    if len(study.directions) != 2 or not numbers:
        return figure
    names = [one.metric.replace("_", " ") for one in run.objectives]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drawn = optuna.visualization.plot_pareto_front(study, target_names=names)
    for trace in drawn.data:
        found = (re.search(r'"number": (\d+)', text) for text in trace.text or ())
        own = _named([numbers[int(match[1])] for match in found if match])
        on_front = "Best" in (trace.hovertemplate or "")
        name = "on the front: no trial is better in both" if on_front else "beaten in both"
        marker = mark(BEST, size=9) if on_front else mark(MUTED, "circle-open", 9)
        if not own.empty:
            figure.points(own, trace.x, trace.y, name=name, marker=marker)
    figure.axis("xaxis", names[0])
    figure.axis("yaxis", names[1])
    return figure


def _named(numbers: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"number": numbers, WORDS: [f"trial {number}" for number in numbers]})
