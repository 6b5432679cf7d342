"""STOP: did early stopping cost a winner?"""

from functools import partial

from records.checks.check import Check, Interval, between, counted, percent
from records.checks.statistics import share_interval
from records.finished_trial import FinishedTrial
from records.outcome import STOPPED_EARLY
from records.run import Run

AUDIT = ("--audit", "0.1")

cost = partial(
    Check,
    "STOP01",
    detected="A share of the trials that the scheduler would have stopped, drawn at random, was let run on. How many of them"
    " beat the best of all others, with Clopper and Pearson's interval, stands for all that were stopped.",
    matters="A trial that starts slowly can end well. Only those let run on can show it: survivors say nothing of the stopped.",
)


def early_stopping_cost(run: Run) -> Check:
    """STOP01."""
    stopped = sum(one.ended == STOPPED_EARLY.name for one in run.finished)
    audited, others = let_run_on(run)
    n = len(audited)
    if not n:
        sentence = f"Stopped early: {counted(stopped, 'trial')}; let run on to see what would have come of it: 0."
        do = (
            run.commands.resume("--num-samples", str(run.half_as_many_again), *AUDIT)
            if stopped
            else None
        )
        return cost(status="not applicable", sentence=sentence, do=do)
    best = others[0].loss if others else float("inf")
    better = sum(one.complete and one.loss < best for one in audited)
    good = sum(one in run.best_quarter for one in audited)
    reached = sum(run.goal.reached(one.last) for one in audited) if run.goal else 0
    interval = share_interval(better, n)
    lost = _times(interval, stopped)
    sentence = (
        f"{better} of {n} audited trials beat the best of the others ({percent(better / n)}, 95% interval {between(interval)}),"
        f" so of {stopped} stopped early {lost} may have; {good} of {n} are among the best quarter, {reached} reached the goal."
    )
    if better:
        return cost(
            status="issue", sentence=sentence, do=run.commands.again(flags=("--scheduler", "none"))
        )
    return cost(status="passed", sentence=sentence)


def let_run_on(run: Run) -> tuple[list[FinishedTrial], list[FinishedTrial]]:
    """The trials that would have been stopped early and were let run on, and of all others the complete ones, best first."""
    audited = [
        one for one in run.finished if one.audited is not None and one.ended != STOPPED_EARLY.name
    ]
    return audited, [one for one in run.complete if one.audited is None]


def _times(share: Interval, count: int) -> str:
    low, high = round(share.low * count), round(share.high * count)
    return str(low) if low == high else f"{low} to {high}"
