"""The Pareto front as Optuna draws it, over a study of the run's own tables: a copied run needs no
database.

Optuna's figure does not name the trial of a point, so that is added here for the page's filter (see
``interactive``).
"""

import re
import warnings

import optuna
import pandas as pd
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from records.finished_trial import FinishedTrial
from records.run import Run
from reports.figures.style import BEST, MUTED
from reports.figures.traces import WORDS, Figure, mark


def study_of(run: Run) -> tuple[optuna.Study, list[int]]:
    """A study of the whole trials whose settings lie in the space, and their numbers."""
    names = [one.metric for one in run.objectives]
    measured = [one for one in run.complete if all(pd.notna(one.last.get(name)) for name in names)]
    numbers, trials = [], []
    for one in sorted(measured, key=lambda one: one.number):
        if trial := _trial(run, one, names):
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
