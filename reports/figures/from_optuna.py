"""What Optuna draws itself, over a study of the run's own tables, so that a copied run without its
database has it too.

Its figures do not say whose a point is, so each point is given the number of its trial here (see
``interactive``).
"""

import math
import re
import warnings
from typing import Any

import optuna
import pandas as pd
from optuna.trial import FrozenTrial

from records.outcome import COMPLETE
from records.run import Run
from reports.figures.interactive import Axis, Figure, digits
from reports.figures.style import BEST, INK, MUTED

FEWEST = 4
"""Trials from which a contour can be drawn."""
MOST = 100
"""Trials that a contour is drawn of: its grid has a row and a column for each, and a browser takes half a minute over 1,000."""


def study_of(run: Run, most: int | None = None) -> tuple[optuna.Study, list[int]]:
    """A study of the trials whose figures cover their whole budget and whose settings lie in the
    space, and their numbers.

    Of more than ``most`` about as many are taken, evenly spread over the search, the best one among
    them.
    """
    names = [one.metric for one in run.objectives]
    minimize, maximize = optuna.study.StudyDirection.MINIMIZE, optuna.study.StudyDirection.MAXIMIZE
    directions = [minimize if one.mode == "min" else maximize for one in run.objectives]
    numbers, trials = [], []
    whole = run.trials[run.trials["ended"].isin(COMPLETE)].dropna(subset=names)
    every = math.ceil(len(whole) / most) if most else 1
    for place, (_, row) in enumerate(whole.iterrows()):
        if place % every and row["number"] != run.best:
            continue
        trial = _trial(run, row, names)
        if trial is not None:
            numbers.append(int(row["number"]))
            trials.append(trial)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=directions)
    study.add_trials(trials)
    return study, numbers


def _trial(run: Run, row: "pd.Series[Any]", names: list[str]) -> FrozenTrial | None:
    settings = {name: row[name] for name in run.parameters if not pd.isna(row[name])}
    distributions = {name: run.parameters[name].distribution for name in settings}
    try:
        return optuna.create_trial(
            params=settings,
            distributions=distributions,
            values=[float(row[name]) for name in names],
        )
    except ValueError:  # settings known beforehand may lie outside the space
        return None


def contour(run: Run, x: Axis, y: Axis, value: Axis) -> Figure:
    """Optuna's contour of the first objective over two settings
    (``optuna.visualization.plot_contour``), the better the brighter; empty where too few trials
    came to their end."""
    study, numbers = study_of(run, MOST)
    figure = Figure()
    there = [
        number
        for number, trial in zip(numbers, study.trials, strict=True)
        if {x.column, y.column} <= set(trial.params)
    ]  # fmt: skip
    if len(there) < FEWEST:
        return figure
    drawn = optuna.visualization.plot_contour(
        study,
        params=[x.column, y.column],
        target=lambda trial: math.log10(trial.values[0]) if value.log else trial.values[0],
        target_name=f"log10 {value.title}" if value.log else value.title,
    )
    for trace in drawn.data:
        plain = trace.to_plotly_json()
        if trace.type == "contour":
            heights = [digits(row) for row in trace.z]
            figure.data.append(
                {
                    **plain,
                    "x": list(trace.x),
                    "y": list(trace.y),
                    "z": heights,
                    "colorscale": "Viridis",
                    "reversescale": run.minimizes,
                }
            )
        elif len(trace.x) == len(there):
            figure.add(
                "scatter", x=digits(trace.x), y=digits(trace.y), mode="markers", text=[f"trial {one}" for one in there],
                marker={"color": INK, "size": 7, "line": {"width": 1, "color": "#fff"}}, hoverinfo="text", showlegend=False,
                meta={"trials": there},
            )  # fmt: skip
    axes = drawn.layout.to_plotly_json()
    for name, axis in (("xaxis", x), ("yaxis", y)):
        figure.axis(name, axis.title, **{key: axes[name].get(key) for key in ("type", "range")})
    return figure


def front(run: Run) -> Figure:
    """Optuna's Pareto front of a search with two objectives (``optuna.visualization.plot_pareto_front``); else empty."""
    figure = Figure()
    study, numbers = study_of(run)
    if len(study.directions) != 2 or not numbers:
        return figure
    names = [one.metric.replace("_", " ") for one in run.objectives]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drawn = optuna.visualization.plot_pareto_front(study, target_names=names)
    for trace in drawn.data:
        found = [re.search(r'"number": (\d+)', text) for text in trace.text or ()]
        whose = [numbers[int(match[1])] for match in found if match]
        if whose:
            best = "Best" in trace.hovertemplate
            figure.add(
                "scatter", x=digits(trace.x), y=digits(trace.y), mode="markers", text=[f"trial {one}" for one in whose],
                name="on the front: none is better in both" if best else "beaten in both", hoverinfo="text",
                marker={"color": BEST if best else MUTED, "symbol": "circle" if best else "circle-open", "size": 9},
                meta={"trials": whose},
            )  # fmt: skip
    figure.axis("xaxis", names[0])
    figure.axis("yaxis", names[1])
    return figure
