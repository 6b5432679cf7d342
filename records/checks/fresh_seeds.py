"""SEED: do the best settings hold on seeds that the search did not use?"""

import math
from functools import partial
from statistics import mean, median

from records.checkpoint import settings_of
from records.checks.check import Check, amount, between, counted, no_winner, percent
from records.checks.statistics import fraction_interval, prediction_half_width
from records.run import Run

HALF = 0.5
"""So many of all seeds must reach the goal, at least, to say that the settings hold."""
SEEDS = 20
"""Fresh seeds for a narrow interval: 20 of 20 leave 83% to 100%, 5 of 5 leave 48% to 100%."""
ENOUGH_EQUAL = 19
"""One value of n + 1 alike is above all others with a chance of 1 / (n + 1): 1 in 20."""

holds = partial(
    Check,
    "SEED01",
    detected="The winner's settings, trained again on seeds that no trial of the search had;"
    " Clopper and Pearson's interval for the fraction of all seeds that reach the goal. It passes"
    " if each seed reaches it, and there are so many that 95 times in 100 more than half of all"
    " seeds do.",
    matters="Settings that work on one seed only do not work: the next training has another seed.",
)
flattered = partial(
    Check,
    "SEED02",
    detected="The winner's metric in the search, compared with Student's prediction interval for"
    " one more training of the same settings, from the fresh seeds. The search's gain is what the"
    " winner was better than the best other baseline, or than the median of the other trials.",
    matters="The value that a trial was selected by is the best of many, so part of it is luck"
    " (overtuning). The mean on fresh seeds is what to expect of these settings.",
)


def holds_on_fresh_seeds(run: Run) -> Check:
    """SEED01."""
    if run.winner is None:
        return holds("not applicable", no_winner(run))
    n = len(run.fresh_seeds)
    if not n:
        sentence = f"Trial {run.winner.number} has been trained on 0 fresh seeds."
        return holds("not applicable", sentence, do=run.commands.resume("--confirm", "5"))
    reached = sum(run.goal.reached(one.last) for one in run.fresh_seeds)
    sentence = (
        f"Trial {run.winner.number} reaches {run.goal} on {reached} of {counted(n, 'fresh seed')}:"
        f" {percent(reached / n)} (95% interval {between(fraction_interval(reached, n))})."
    )
    if reached < n:
        return holds("issue", sentence, do=run.commands.resume(*run.more_trials))
    do = run.commands.resume("--confirm", str(SEEDS)) if n < SEEDS else None
    enough = math.floor(math.log(0.05, HALF)) + 1
    if n < enough:
        return holds("inconclusive", f"{sentence} {enough} of {enough} would show it.", do=do)
    return holds("passed", sentence, do=do)


def flattered_by_selection(run: Run) -> Check:
    """SEED02."""
    if run.winner is None:
        return flattered("not applicable", no_winner(run))
    metric, selected, confirmed = selected_and_confirmed(run)
    n = len(confirmed)
    if selected is None or n < 2:
        sentence = (
            f"It takes the {metric} of two fresh seeds; there {'is' if n == 1 else 'are'} {n}."
        )
        return flattered("not applicable", sentence, do=run.commands.resume("--confirm", "5"))
    centre, half = mean(confirmed), prediction_half_width(confirmed)
    better = -1 if run.smaller_is_better(metric) else 1
    sentence = (
        f"{metric} of trial {run.winner.number} is {amount(selected)} in the search and"
        f" {amount(centre)} on average over {n} fresh seeds; one more training would have"
        f" {amount(centre - half)} to {amount(centre + half)}, 95 times in 100."
    )
    lost = better * (selected - centre)
    if lost <= half:
        return flattered("passed", sentence)
    if not half and n < ENOUGH_EQUAL:
        words = f"{n} equal seeds do not show how far others may differ; {ENOUGH_EQUAL} would."
        return flattered("inconclusive", f"{sentence} {words}")
    share = _share_of_the_gain(run, metric, better, selected, lost)
    return flattered("tip", f"{sentence} The search flattered it by {amount(lost)}{share}.")


def _share_of_the_gain(run: Run, metric: str, better: int, selected: float, lost: float) -> str:
    """How much of what the search gained its fresh seeds do not show, in words.

    Source: Schneider et al. 2025, Overtuning in hyperparameter optimization.
    """
    values = [
        ("baseline" in one.config, better * float(one.last[metric]))
        for one in run.complete
        if one is not run.winner and one.last.get(metric) is not None
    ]
    baselines = [value for known, value in values if known]
    if not values:
        return ""
    start = max(baselines) if baselines else median(value for _, value in values)
    gain = better * selected - start
    other = " other" * (run.winner is not None and "baseline" in run.winner.config)
    than = f"the best{other} baseline's" if baselines else "the median trial's"
    return f", {percent(min(1.0, lost / gain))} of its gain over {than}" if gain > 0 else ""


def selected_and_confirmed(run: Run) -> tuple[str, float | None, list[float]]:
    """The metric to compare, the winner's value in the search, and its values on fresh seeds."""
    if run.winner is None:
        return run.metric, None, []
    metric = run.metric if measured_alike(run) else run.goal.metric
    selected, *confirmed = (one.last.get(metric) for one in (run.winner, *run.fresh_seeds))
    measured = [float(value) for value in confirmed if value is not None and math.isfinite(value)]
    return metric, None if selected is None else float(selected), measured


def measured_alike(run: Run) -> bool:
    """Whether fresh seeds are measured like the search's trials, with the same judge, say."""
    mine = settings_of(run.winner.config).items() if run.winner else ()
    return all(one.config.get(name) == value for one in run.fresh_seeds for name, value in mine)
