"""MORE: has the sampler learned, so that more trials by it are worth more than random draws?"""

import math
from functools import partial
from statistics import NormalDist

from records.checks.check import Check, Status, amount, counted, no_winner, percent
from records.finished_trial import FinishedTrial
from records.run import Run

LEVEL, POWER = 0.05, 0.8
"""How often random draws may be said to be beaten by their like, and how often a number of trials
that is said to be enough must show it."""
LEAST = 5
"""With fewer draws of a kind nothing can be shown."""
MOST = 1000
"""More trials are not worth asking for."""

more = partial(
    Check,
    "MORE01",
    detected="The trials that the sampler chose, compared with those of the start-up, which are"
    " spread evenly over the space, by the objective at the first rung, which nearly all trials"
    " reach: Mann and Whitney's one-sided test. Baselines belong to neither.",
    matters="While a sampler has learned nothing, its trials are random draws. Once it has, more"
    " trials of it are worth more.",
)


def has_the_sampler_learned(run: Run) -> Check:
    """MORE01."""
    if not run.complete:
        return more("not applicable", no_winner(run))
    best, total = run.complete[0], len(run.finished)
    since = sum(one.number > best.number for one in run.finished)
    begun = (
        f"The best is trial {best.number}, {counted(since, 'trial')} ago"
        f" ({run.metric} {amount(run.value(best.loss))}{_gain(run, best)})."
    )
    do = run.commands.resume(*run.more_trials)
    if _all_drawn(run):
        sentence = f"All {total} trials were drawn at random: there is nothing to learn."
        return more("not applicable", f"{begun} {sentence}", do=do)
    sampler = str(run.options.get("sampler", "tpe")).upper()
    status, sentence = _told(*drawn_and_chosen(run), sampler)
    return more(status, f"{begun} {sentence}", do=do)


def _told(drawn: list[float], chosen: list[float], sampler: str) -> tuple[Status, str]:
    """Whether the losses of the trials that were ``chosen`` are below those of the ``drawn``."""
    from scipy.stats import mannwhitneyu

    if min(len(drawn), len(chosen)) < LEAST:
        return "inconclusive", (
            f"{counted(len(chosen), 'trial')} chosen by {sampler} and {len(drawn)} drawn at random"
            f" cannot tell whether it has learned: it takes {LEAST} of each."
        )
    test = mannwhitneyu(chosen, drawn, alternative="less")
    beats = 1 - float(test.statistic) / (len(chosen) * len(drawn))
    sentence = (
        f"A trial of the {len(chosen)} chosen by {sampler} beats one of the {len(drawn)} drawn at"
        f" random in {percent(beats)} of all pairs (p = {amount(float(test.pvalue), 2)})."
    )
    if test.pvalue < LEVEL:
        return "passed", sentence
    if enough := trials_needed(beats, len(drawn)):
        words = f"About {enough:,} chosen trials would show it."
    elif beats > 0.5:
        words = f"Beside {len(drawn)} random draws, no number of chosen trials would show it."
    else:
        words = "So far, it does no better than random draws."
    return "inconclusive", f"{sentence} {words}"


def drawn_and_chosen(run: Run) -> tuple[list[float], list[float]]:
    """The losses at the first rung, in order, of the trials drawn at random and of those that the
    sampler chose; baselines belong to neither."""
    first = math.inf if _all_drawn(run) else int(run.search.get("startup_trials", 0))
    rung = min(run.search.get("rungs", []), default=None)
    drawn: list[float] = []
    chosen: list[float] = []
    for one in run.finished:
        if "baseline" not in one.config:
            loss = one.loss if rung is None else one.loss_at(rung)
            (drawn if one.number < first else chosen).append(loss)
    return drawn, chosen


def _all_drawn(run: Run) -> bool:
    """Whether the sampler does not choose."""
    return run.options.get("sampler") in ("random", "qmc")


def trials_needed(beats: float, drawn: int) -> int | None:
    """How many chosen trials, beside those ``drawn``, would show that they win ``beats`` of all
    pairs; None if they do not win, or if it takes too many.

    Source: Noether 1987, Sample size determination for some common nonparametric tests.
    """
    if beats <= 0.5:
        return None
    z = NormalDist().inv_cdf(1 - LEVEL) + NormalDist().inv_cdf(POWER)
    for chosen in range(LEAST, MOST + 1):
        both = chosen + drawn
        fraction = chosen / both
        if both >= z**2 / (12 * fraction * (1 - fraction) * (beats - 0.5) ** 2):
            return chosen
    return None


def _gain(run: Run, best: FinishedTrial) -> str:
    """By how much the best trial beat the best before it."""
    before = [one.loss for one in run.complete if one.number < best.number]
    return f", {amount(min(before) - best.loss)} better than the best before it" if before else ""
