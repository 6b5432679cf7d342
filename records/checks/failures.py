"""FAIL: what came to nothing, and why."""

import shlex
from collections import Counter
from functools import partial

from records.checks.check import Check, between, counted, percent
from records.checks.statistics import share_interval
from records.finished_trial import FinishedTrial
from records.outcome import COMPLETE, ERROR, STOPPED_EARLY
from records.run import Run

failed = partial(
    Check,
    "FAIL01",
    detected="How trials ended, equal causes together; Clopper and Pearson's interval for the share that fails.",
    matters="A trial that breaks is a defect to mend; many that diverge say that part of the space is not worth its trials.",
)


def failed_trials(run: Run) -> Check:
    """FAIL01."""
    n = len(run.finished)
    if not n:
        return failed(status="not applicable", sentence="0 trials have ended.")
    broken = [one for one in run.finished if one.ended not in (*COMPLETE, STOPPED_EARLY.name)]
    share = f"{percent(len(broken) / n)}, 95% interval {between(share_interval(len(broken), n))}"
    sentence = f"{len(broken)} of {counted(n, 'trial')} failed ({share})"
    if not broken:
        return failed(status="passed", sentence=f"{sentence}.")
    causes = Counter(_cause(one) for one in broken)
    sentence += (
        ": " + "; ".join(f"{cause} (×{count})" for cause, count in causes.most_common()) + "."
    )
    errors = [one for one in broken if one.ended == ERROR.name]
    if errors:
        do = shlex.join(["cat", run.shown_path(f"trial_{errors[0].number:04d}", "error.txt")])
        return failed(status="issue", sentence=sentence, do=do)
    return failed(status="tip", sentence=sentence)


def _cause(trial: FinishedTrial) -> str:
    return f"error: {trial.error}" if trial.ended == ERROR.name and trial.error else trial.ended
