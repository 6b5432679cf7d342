"""What one check comes to, and how its figures are printed."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Status = Literal["issue", "tip", "passed", "not applicable"]


@dataclass(frozen=True)
class Check:
    """One answer about a run.

    Attributes:
        code: Stable, such as ``EDGE01``: what a script looks for and a page links to.
        sentence: What was found, with the number of trials or seeds it rests on and an interval.
        detected, matters: How it was found and why one should care, the same for every run.
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
    """A figure or a setting with sensible digits: 0.00123, 0.985, 12,300, hinge."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if abs(value) >= 1000 or isinstance(value, int):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def percent(share: float) -> str:
    """A share as a percentage; one that is neither none nor all is never printed as 0% or 100%."""
    if 0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{100 * share:.0f}%"


def between(interval: Interval) -> str:
    """An interval of shares in words."""
    return f"{percent(interval.low)} to {percent(interval.high)}"


def counted(count: int, noun: str) -> str:
    """1 trial, 2 trials."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
