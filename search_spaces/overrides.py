"""A search space with the user's changes from ``--set`` and ``--space-file``: parameters narrowed,
widened, fixed or made to vary.

A parameter with one value moves to ``fixed``. If its parent varies it stays a parameter with one
choice instead, since ``fixed`` would reach trials in which it has no meaning. A parameter leaves if
its parent can no longer take the value it needs; one of ``others`` joins if its parent now can. The
reasons: docs/decisions/overrides.md
"""

import dataclasses
import difflib
import math
from collections.abc import Collection, Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from command_line import UsageError
from search_spaces import Parameter, SearchSpace, contains, ends
from search_spaces.set_syntax import Override, Range, number, override_text, shortest, shown, token

LARGEST_WHOLE, LARGEST_NUMBER = 2**53, 3.4e38
"""Above these, Python's float holds whole numbers inexactly, and torch's float32 is infinite."""


def override(
    space: SearchSpace,
    overrides: Mapping[str, Override],
    options: Collection[str] = (),
    single: bool = False,
) -> SearchSpace:
    """``space`` with the user's changes. Raises UsageError for one that it cannot have.

    Args:
        options: Names of the command line's own options, for the message if one of them is set.
        single: One configuration is wanted: parameters with one value stay parameters.
    """
    if not overrides:
        return space
    described = _describe(space, overrides, options)
    as_choices = {name: CategoricalDistribution((value,)) for name, value in space.fixed.items()}
    before = {**as_choices, **space.distributions}
    parameters: dict[str, Parameter] = {}
    fixed: dict[str, Any] = {}
    for name, distribution in _changed(described, overrides, before).items():
        own = described[name]
        parent, _ = own.only_if or (None, None)
        only_if = own.only_if if parent in parameters else None
        kept = single and (name in space.parameters or before.get(name) != distribution)
        values = ends(distribution)
        if len(values) == 1 and not only_if and not kept:
            fixed[name] = values[0]
        else:
            parameters[name] = dataclasses.replace(own, distribution=distribution, only_if=only_if)
    if not single and all(parameter.distribution.single() for parameter in parameters.values()):
        raise UsageError("nothing is left to vary: give one parameter a range or several choices")
    changed = dataclasses.replace(space, parameters=parameters, fixed=fixed)
    baselines = {
        label: settings
        for label, values in space.baselines.items()
        if (settings := _inside({**space.fixed, **values}, changed))
    }
    left_out = tuple(label for label in space.baselines if label not in baselines)
    return dataclasses.replace(changed, baselines=baselines, left_out=left_out)


def _describe(
    space: SearchSpace, overrides: Mapping[str, Override], options: Collection[str]
) -> dict[str, Parameter]:
    """Every setting with the values it may take: those of its parameter, here or in a larger space,
    or the value that it is fixed at. A condition that always holds here is known there only.
    """
    described: dict[str, Parameter] = {}
    for name in dict.fromkeys((*space.others, *space.parameters, *space.fixed)):
        here, other = space.parameters.get(name), space.others.get(name)
        if here and other:
            here = dataclasses.replace(here, only_if=here.only_if or other.only_if)
        fixed = CategoricalDistribution((space.fixed.get(name),))
        described[name] = here or other or Parameter(fixed, "Set by the user.")
    for name in overrides:
        if name in options and name not in described:
            flag = name.replace("_", "-")
            raise UsageError(f"{name} is not a search parameter; set it with --{flag}")
        if name not in described:
            nearest = difflib.get_close_matches(name, described, n=1)
            meant = f" (did you mean {nearest[0]}?)" if nearest else ""
            known = ", ".join(described)
            raise UsageError(f"there is no parameter {shown(name)}{meant}; there are {known}")
    return described


def _changed(
    described: Mapping[str, Parameter],
    overrides: Mapping[str, Override],
    before: Mapping[str, BaseDistribution],
) -> dict[str, BaseDistribution]:
    """What each setting of the changed space is drawn from; a fixed one has one choice."""
    now: dict[str, BaseDistribution] = {}
    for name, own in described.items():
        possible = _possible(own, now)
        if name in overrides:
            text = shown(override_text(name, overrides[name]))
            if own.only_if and not possible:
                raise UsageError(
                    f"{text}: {name} applies only if {own.only_if[0]}={own.only_if[1]}"
                )
            wanted = overrides[name]
            try:
                now[name] = (
                    _range(own, wanted) if isinstance(wanted, Range) else _choices(own, wanted)
                )
            except ValueError as error:
                raise UsageError(f"{text}: {error}") from None
        elif possible and name in before:
            now[name] = before[name]
        elif possible and not _possible(own, before):
            now[name] = own.distribution
    return now


