"""A search space as its user wants it: parameters narrowed, widened, fixed or made to vary, in a
line each.

    NAME=VALUE                              fixed NAME=LOW..HIGH[:log|:linear][:step=S]   a range;
    where it does not say, log and step are the parameter's own NAME=A,B,C
    choices

A file says the same with a readable layout, in TOML or YAML: ``lr = {low = 1e-4, high = 0.1, log =
true}``, ``max_norm = 0.1``, ``beta1 = [0.0, 0.5]``. Why this and that is so:
docs/decisions/overrides.md.
"""

import dataclasses
import difflib
import math
import re
import reprlib
import stat
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from command_line import UsageError
from search_spaces import Parameter, SearchSpace, contains

GRAMMAR = "takes NAME=VALUE, NAME=LOW..HIGH[:log|:linear][:step=S] or NAME=A,B,C"

LARGEST_FILE = 100_000
"""Bytes of a space file: a hundred parameters take a tenth of it."""
LARGEST_WHOLE, LARGEST_NUMBER = 2**53, 3.4e38
"""Whole numbers above are no longer exact as Python's float, numbers above are infinite as torch's float32."""


@dataclass(frozen=True)
class Range:
    """A range as the user wrote it; what is None is as the parameter has it."""

    low: float
    high: float
    log: bool | None = None
    step: float | None = None

    def __str__(self) -> str:
        scale = {None: "", True: ":log", False: ":linear"}[self.log]
        step = "" if self.step is None else f":step={_shortest(self.step)}"
        return f"{_shortest(self.low)}..{_shortest(self.high)}{scale}{step}"


Override = Range | tuple[str, ...]
"""A range, or values to choose from, as text: which type they are of only the parameter knows. A single one is fixed."""


def parse_overrides(texts: Iterable[str]) -> dict[str, Override]:
    """The arguments of ``--set`` by the name they set. Raises UsageError where one cannot be read or a name comes twice."""
    overrides: dict[str, Override] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name:
            raise UsageError(f"--set {_shown(text)}: {GRAMMAR}")
        if name in overrides:
            raise UsageError(f"--set {_shown(text)}: {_shown(name)} is set twice")
        try:
            overrides[name] = _parse_value(value)
        except ValueError as error:
            raise UsageError(f"--set {_shown(text)}: {error}") from None
    return overrides


def _parse_value(value: str) -> Override:
    if "..." in value:
        raise ValueError("a range has two dots, as in 1e-4..1")
    if ".." in value:
        ends, *details = value.split(":")
        low, _, high = ends.partition("..")
        scales = [detail for detail in details if detail in ("log", "linear")]
        steps = [detail.removeprefix("step=") for detail in details if detail.startswith("step=")]
        understood = (
            len(scales) <= 1 and len(steps) <= 1 and len(scales) + len(steps) == len(details)
        )
        if not (understood and low.strip() and high.strip()):
            raise ValueError(GRAMMAR)
        log = scales[0] == "log" if scales else None
        return Range(_number(low), _number(high), log, _number(steps[0]) if steps else None)
    texts = [text.strip() for text in value.split(",")]
    if "" in texts:
        raise ValueError(GRAMMAR)
    if any(re.fullmatch(r"[+-]?0[0-9]+(\.[0-9]*)?", text) for text in texts):
        meant = f"did you mean {''.join(texts)}? " if len(texts) > 1 else ""
        raise ValueError(
            f"{meant}A number does not start with 0, and a comma stands between choices, as in 32,64"
        )
    return tuple(_token(text) for text in texts)


