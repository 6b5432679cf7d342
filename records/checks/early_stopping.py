"""STOP: did early stopping cost a winner?"""

import math
from functools import partial
from itertools import count

from records.checks.check import Check, between, counted, percent
from records.checks.statistics import fraction_interval
from records.finished_trial import FinishedTrial
from records.outcome import STOPPED_EARLY
from records.run import Run

TOLERATED = 0.25
"""Early stopping passes if it is shown to stop fewer winners than this fraction of what it stops.
"""

cost = partial(
    Check,
    "STOP01",
    detected="A random fraction of the trials that the scheduler would have stopped was let run on"
    " (--audit). The fraction of them that beat the best of all others stands for all that were"
    " stopped, with Clopper and Pearson's interval.",
    matters="A trial that starts slowly can end well. Only trials that were let run on can show"
    " it.",
)


def early_stopping_cost(run: Run) -> Check:
    """STOP01."""
    stopped = sum(one.ended == STOPPED_EARLY.name for one in run.finished)
    audited, others = let_run_on(run)
    n = len(audited)
    if not n:
        sentence = (
            f"Stopped early: {counted(stopped, 'trial')}. Let run on, to see how they end: 0."
        )
        flags = (*run.more_trials, "--audit", "0.1")
        return cost("not applicable", sentence, do=run.commands.resume(*flags) if stopped else None)
    best = others[0].loss if others else math.inf
    better = sum(one.complete and one.loss < best for one in audited)
    good = sum(one in run.best_quarter for one in audited)
    reached = sum(run.goal.reached(one.last) for one in audited)
    interval = fraction_interval(better, n)
    low, high = (round(end * stopped) for end in interval)
    lost = f"{low}" if low == high else f"{low} to {high}"
    sentence = (
        f"{better} of {n} audited trials beat the best of the others ({percent(better / n)},"
        f" 95% interval {between(interval)}), so {lost} of the {stopped} that were stopped early"
        f" may have. {good} of {n} are among the best quarter, {reached} reached the goal."
    )
    if better:
        do = run.commands.again(flags=("--scheduler", "none"), less=("--audit",))
        return cost("issue", sentence, do=do)
    if interval.high > TOLERATED:
        enough = next(k for k in count(n) if fraction_interval(0, k).high <= TOLERATED)
        sentence += f" {enough} audited trials would show that fewer than {percent(TOLERATED)} do."
        do = run.commands.resume(*run.more_trials, "--audit", "0.5")
        return cost("inconclusive", sentence, do=do)
    return cost("passed", sentence)


def let_run_on(run: Run) -> tuple[list[FinishedTrial], list[FinishedTrial]]:
    """The trials audited instead of stopped, and the other complete trials, best first."""
    audited = [one for one in run.finished if one.audited is not None]
    others = [one for one in run.complete if one.audited is None]
    return [one for one in audited if one.ended != STOPPED_EARLY.name], others
