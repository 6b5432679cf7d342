"""How a trial ends: the word in its record, its meaning for the study, and its look on pages.

The outcomes here belong to every search. A trainable names its own in ``outcomes`` of its class,
which registers them (``trainables.resumable``). ``search.json`` keeps those, so that a report
registers them again without the trainable.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["complete", "stopped", "failed", "cut off"]
"""complete: the last report covers the whole budget. stopped: the trial ended early, and its last
report says how poor its settings are. failed: there is nothing to compare. cut off: the search
ended first; if it is resumed, it starts another trial instead."""


@dataclass(frozen=True)
class Outcome:
    """One way in which a trial ends.

    Attributes:
        name: The word for it in ``trial.json``.
        words: The words for it on a page.
        mark, color: Matplotlib's marker and the colour (of Okabe and Ito) of its trials.
    """

    name: str
    kind: Kind
    words: str
    mark: str = "X"
    color: str = "#d55e00"


CONVERGED = Outcome("converged", "complete", "converged", "o", "#0072b2")
BUDGET = Outcome("budget", "complete", "used the whole budget", "s", "#e69f00")
STOPPED_EARLY = Outcome("stopped early", "stopped", "stopped early", "v", "#9a9a9a")
DIVERGED = Outcome("diverged", "failed", "diverged: a metric was no longer finite")
ERROR = Outcome("error", "failed", "failed", "P")
TIME_BUDGET = Outcome("time budget", "cut off", "cut off by the time budget", "D", "#9a9a9a")
TARGET_REACHED = Outcome("target reached", "cut off", "cut off by the target", "D", "#9a9a9a")
NOT_ASKED_FOR = Outcome("not asked for", "cut off", "cut off, no longer needed", "D", "#9a9a9a")
EVERY = (
    CONVERGED, BUDGET, STOPPED_EARLY, DIVERGED, ERROR, TIME_BUDGET, TARGET_REACHED, NOT_ASKED_FOR,
)  # fmt: skip

RUNNING = Outcome("running", "cut off", "still running", "1", "#767676")
"""The outcome, in figures and tables, of a trial that has not ended; no record has this word."""

COMPLETE = tuple(one.name for one in EVERY if one.kind == "complete")
CUT_OFF = tuple(one.name for one in EVERY if one.kind == "cut off")
"""The names of these two kinds. No trainable adds to them."""

_registered = {one.name: one for one in (*EVERY, RUNNING)}


def register(*own: Outcome) -> None:
    """Make a trainable's own outcomes known. The outcomes of every search stay what they are."""
    _registered.update({one.name: one for one in (*own, *EVERY)})


def outcome_of(ended: str | None) -> Outcome:
    """The outcome of a record that says ``ended``; an unknown word counts as failed."""
    return RUNNING if ended is None else _registered.get(ended) or Outcome(ended, "failed", ended)
