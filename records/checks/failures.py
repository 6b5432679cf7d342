"""FAIL: which trials failed, and why?"""

import shlex
from collections import Counter
from functools import partial

from records.checks.check import Check, between, counted, percent
from records.checks.statistics import fraction_interval
from records.finished_trial import FinishedTrial
from records.outcome import COMPLETE, ERROR, STOPPED_EARLY
from records.run import Run

failed = partial(
    Check,
    "FAIL01",
    detected="How trials ended, with equal causes counted together, and Clopper and Pearson's"
    " interval for the fraction that fails.",
    matters="An error is a defect to mend. If many trials diverge, part of the space is not worth"
    " its trials.",
)


def failed_trials(run: Run) -> Check:
    """FAIL01."""
    n = len(run.finished)
    if not n:
        return failed("not applicable", "0 trials have ended.")
    broken = [one for one in run.finished if one.ended not in (*COMPLETE, STOPPED_EARLY.name)]
    interval = between(fraction_interval(len(broken), n))
    sentence = f"{len(broken)} of {counted(n, 'trial')} failed"
    sentence += f" ({percent(len(broken) / n)}, 95% interval {interval})"
    if not broken:
        return failed("passed", f"{sentence}.")
    causes = Counter(map(_cause, broken)).most_common()
    sentence += ": " + "; ".join(f"{cause} (×{count})" for cause, count in causes) + "."
    errors = [one for one in broken if one.ended == ERROR.name]
    if errors:
        file = run.directory.trial(errors[0].number).path.name, "error.txt"
        return failed("issue", sentence, do=shlex.join(["cat", run.shown_path(*file)]))
    return failed("tip", sentence)


def _cause(trial: FinishedTrial) -> str:
    return f"error: {trial.error}" if trial.ended == ERROR.name and trial.error else trial.ended