def read_space_file(path: Path) -> dict[str, Override]:
    """The entries of a TOML or YAML file (by its suffix). Raises UsageError if it, or an entry, cannot be read."""
    loaders: dict[str, Callable[[str], Any]] = {
        ".toml": tomllib.loads,
        ".yaml": _load_yaml,
        ".yml": _load_yaml,
    }
    load = loaders.get(path.suffix)
    if load is None:
        raise UsageError(f"--space-file takes a .toml, .yaml or .yml file, got {path}")
    try:
        entries = load(_read_text(path))
    except OSError as error:
        raise UsageError(f"--space-file {path} cannot be read: {error.strerror}") from None
    except RecursionError:
        raise UsageError(f"--space-file {path} cannot be read: it is nested too deeply") from None
    except (ValueError, yaml.YAMLError) as error:
        raise UsageError(f"--space-file {path} cannot be read: {error}") from None
    if not isinstance(entries, dict) or not all(isinstance(name, str) for name in entries):
        raise UsageError(f"--space-file {path} must give each parameter by its name")
    overrides = {}
    for name, entry in entries.items():
        try:
            overrides[name] = _read_entry(entry)
            if parse_overrides([override_text(name, overrides[name])]) != {name: overrides[name]}:
                raise ValueError(f"{_shown(entry)} cannot be a value")
        except ValueError as error:
            raise UsageError(f"--space-file {path}: {_shown(name)}: {error}") from None
    return overrides


