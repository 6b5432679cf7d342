"""The interactive figures beside the checks of a run: each shows what a check rests on."""

import math
from statistics import mean

import numpy as np
import pandas as pd

from records.checks.ablation import stages
from records.checks.check import counted
from records.checks.early_stopping import let_run_on
from records.checks.fresh_seeds import selected_and_confirmed
from records.checks.more_trials import LEAST, drawn_and_chosen
from records.checks.what_mattered import at_budgets
from records.run import Run
from records.versus_baseline import versus_baseline
from reports.content import number
from reports.experiments.default import Page
from reports.figures import evidence as figures
from reports.figures.random_search import beside_random as beside_random_figure
from reports.figures.random_search import best_of_random
from reports.figures.scripts import Drawn
from reports.figures.traces import Axis


def importances(run: Run) -> Drawn | None:
    found = [one for one in at_budgets(run) if one.importances]
    if not found:
        return None
    first = (
        f"{one.label}: {max(one.importances, key=one.importances.__getitem__)}" for one in found
    )
    alt = (
        "PED-ANOVA's importance of each parameter, with its 95% interval; the first is"
        f" {'; '.join(first)}."
    )
    drawn = figures.importances({one.label: (one.importances, one.intervals) for one in found})
    return "What decided, at each budget", alt, [("", drawn)]


def path(run: Run, y: Axis) -> Drawn | None:
    places = [
        (one.changed, [run.value(loss) for loss in one.losses.values()]) for one in stages(run)
    ]
    if not places:
        return None
    words = (f"{changed or 'hand-tuned'}: {number(mean(values))}" for changed, values in places)
    alt = f"{y.title} after each change, on average. {'; '.join(words)}."
    title = "From the hand-tuned settings to the winner's, one change at a time"
    return title, alt, [("", figures.path(places, y))]


def winners_curse(run: Run, page: Page) -> Drawn | None:
    metric, selected, confirmed = selected_and_confirmed(run)
    if selected is None or len(confirmed) < 2:
        return None
    y = page.axis(run, metric)
    better_half = run.complete[: math.ceil(len(run.complete) / 2)]
    rows = [(one.number, one.last.get(metric)) for one in better_half]
    searched = pd.DataFrame(rows, columns=["number", metric]).dropna()
    beside = fresh_values_beside(run, metric)
    figure = figures.winners_curse(searched, selected, confirmed, beside, y)
    alt = (
        f"{y.title}: {number(selected, 4)} in the search, {number(mean(confirmed), 4)} on average"
        " on fresh seeds"
    )
    alt += "".join(f"; {name}: {number(mean(values), 4)}" for name, values in beside.items())
    return "Was the winner lucky?", f"{alt}.", [("", figure)]


def fresh_values_beside(run: Run, metric: str) -> dict[str, list[float]]:
    """The metric on fresh seeds of the settings that the winner is compared with, by their name:
    the best baseline, or the best settings of the search if a baseline won. Empty if there are
    none."""
    versus = versus_baseline(run)
    if versus is None:
        return {}
    other = versus.beside_winner
    found = (one.last.get(metric) for one in run.on_fresh_seeds[other.number].values())
    values = [float(value) for value in found if value is not None and math.isfinite(value)]
    return {"best baseline" if versus.is_winner else f"trial {other.number}": values}


def audit(run: Run, y: Axis) -> Drawn | None:
    audited, others = let_run_on(run)
    rows = []
    for one in audited:
        there = one.curve[one.curve[:, 0] >= float(one.audited or 0)]
        if len(there):
            rows.append((one.number, run.value(float(there[0, 1])), run.value(one.loss)))
    if not rows:
        return None
    table = pd.DataFrame(rows, columns=["number", "there", "in_the_end"])
    figure = figures.audit(table, run.value(others[0].loss) if others else None, y)
    trials = counted(len(rows), "trial")
    alt = f"{trials} that early stopping would have ended, there and in the end."
    return "What early stopping would have ended", alt, [("", figure)]


def beside_random(run: Run, y: Axis) -> Drawn | None:
    drawn, chosen = drawn_and_chosen(run)
    losses = np.array([*drawn, *chosen])
    finite = losses[np.isfinite(losses)]
    if len(drawn) < LEAST or not len(finite):
        return None
    bounds = best_of_random(drawn, len(losses)).clip(finite.min(), finite.max())
    best = [run.value(loss) for loss in np.minimum.accumulate(losses).tolist()]
    low, middle, high = ([run.value(loss) for loss in row] for row in bounds.tolist())
    title = f"{y.title} at the first rung" if run.search.get("rungs") else y.title
    figure = beside_random_figure(best, (low, middle, high), Axis(y.column, title, y.log))
    alt = (
        f"The best {title} after each trial: {number(best[-1])} in the end. From"
        f" {counted(len(drawn), 'random draw')}: as many draws would reach {number(middle[-1])}"
        f" half of the time (95% band {' to '.join(map(number, sorted((low[-1], high[-1]))))})."
    )
    return "Beside random draws", alt, [("", figure)]
