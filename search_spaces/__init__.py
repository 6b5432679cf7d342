"""What a search may vary, as data: ranges with their scale and reason, fixed values, and baselines.

A search space can be printed, compared and read on one screen. It knows nothing of Ray, samplers
or trials.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)


def ends(distribution: BaseDistribution) -> tuple[Any, ...]:
    """The two ends of a range, or all choices."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    return distribution.low, distribution.high  # type: ignore[attr-defined]


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether the distribution can give this value, which may be of any type."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    return isinstance(value, int | float) and distribution._contains(value)


@dataclass(frozen=True)
class Parameter:
    """One dimension of the space.

    Args:
        distribution: The values that the search tries.
        reason: Why these values.
        only_if: An earlier parameter and its value. For any other value of it, this parameter has
            no meaning and no value.
        at_least, below: Bounds (the upper one exclusive) on the numbers that the user may ask for.
        mutable: Whether the value can change during a training, because no network is built from
            it. ``--scheduler pbt`` changes it.
    """

    distribution: BaseDistribution
    reason: str
    only_if: tuple[str, Any] | None = None
    at_least: float = -math.inf
    below: float = math.inf
    mutable: bool = False

    def applies(self, settings: Mapping[str, Any]) -> bool:
        """Whether the parameter has a meaning with the ``settings`` chosen so far."""
        return self.only_if is None or settings.get(self.only_if[0]) == self.only_if[1]

    @property
    def words(self) -> str:
        """The range or the choices: ``0.001 to 0.1 (log)``, ``in ('adam', 'sgd')``."""
        match self.distribution:
            case FloatDistribution() | IntDistribution() as range_:
                return f"{range_.low:g} to {range_.high:g}{' (log)' if range_.log else ''}"
        return f"in {getattr(self.distribution, 'choices', self.distribution)}"

    @property
    def record(self) -> dict[str, Any]:
        """The parameter's entry in ``search.json``."""
        return {
            "distribution": distribution_to_json(self.distribution),
            "reason": self.reason,
            "only_if": self.only_if,
            "at_least": self.at_least if math.isfinite(self.at_least) else None,
            "mutable": self.mutable,
        }


@dataclass(frozen=True)
class SearchSpace:
    """The parameters that vary, the settings that are the same in every trial, and the baselines.

    Args:
        parameters: What varies; a parameter comes after the one that its ``only_if`` names.
        fixed: Name to value, the same in every trial.
        baselines: Settings to try first, by the name that the console and the report show: a value
            for every parameter that applies.
        others: Parameters that are fixed or have no meaning here, which the user may make vary.
        left_out: Names of the baselines that the user's changes exclude (see
            ``search_spaces.overrides``).
        prior_weight: Weight of TPE's uniform prior over the space, in trials.
    """

    parameters: Mapping[str, Parameter]
    fixed: Mapping[str, Any]
    baselines: Mapping[str, Mapping[str, Any]]
    others: Mapping[str, Parameter] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    prior_weight: float = 1.0

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Name to Optuna distribution, in the order of ``parameters``."""
        return {name: parameter.distribution for name, parameter in self.parameters.items()}

    @property
    def conditional(self) -> bool:
        """Whether any parameter applies only for a certain value of another."""
        return any(parameter.only_if for parameter in self.parameters.values())

    @property
    def mutable(self) -> tuple[str, ...]:
        """Names of the parameters that can change during a training."""
        return tuple(name for name, parameter in self.parameters.items() if parameter.mutable)

    @property
    def largest(self) -> dict[str, Any]:
        """Each setting at its largest number; parameters whose values are not all numbers are left
        out.
        """
        values = {name: ends(distribution) for name, distribution in self.distributions.items()}
        numbers = {
            name: max(found)
            for name, found in values.items()
            if all(isinstance(value, int | float) for value in found)
        }
        return {**self.fixed, **numbers}

    def choose(self, value: Callable[[str, BaseDistribution], Any]) -> dict[str, Any]:
        """Settings: ``value`` of the name and distribution of every parameter that applies, one
        after another."""
        settings: dict[str, Any] = {}
        for name, parameter in self.parameters.items():
            if parameter.applies(settings):
                settings[name] = value(name, parameter.distribution)
        return settings

    def varied(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of ``config`` that the search varied, in the order of ``parameters``."""
        return {name: config[name] for name in self.parameters if name in config}