def _possible(parameter: Parameter, distributions: Mapping[str, BaseDistribution]) -> bool:
    """Whether the parameter applies to any trial drawn from ``distributions``."""
    if parameter.only_if is None:
        return True
    parent, value = parameter.only_if
    return parent in distributions and contains(distributions[parent], value)


def _inside(values: Mapping[str, Any], space: SearchSpace) -> dict[str, Any] | None:
    """Those of the ``values`` that the space varies, or None if any of them lies outside it."""
    if not space.fixed.items() <= values.items():
        return None
    settings: dict[str, Any] = {}
    for name, parameter in space.parameters.items():
        if parameter.applies(settings):
            if name not in values or not contains(parameter.distribution, values[name]):
                return None
            settings[name] = values[name]
    return settings


def _range(own: Parameter, wanted: Range) -> FloatDistribution | IntDistribution:
    kind = number_type(own.distribution)
    if kind is None:
        raise ValueError(f"it takes {words(own.distribution)}, not a range")
    low, high = (_check_number(end, kind, own) for end in (wanted.low, wanted.high))
    if low >= high:
        raise ValueError("the lower end must be below the upper end")
    log = bool(getattr(own.distribution, "log", False)) if wanted.log is None else wanted.log
    if log and low <= 0:
        raise ValueError("a log range must start above 0 (or add :linear)")
    if log and wanted.step is not None:
        raise ValueError("a log range has no step (or add :linear)")
    step = wanted.step
    if step is None and not log:
        step = getattr(own.distribution, "step", None)
    if step is not None:
        steps = (high - low) / step if step > 0 else math.inf
        if steps > LARGEST_WHOLE or abs(steps - round(steps)) > 1e-8:
            raise ValueError(f"the step {shortest(step)} must divide the range")
    if kind is float:
        return FloatDistribution(low, high, log=log, step=step)
    if step is not None and step != int(step):
        raise ValueError(f"the step must be a whole number, got {shortest(step)}")
    return IntDistribution(int(low), int(high), log=log, step=int(step or 1))


def _choices(own: Parameter, tokens: tuple[str, ...]) -> CategoricalDistribution:
    kind = number_type(own.distribution)
    if kind is None:
        known = {token(choice).lower(): choice for choice in ends(own.distribution)}
        for text in tokens:
            if text.lower() not in known:
                raise ValueError(f"it takes {words(own.distribution)}, not {shown(text)}")
        choices = [known[text.lower()] for text in tokens]
    else:
        choices = sorted(_check_number(number(text), kind, own) for text in tokens)
    if len({*choices}) < len(choices):
        raise ValueError("a choice is there twice")
    return CategoricalDistribution(choices)


def _check_number(value: float, kind: type[int] | type[float], own: Parameter) -> int | float:
    """``value`` as the parameter's type. Raises ValueError if the parameter cannot have it."""
    largest = LARGEST_WHOLE if kind is int else LARGEST_NUMBER
    lowest = max(own.at_least, natural_low(own.distribution))
    for refused, range_text in (
        (abs(value) > largest, f"numbers up to {largest:g}"),
        (kind is int and value % 1, "whole numbers"),
        (value < lowest, f"numbers from {lowest:g}"),
        (value >= own.below, f"numbers below {own.below:g}"),
    ):
        if refused:
            raise ValueError(f"it takes {range_text}, not {shortest(value)}")
    return kind(value)


def number_type(distribution: BaseDistribution) -> type[int] | type[float] | None:
    """The type of a distribution's numbers; None if any choice is not a number."""
    types = {type(value) for value in ends(distribution)}
    return None if not types <= {int, float} else int if types == {int} else float


def natural_low(distribution: BaseDistribution) -> float:
    """The lowest number with a meaning: 1 for positive whole numbers, 0 if none is negative."""
    kind = number_type(distribution)
    if kind is None or min(ends(distribution)) < 0:
        return -math.inf
    return 1 if kind is int and min(ends(distribution)) >= 1 else 0


def words(distribution: BaseDistribution) -> str:
    """A distribution's choices, or ends, as a message names them."""
    return ", ".join(map(token, ends(distribution)))