def _read_text(path: Path) -> str:
    """The text of a space file. Raises ValueError if it is no file, too large or no text: a device or a pipe may never end."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(
            "it is a folder" if stat.S_ISDIR(found.st_mode) else "it is not a regular file"
        )
    if found.st_size > LARGEST_FILE:
        raise ValueError(
            f"it has {found.st_size:,} bytes, and a space file {LARGEST_FILE:,} at most"
        )
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not text in UTF-8") from None


class _PlainLoader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML without what can make a short file endless (aliases), or hides a value (a name that comes twice)."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("it has an alias (*name): write the value itself")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = Counter(name.value for name, _ in node.value if isinstance(name.value, str))
        for name, count in names.items():
            if count > 1:
                raise ValueError(f"{_shown(name)} is there twice")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _load_yaml(text: str) -> Any:
    return yaml.load(text, _PlainLoader)


def _read_entry(entry: Any) -> Override:
    if isinstance(entry, dict):
        if not {"low", "high"} <= set(entry) <= {"low", "high", "log", "step"}:
            raise ValueError(
                f"a range has low, high and where needed log and step, got {', '.join(map(_shown, list(entry)[:6])) or 'none'}"
            )
        log, step = entry.get("log"), entry.get("step")
        if not isinstance(log, bool | None):
            raise ValueError(f"log is true or false, got {_shown(log)}")
        return Range(
            _number(entry["low"]),
            _number(entry["high"]),
            log,
            None if step is None else _number(step),
        )
    values = entry if isinstance(entry, list) else [entry]
    if not values or not all(isinstance(value, str | int | float | None) for value in values):
        raise ValueError(
            f"takes a value, a list of values, or a range with low and high, got {_shown(entry)}"
        )
    return tuple(_token(value) for value in values)


def texts_of(settings: Mapping[str, Any]) -> list[str]:
    """Settings as ``--set`` takes them, each with its one value."""
    return [f"{name}={_token(value)}" for name, value in settings.items()]


def override_text(name: str, override: Override) -> str:
    """The override as an argument of ``--set``: one spelling, however it was given."""
    return f"{name}={override if isinstance(override, Range) else ','.join(override)}"


def override(
    space: SearchSpace,
    overrides: Mapping[str, Override],
    options: Collection[str] = (),
    single: bool = False,
) -> SearchSpace:
    """``space`` with what the user wants otherwise.

    What is fixed moves to ``fixed``; but beside a parent that varies it stays a parameter, with one
    choice, as it must not reach where it has no meaning. A parameter goes where its parent can no
    longer take the value it needs, and one of ``others`` comes where its parent now can. Known
    settings are tried as the whole they are: those that are not inside what is left are named in
    ``left_out``.

    Args:
        options: Names of the command line's own options, which are told from unknown ones.
        single: Whether one configuration is wanted: then what is set stays a parameter, with one
            choice.

    Raises:
        UsageError: Where an override names no parameter, or values that it cannot take.
    """
    if not overrides:
        return space
    described = {
        name: _describe(name, space)
        for name in dict.fromkeys((*space.others, *space.parameters, *space.fixed))
    }
    for name in overrides:
        if name not in described:
            raise UsageError(_unknown(name, described, options))
    parameters: dict[str, Parameter] = {}
    fixed: dict[str, Any] = {}
    for name, own in described.items():
        if not _possible(own.only_if, parameters, fixed):
            if name in overrides and own.only_if:
                parent, value = own.only_if
                raise UsageError(
                    f"{_shown(override_text(name, overrides[name]))}: {name} has a meaning only where {parent}={value}"
                )
            continue
        if name in overrides:
            distribution = _distribution(name, own, overrides[name])
        elif name in space.parameters:
            distribution = own.distribution
        elif name in space.fixed:
            distribution = CategoricalDistribution((space.fixed[name],))
        elif own.only_if and not _possible(own.only_if, space.parameters, space.fixed):
            distribution = own.distribution
        else:
            continue
        conditional = own.only_if is not None and own.only_if[0] in parameters
        stays = conditional or (
            single
            and (name in space.parameters or not contains(distribution, space.fixed.get(name)))
        )
        if (
            isinstance(distribution, CategoricalDistribution)
            and distribution.single()
            and not stays
        ):
            fixed[name] = distribution.choices[0]
        else:
            only_if = own.only_if if conditional else None
            parameters[name] = dataclasses.replace(own, distribution=distribution, only_if=only_if)
    if not single and all(parameter.distribution.single() for parameter in parameters.values()):
        raise UsageError("nothing is left to vary: give one parameter a range or several choices")
    whole = {label: {**space.fixed, **values} for label, values in space.baselines.items()}
    known = {
        label: found
        for label, values in whole.items()
        if (found := _inside(values, parameters, fixed)) is not None
    }
    left_out = tuple(label for label in space.baselines if label not in known)
    return dataclasses.replace(
        space, parameters=parameters, fixed=fixed, baselines=known, left_out=left_out
    )


def _describe(name: str, space: SearchSpace) -> Parameter:
    """What is known of the values that a name may take: its range, here or in a larger space, or
    the value it is fixed at.

    A condition that always holds here is stated by the larger space alone.
    """
    here, other = space.parameters.get(name), space.others.get(name)
    if here and other:
        return dataclasses.replace(here, only_if=here.only_if or other.only_if)
    return (
        here
        or other
        or Parameter(CategoricalDistribution((space.fixed[name],)), "As the user wants it.")
    )


def _unknown(name: str, described: Collection[str], options: Collection[str]) -> str:
    if name in options:
        return f"{name} is not a search parameter; set it with --{name.replace('_', '-')}"
    nearest = difflib.get_close_matches(name, described, n=1)
    meant = f" (did you mean {nearest[0]}?)" if nearest else ""
    return f"there is no parameter {_shown(name)}{meant}; there are {', '.join(described)}"


def _possible(
    only_if: tuple[str, Any] | None, parameters: Mapping[str, Parameter], fixed: Mapping[str, Any]
) -> bool:
    """Whether some trial of the space meets the condition."""
    if only_if is None:
        return True
    parent, value = only_if
    return (
        contains(parameters[parent].distribution, value)
        if parent in parameters
        else fixed.get(parent) == value
    )


def _inside(
    values: Mapping[str, Any], parameters: Mapping[str, Parameter], fixed: Mapping[str, Any]
) -> dict[str, Any] | None:
    """A value for every parameter that applies, from ``values``; None where these are not all inside the space."""
    if any(name not in values or values[name] != value for name, value in fixed.items()):
        return None
    settings: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if parameter.applies(settings):
            if name not in values or not contains(parameter.distribution, values[name]):
                return None
            settings[name] = values[name]
    return settings


def _distribution(name: str, own: Parameter, override: Override) -> BaseDistribution:
    try:
        return _range(own, override) if isinstance(override, Range) else _choices(own, override)
    except ValueError as error:
        raise UsageError(f"{_shown(override_text(name, override))}: {error}") from None


def _range(own: Parameter, wanted: Range) -> FloatDistribution | IntDistribution:
    kind = _number_type(own.distribution)
    if kind is None:
        raise ValueError(f"it takes {_words(own.distribution)}, which is no range")
    low, high = (_check_number(end, kind, own) for end in (wanted.low, wanted.high))
    if low >= high:
        raise ValueError("the lower end must be below the upper one")
    log = bool(getattr(own.distribution, "log", False)) if wanted.log is None else wanted.log
    if log and low <= 0:
        raise ValueError("a log range must start above 0 (or add :linear)")
    if log and wanted.step is not None:
        raise ValueError("a log range has no step (or add :linear)")
    inherited = None if log else getattr(own.distribution, "step", None)
    step = inherited if wanted.step is None else wanted.step
    if step is not None and (
        step <= 0 or abs((high - low) / step - round((high - low) / step)) > 1e-8
    ):
        raise ValueError(f"the step {_shortest(step)} must divide the range")
    if kind is float:
        return FloatDistribution(low, high, log=log, step=step)
    if step is not None and step != int(step):
        raise ValueError(f"the step of whole numbers must be one, got {_shortest(step)}")
    return IntDistribution(int(low), int(high), log=log, step=1 if step is None else int(step))


def _choices(own: Parameter, tokens: tuple[str, ...]) -> CategoricalDistribution:
    kind = _number_type(own.distribution)
    if kind is None:
        known = {_token(choice).lower(): choice for choice in _values(own.distribution)}
        unknown = [token for token in tokens if token.lower() not in known]
        if unknown:
            raise ValueError(f"it takes {_words(own.distribution)}, not {_shown(unknown[0])}")
        choices = [known[token.lower()] for token in tokens]
    else:
        choices = sorted(_check_number(_number(token), kind, own) for token in tokens)
    if len({*choices}) < len(choices):
        raise ValueError("a choice is there twice")
    return CategoricalDistribution(choices)


def _number_type(distribution: BaseDistribution) -> type[int] | type[float] | None:
    """What kind of numbers a distribution gives; None where its choices are not all numbers."""
    types = {type(value) for value in _values(distribution)}
    return None if not types <= {int, float} else int if types == {int} else float


def _check_number(value: float, kind: type[int] | type[float], own: Parameter) -> int | float:
    """``value`` as the parameter's type. Raises ValueError where it is not of that type, or has no meaning for it."""
    lowest = _natural_low(own.distribution)
    largest = LARGEST_WHOLE if kind is int else LARGEST_NUMBER
    if abs(value) > largest:
        raise ValueError(f"it takes numbers up to {largest:g}, not {_shortest(value)}")
    if kind is int and value != int(value):
        raise ValueError(f"it takes whole numbers, not {_shortest(value)}")
    if value < lowest:
        raise ValueError(f"it takes numbers from {lowest:g}, not {_shortest(value)}")
    if value >= own.below:
        raise ValueError(f"it takes numbers below {own.below:g}, not {_shortest(value)}")
    return kind(value)


