"""The text of ``--set``, parsed and printed.

    NAME=VALUE                              a fixed value
    NAME=LOW..HIGH[:log|:linear][:step=S]   a range (log and step default to the parameter's own)
    NAME=A,B,C                              choices

Nothing here knows the parameters; ``search_spaces.overrides`` applies what was parsed to a space.
"""

import math
import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from command_line import UsageError

GRAMMAR = "takes NAME=VALUE, NAME=LOW..HIGH[:log|:linear][:step=S] or NAME=A,B,C"
SCALES = {"log": True, "linear": False}


@dataclass(frozen=True)
class Range:
    """A range as the user wrote it. ``log`` and ``step`` are None if the user did not give them."""

    low: float
    high: float
    log: bool | None = None
    step: float | None = None

    def __str__(self) -> str:
        scale = "".join(f":{name}" for name, log in SCALES.items() if log is self.log)
        step = "" if self.step is None else f":step={shortest(self.step)}"
        return f"{shortest(self.low)}..{shortest(self.high)}{scale}{step}"


Override = Range | tuple[str, ...]
"""A range, or choices as text: only the parameter knows their type. A single choice is fixed."""


def parse_overrides(texts: Iterable[str], option: str = "--set") -> dict[str, Override]:
    """Arguments of ``option`` by name. Raises UsageError if one is malformed or a name repeats."""
    overrides: dict[str, Override] = {}
    for text in texts:
        name, equals, value = map(str.strip, text.partition("="))
        try:
            if not equals or not name:
                raise ValueError(GRAMMAR)
            if name in overrides:
                raise ValueError(f"{shown(name)} is set twice: leave one of them out")
            overrides[name] = _parse_value(value)
        except ValueError as error:
            raise UsageError(f"{option} {shown(text)}: {error}") from None
    return overrides


def _parse_value(value: str) -> Override:
    if "..." in value:
        raise ValueError("a range has two dots, as in 1e-4..1")
    if ".." in value:
        ends, *details = value.split(":")
        low, _, high = map(str.strip, ends.partition(".."))
        scales = [SCALES[detail] for detail in details if detail in SCALES]
        steps = [detail.removeprefix("step=") for detail in details if detail.startswith("step=")]
        understood = max(len(scales), len(steps)) <= 1 and len(scales + steps) == len(details)
        if not (low and high and understood):
            raise ValueError(GRAMMAR)
        log = scales[0] if scales else None
        return Range(number(low), number(high), log, *map(number, steps))
    texts = [text.strip() for text in value.split(",")]
    if "" in texts:
        raise ValueError(GRAMMAR)
    if any(re.fullmatch(r"[+-]?0[0-9]+(\.[0-9]*)?", text) for text in texts):
        decimal = len(texts) == 2 and texts[0].lstrip("+-") == "0"  # 0,05 is 0.05; 1,000 is 1000
        point = "." if decimal else ""
        meant = f"did you mean {point.join(texts)}? " if len(texts) > 1 else ""
        raise ValueError(
            f"{meant}A number does not start with 0, and commas separate choices, as in 32,64"
        )
    return tuple(map(token, texts))


def override_text(name: str, override: Override) -> str:
    """An override as an argument of ``--set``, in one spelling however it was given."""
    return f"{name}={override if isinstance(override, Range) else ','.join(override)}"


def texts_of(settings: Mapping[str, Any]) -> list[str]:
    """Settings as arguments of ``--set``, one value each."""
    return [f"{name}={token(value)}" for name, value in settings.items()]


def token(value: Any) -> str:
    """A value as ``--set`` prints it: numbers at their shortest, true, false, none."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    try:
        return shortest(number(value))
    except ValueError:
        return str(value).strip()


def number(value: Any) -> float:
    """A finite number, also from text. Raises ValueError for anything else, and for a number that
    a float cannot tell from 0 or infinity.
    """
    text = value if isinstance(value, str) else reprlib.repr(value)
    try:
        found = float(value) if text.isascii() and not isinstance(value, bool) else math.nan
    except OverflowError:
        found = math.inf
    except (TypeError, ValueError):
        found = math.nan
    nonzero = re.search("[1-9]", text.lower().partition("e")[0])
    if math.isinf(found) and nonzero:
        raise ValueError(f"{shown(value)} is too large")
    if not math.isfinite(found):
        raise ValueError(f"{shown(value)} is not a finite number")
    if found == 0 and nonzero:
        raise ValueError(f"{shown(value)} is too small to be told from 0")
    return found


def shown(value: Any) -> str:
    """A value of any depth and length from outside, cut to what a message can repeat."""
    text = value if isinstance(value, str) else reprlib.repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def shortest(value: float) -> str:
    """The shortest text that reads back as the same number: 0.1, 1e-05, 128."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
