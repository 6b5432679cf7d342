"""MORE: would more trials help?"""

from functools import partial

from records.checks.check import Check, amount, between, counted, percent
from records.checks.statistics import record_chance
from records.finished_trial import FinishedTrial
from records.run import Run

RECENT = 0.25
"""A search whose best came within this share of its trials, the latest, is still improving."""

more = partial(
    Check,
    "MORE01",
    detected="When the best so far last improved, and the chance that trials drawn like those before beat it: n more after N"
    " have n / (n + N), whatever the figures; its interval comes from how little N trials say of what lies beyond their best."
    " For a sampler that learns, N counts the trials that it chose itself, and as it goes on learning the chance is if"
    " anything larger.",
    matters="Trials cost time; a best that is old and hard to beat is a reason to stop, a young one to go on.",
)


def would_more_trials_help(run: Run) -> Check:
    """MORE01."""
    total = len(run.finished)
    if not run.complete:
        sentence = f"0 of {counted(total, 'trial')} used their budget, so there is no best to beat."
        return more(status="not applicable", sentence=sentence)
    drawn, how = _drawn_alike(run)
    if len(drawn) < 2:
        sentence = f"Too few to extrapolate from: {len(drawn)} {how}, of {counted(total, 'trial')}."
        return more(status="not applicable", sentence=sentence)
    best = run.complete[0]
    since = sum(one.number > best.number for one in run.finished)
    further = run.half_as_many_again - total
    chance, interval = record_chance(len(drawn), further)
    bound = (
        "" if best in drawn else "at most "
    )  # then it is not only the best of those drawn that must be beaten
    sentence = (
        f"The best came as trial {best.number}, {counted(since, 'trial')} ago"
        f" ({run.metric} {amount(run.value(best.loss))}{_gain(run, best)}). {further} more like the {len(drawn)} {how}"
        f" beat it with a chance of {bound}{percent(chance)} (95% interval {between(interval)})."
    )
    do = run.commands.resume("--num-samples", str(run.half_as_many_again))
    return more(status="tip" if since < RECENT * total else "passed", sentence=sentence, do=do)


def _drawn_alike(run: Run) -> tuple[list[FinishedTrial], str]:
    """The trials of the kind that further ones would be, and what kind that is."""
    drawn = [one for one in run.finished if "baseline" not in one.config]
    sampler = str(run.options.get("sampler", "tpe"))
    if sampler in ("random", "qmc"):
        return drawn, "drawn at random"
    return [
        one for one in drawn if one.number >= int(run.search.get("startup_trials", 0))
    ], f"chosen by {sampler.upper()}"


def _gain(run: Run, best: FinishedTrial) -> str:
    """By how much the best beat what was best before it."""
    before = [one.loss for one in run.complete if one.number < best.number]
    return f", {amount(min(before) - best.loss)} better than the best before it" if before else ""
