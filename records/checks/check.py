"""The answer of a check, and how its numbers are printed."""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple

from records.outcome import COMPLETE
from records.run import Run

Status = Literal["issue", "tip", "inconclusive", "passed", "not applicable"]
"""What a check says: act; consider; too few trials or seeds to tell; all is well; no such question.

In that order they are shown. At most 1 search in 20 without a fault gives an issue or a tip
(``benchmarks.checks``)."""


@dataclass(frozen=True)
class Check:
    """One answer about a run.

    Attributes:
        code: A stable code, such as ``EDGE01``, for scripts to look for and pages to link to.
        sentence: What was found, with an interval and the number of trials or seeds behind it.
        detected, matters: How it was found and why it matters, the same for every run.
        do: The command that acts on it, or None.
    """

    code: str
    status: Status
    sentence: str
    detected: str
    matters: str
    do: str | None = None


class Interval(NamedTuple):
    """A 95% interval."""

    low: float
    high: float


def no_winner(run: Run) -> str:
    """Why a run has no winner."""
    count = sum(one.ended in COMPLETE for one in run.finished)
    but = f", but none reported a finite {run.metric}" if count else ""
    return f"There is no winner: {counted(count, 'trial')} completed the training{but}."


def amount(value: Any, digits: int = 3) -> str:
    """A metric or a setting with sensible digits: 0.00123, 0.985, 12,300, hinge.

    A number that is not 1 gets as many digits as tell it from 1.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        return str(value)
    if isinstance(value, Integral):
        return f"{int(value):,}"
    number = float(value)
    rounded = float(f"{number:.{digits}g}") + 0.0  # -0.0 + 0.0 is 0.0
    if abs(rounded) == 1 != abs(number):
        return amount(number, digits + 1)
    return f"{number:,.0f}" if abs(rounded) >= 1000 else f"{rounded:.{digits}g}"


def percent(fraction: float) -> str:
    """A fraction as a percentage; only none is printed as 0%, and only all as 100%."""
    if 0 < fraction < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= fraction < 1 else f"{100 * fraction:.0f}%"


def between(interval: Interval) -> str:
    """An interval of fractions in words."""
    return f"{percent(interval.low)} to {percent(interval.high)}"


def counted(count: int, noun: str) -> str:
    """1 trial, 2 trials."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
