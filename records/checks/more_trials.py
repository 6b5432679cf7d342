"""MORE: would more trials help?"""

from functools import partial

from records.checks.check import Check, amount, between, counted, no_winner, percent
from records.checks.statistics import record_chance
from records.finished_trial import FinishedTrial
from records.run import Run

RECENT = 0.25
"""A search is still improving if its best trial is among this fraction of its latest trials."""

more = partial(
    Check,
    "MORE01",
    detected="When the best so far last improved, and the chance that further trials like the"
    " earlier ones beat it: n more after N trials have n / (n + N), whatever their values. The"
    " interval shows how little N trials say about what lies beyond their best. For a sampler that"
    " learns, N counts the trials that it chose itself; while it goes on learning, the chance is"
    " rather larger.",
    matters="Trials cost time. An old best that is hard to beat is a reason to stop, a young one"
    " to go on.",
)


def would_more_trials_help(run: Run) -> Check:
    """MORE01."""
    total = len(run.finished)
    if not run.complete:
        return more("not applicable", no_winner(run))
    drawn, how = _drawn_alike(run)
    if len(drawn) < 2:
        sentence = f"Too few trials to extrapolate from: {len(drawn)} of {total} were {how}."
        return more("not applicable", sentence)
    best = run.complete[0]
    since = sum(one.number > best.number for one in run.finished)
    further = run.more_samples - total
    chance, interval = record_chance(len(drawn), further)
    bound = "" if best in drawn else "at most "  # else they must beat more than the best of theirs
    sentence = (
        f"The best is trial {best.number}, {counted(since, 'trial')} ago"
        f" ({run.metric} {amount(run.value(best.loss))}{_gain(run, best)})."
        f" {counted(further, 'more trial')} like the {len(drawn)} {how} beat it with a chance of"
        f" {bound}{percent(chance)} (95% interval {between(interval)})."
    )
    do = run.commands.resume(*run.more_trials)
    return more("tip" if since < RECENT * total else "passed", sentence, do=do)


def _drawn_alike(run: Run) -> tuple[list[FinishedTrial], str]:
    """The trials that were chosen as further ones would be, and how those are chosen."""
    drawn = [one for one in run.finished if "baseline" not in one.config]
    sampler = str(run.options.get("sampler", "tpe"))
    if sampler in ("random", "qmc"):
        return drawn, "drawn at random"
    first = int(run.search.get("startup_trials", 0))
    return [one for one in drawn if one.number >= first], f"chosen by {sampler.upper()}"


def _gain(run: Run, best: FinishedTrial) -> str:
    """By how much the best trial beat the best before it."""
    before = [one.loss for one in run.complete if one.number < best.number]
    return f", {amount(min(before) - best.loss)} better than the best before it" if before else ""
