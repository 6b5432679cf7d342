"""The answer of a check, and how its numbers are printed."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Status = Literal["issue", "tip", "passed", "not applicable"]

NO_WINNER = "There is no winner: 0 trials used their budget."


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


def amount(value: Any) -> str:
    """A metric or a setting with sensible digits: 0.00123, 0.985, 12,300, hinge."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if abs(value) >= 1000 or isinstance(value, int):
        return f"{value:,.0f}"
    return f"{value:.3g}"


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
