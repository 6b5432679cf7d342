"""What a search may vary, as data: ranges with their scale and reason, fixed values, and settings
known beforehand.

A search space can be printed, compared and read on one screen. It knows nothing of Ray, of a
sampler or of a trial.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value is one that the distribution can give; text, say, is in no range."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    return isinstance(value, int | float) and distribution._contains(value)


@dataclass(frozen=True)
class Parameter:
    """One dimension of the space: the values it may take and why these.

    ``only_if`` names an earlier parameter and its value: elsewhere this one has no meaning, and no
    value. A number must stay ``below`` what is said, whatever range the user asks for.
    ``mutable``: whether it can change in the middle of a training, since no network is built from
    it; ``--scheduler pbt`` changes it.
    """

    distribution: BaseDistribution
    reason: str
    only_if: tuple[str, Any] | None = None
    below: float = math.inf
    mutable: bool = False

    def applies(self, settings: Mapping[str, Any]) -> bool:
        """Whether the parameter has a meaning beside the ``settings`` chosen so far."""
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
            "mutable": self.mutable,
        }


@dataclass(frozen=True)
class SearchSpace:
    """The parameters that vary, the settings that stay the same in every trial, and settings worth
    trying first.

    ``baselines`` maps a name, shown in the console and the report, to a value for every parameter that
    applies. ``others`` describes what is fixed here, or has no meaning here, but may be made to
    vary by the user; ``left_out`` names the baselines that the user's changes exclude (see
    ``search_spaces.overrides``). ``prior_weight`` is how many trials TPE's uniform prior over the
    space weighs as much as.
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
        """Whether any parameter applies only beside a certain value of another."""
        return any(parameter.only_if for parameter in self.parameters.values())

    @property
    def mutable(self) -> tuple[str, ...]:
        """The parameters that can change in the middle of a training."""
        return tuple(name for name, parameter in self.parameters.items() if parameter.mutable)

    @property
    def largest(self) -> dict[str, Any]:
        """Each setting at its largest number; settings that vary over anything but numbers are left out."""
        ends = {
            name: getattr(d, "choices", None) or (d.low, d.high)  # type: ignore[attr-defined]
            for name, d in self.distributions.items()
        }
        numbers = {
            name: values
            for name, values in ends.items()
            if all(isinstance(value, int | float) for value in values)
        }
        return {**self.fixed, **{name: max(values) for name, values in numbers.items()}}

    def varied(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of ``config`` that the search varied, in the order of ``parameters``."""
        return {name: config[name] for name in self.parameters if name in config}