def _natural_low(distribution: BaseDistribution) -> float:
    """Below this a number has no meaning: 1 for whole numbers that are all positive, 0 where none is negative."""
    lowest = min(_values(distribution))
    return (
        -math.inf if lowest < 0 else 1 if _number_type(distribution) is int and lowest >= 1 else 0
    )


def _values(distribution: BaseDistribution) -> tuple[Any, ...]:
    """The choices, or both ends of a range."""
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return distribution.low, distribution.high
    assert isinstance(distribution, CategoricalDistribution)
    return distribution.choices


def _words(distribution: BaseDistribution) -> str:
    return ", ".join(map(_token, _values(distribution)))


def _token(value: Any) -> str:
    """A value as ``--set`` has it: numbers in one spelling, true, false and none in small letters."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    try:
        return _shortest(_number(value))
    except ValueError:
        return str(value).strip()


def _number(value: Any) -> float:
    """A finite number, from text too. Raises ValueError if it is none, or is too large or too small to be held."""
    text = value if isinstance(value, str) else reprlib.repr(value)
    shown = _shown(value)
    try:
        number = float(value) if not isinstance(value, bool) and text.isascii() else math.nan
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        digits = any(figure in text for figure in "123456789")
        raise ValueError(
            f"{shown} is too large"
            if math.isinf(number) and digits
            else f"{shown} is not a finite number"
        )
    if number == 0 and any(figure in text.lower().partition("e")[0] for figure in "123456789"):
        raise ValueError(f"{shown} is too small to be told from 0")
    return number


def _shown(value: Any) -> str:
    """A value from outside as a message may have it: of any depth and length, cut."""
    text = value if isinstance(value, str) else reprlib.repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _shortest(value: float) -> str:
    """The shortest text that reads back as the same number: 0.1, 1e-05, 128."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def widened(name: str, distribution: BaseDistribution, end: Literal["lower", "upper"]) -> str:
    """An argument of ``--set`` with which a parameter's range, or its numbers to choose from, go on
    beyond ``end``.

    By one decade on a log scale, else by the range's own width; choices by one more, as far from
    the last as that is from its neighbour. What is nowhere negative stays so, whole numbers that
    are positive stay so, and what lies within [0, 1), as shares and decays do, goes half of the way
    to 1 where it would pass it.

    Raises:
        ValueError: Where there is nothing beyond: choices that are not numbers, or a natural lower
        bound.
    """
    if _number_type(distribution) is None:
        raise ValueError(f"{name} takes {_words(distribution)}, which have no order")
    if end == "lower" and min(_values(distribution)) <= _natural_low(distribution):
        raise ValueError(f"{name} cannot be below {_natural_low(distribution):g}")
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return override_text(name, _widened_range(distribution, end))
    return override_text(name, tuple(map(_token, _widened_choices(distribution, end))))


