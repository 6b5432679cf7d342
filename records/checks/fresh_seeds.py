"""SEED: do the best settings hold on seeds that the search did not use?"""

import math
from functools import partial
from statistics import mean

from records.checkpoint import settings_of
from records.checks.check import Check, amount, between, counted, no_winner, percent
from records.checks.statistics import fraction_interval, mean_interval
from records.run import Run

SEEDS = 20
"""Fresh seeds for a narrow interval: 20 of 20 leave 83% to 100%, 5 of 5 leave 48% to 100%."""

holds = partial(
    Check,
    "SEED01",
    detected="The winner's settings, trained again on seeds that no trial of the search had;"
    " Clopper and Pearson's interval for the fraction of seeds that reach the goal.",
    matters="Settings that work on one seed only do not work: the next training has another seed.",
)
flattered = partial(
    Check,
    "SEED02",
    detected="The winner's metric in the search minus its mean on fresh seeds, with Student's"
    " interval over the seeds.",
    matters="The value that a trial was selected by is the best of many, so part of it is luck"
    " (the winner's curse). The mean on fresh seeds is what to expect of these settings.",
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
    do = run.commands.resume("--confirm", str(SEEDS))
    return holds("passed", sentence, do=do if n < SEEDS else None)


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
    flattery = selected - mean(confirmed)
    ends = [selected - end for end in mean_interval(confirmed)]
    if run.smaller_is_better(metric):
        flattery, ends = -flattery, [-end for end in ends]
    better = flattery < 0
    words = "fresh seeds are better by" if better else "the search flattered it by"
    low, high = sorted(-end if better else end for end in ends)
    sentence = (
        f"{metric} of trial {run.winner.number} is {amount(selected)} in the search and"
        f" {amount(mean(confirmed))} on average over {n} fresh seeds: {words}"
        f" {amount(abs(flattery))} (95% interval {amount(low)} to {amount(high)})."
    )
    return flattered("tip" if min(ends) > 0 else "passed", sentence)


def selected_and_confirmed(run: Run) -> tuple[str, float | None, list[float]]:
    """The metric to compare, the winner's value in the search, and its values on fresh seeds."""
    if run.winner is None:
        return run.metric, None, []
    metric = run.metric if _measured_alike(run) else run.goal.metric
    selected, *confirmed = (one.last.get(metric) for one in (run.winner, *run.fresh_seeds))
    measured = [float(value) for value in confirmed if value is not None and math.isfinite(value)]
    return metric, None if selected is None else float(selected), measured


def _measured_alike(run: Run) -> bool:
    """Whether fresh seeds are measured like the search's trials, with the same judge, say."""
    assert run.winner is not None
    mine = settings_of(run.winner.config).items()
    return all(one.config.get(name) == value for one in run.fresh_seeds for name, value in mine)
