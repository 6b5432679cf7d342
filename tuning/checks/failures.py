"""FAIL: what came to nothing, and why."""

import shlex
from collections import Counter
from functools import partial

from tuning.checks.check import Check, between, counted, percent
from tuning.checks.evidence import Evidence, Tried
from tuning.checks.statistics import share_interval
from tuning.run_directory import COMPLETE

failed = partial(
    Check,
    "FAIL01",
    detected="How trials ended, equal causes together; Clopper and Pearson's interval for the share that fails.",
    matters="A trial that breaks is a defect to mend; many that diverge say that part of the space is not worth its trials.",
)


def failed_trials(run: Evidence) -> Check:
    """FAIL01."""
    n = len(run.trials)
    if not n:
        return failed(status="not applicable", sentence="0 trials have ended.")
    broken = [one for one in run.trials if one.ended not in (*COMPLETE, "stopped early")]
    share = f"{percent(len(broken) / n)}, 95% interval {between(share_interval(len(broken), n))}"
    sentence = f"{len(broken)} of {counted(n, 'trial')} failed ({share})"
    if not broken:
        return failed(status="passed", sentence=f"{sentence}.")
    causes = Counter(_cause(one) for one in broken)
    sentence += ": " + "; ".join(f"{cause} (×{count})" for cause, count in causes.most_common()) + "."
    errors = [one for one in broken if one.ended == "error"]
    if errors:
        do = shlex.join(["cat", run.path(f"trial_{errors[0].number:04d}", "error.txt")])
        return failed(status="issue", sentence=sentence, do=do)
    return failed(status="tip", sentence=sentence)


def _cause(trial: Tried) -> str:
    return f"error: {trial.error}" if trial.ended == "error" and trial.error else trial.ended
