"""How a trial ends: a word for its record, what it means for the study, and how pages show it.

The outcomes here are every search's. A trainable registers its own (``outcomes`` of its class);
``search.json`` keeps those, and they are registered again when a report opens the run, without the
trainable.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["complete", "stopped", "failed", "cut off"]
"""complete: its last report covers its whole budget. stopped: it ended early, and its last report
says how poor its settings are. failed: there is nothing to compare. cut off: the search was over,
and a search that is resumed starts another one."""


@dataclass(frozen=True)
class Outcome:
    """One way to end.

    Attributes:
        name: As ``trial.json`` has it.
        words: For a page.
        mark, color: Of its trials in a figure: matplotlib's mark, and one of Okabe and Ito's
        colours.
    """

    name: str
    kind: Kind
    words: str
    mark: str = "X"
    color: str = "#d55e00"


CONVERGED = Outcome("converged", "complete", "converged", "o", "#0072b2")
BUDGET = Outcome("budget", "complete", "used the whole budget", "s", "#e69f00")
STOPPED_EARLY = Outcome("stopped early", "stopped", "stopped early", "v", "#9a9a9a")
DIVERGED = Outcome("diverged", "failed", "diverged: a figure was no longer finite")
ERROR = Outcome("error", "failed", "failed", "P")
TIME_BUDGET = Outcome("time budget", "cut off", "cut off by the time budget", "D", "#9a9a9a")
TARGET_REACHED = Outcome(
    "target reached", "cut off", "cut off as the target was reached", "D", "#9a9a9a"
)
NOT_ASKED_FOR = Outcome(
    "not asked for", "cut off", "cut off, and no longer asked for", "D", "#9a9a9a"
)

RUNNING = Outcome("running", "cut off", "still running", "1", "#767676")
"""Of a trial that has not ended; no record has it."""

EVERY = (
    CONVERGED,
    BUDGET,
    STOPPED_EARLY,
    DIVERGED,
    ERROR,
    TIME_BUDGET,
    TARGET_REACHED,
    NOT_ASKED_FOR,
)

COMPLETE = tuple(one.name for one in EVERY if one.kind == "complete")
CUT_OFF = tuple(one.name for one in EVERY if one.kind == "cut off")
"""The names of these kinds. No trainable adds to them."""

_registered = {one.name: one for one in (*EVERY, RUNNING)}


def register(*own: Outcome) -> None:
    """Make a trainable's own outcomes known. Those of every search stay what they are."""
    _registered.update({one.name: one for one in own if one not in EVERY})


def outcome_of(ended: str | None) -> Outcome:
    """The outcome of a record that says ``ended``; one that nobody has registered counts as failed."""
    return RUNNING if ended is None else _registered.get(ended) or Outcome(ended, "failed", ended)