def _widened_range(
    distribution: FloatDistribution | IntDistribution, end: Literal["lower", "upper"]
) -> Range:
    low, high = float(distribution.low), float(distribution.high)
    step = (
        distribution.step
        if isinstance(distribution, FloatDistribution) or distribution.step > 1
        else None
    )
    if distribution.log:
        beyond = low / 10 if end == "lower" else high * 10
        if isinstance(distribution, IntDistribution):
            beyond = max(1, int(beyond))
    else:
        by = high - low
        if end == "lower":
            by = min(by, low - _natural_low(distribution))
        elif _is_share(distribution) and _rounded(high + by) >= 1:
            by = (1 - high) / 2
        if step is not None:
            by = step * math.floor(by / step + 1e-9)
        if not by:
            raise ValueError(
                f"there is no step beyond {_shortest(low if end == 'lower' else high)}"
            )
        beyond = low - by if end == "lower" else high + by
    low, high = (_rounded(beyond), high) if end == "lower" else (low, _rounded(beyond))
    return Range(low, high, log=distribution.log, step=step)


def _widened_choices(
    distribution: BaseDistribution, end: Literal["lower", "upper"]
) -> list[int | float]:
    choices = sorted(_values(distribution), reverse=end == "lower")
    if len(choices) < 2:
        raise ValueError(
            f"{_words(distribution)} is the only value, so there is no step to the next"
        )
    *_, neighbour, last = choices
    beyond = _rounded(last + (last - neighbour))
    lowest = _natural_low(distribution)
    if beyond <= lowest and end == "lower":
        beyond = (last + lowest) / 2
    elif beyond >= 1 and end == "upper" and _is_share(distribution):
        beyond = (last + 1) / 2
    kind = _number_type(distribution) or float
    return sorted([*choices, kind(_rounded(beyond))])


def _is_share(distribution: BaseDistribution) -> bool:
    return (
        _number_type(distribution) is float
        and min(_values(distribution)) >= 0
        and max(_values(distribution)) < 1
    )


def _rounded(value: float) -> float:
    """Without what adding floats leaves behind its twelfth digit."""
    return float(f"{value:.12g}")
