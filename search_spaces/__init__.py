"""What a search may vary, as data: ranges with their scale and reason, fixed values, and settings known beforehand.

A search space can be printed, compared and read on one screen. It knows nothing of Ray, of a sampler or of a trial.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class Parameter:
    """One dimension of the space: the values it may take and why these."""

    distribution: BaseDistribution
    reason: str


@dataclass(frozen=True)
class SearchSpace:
    """The parameters that vary, the settings that stay the same in every trial, and settings worth trying first.

    ``known`` maps a name, shown in the console and the report, to a value for every parameter.
    """

    parameters: Mapping[str, Parameter]
    fixed: Mapping[str, Any]
    known: Mapping[str, Mapping[str, Any]]

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Name to Optuna distribution, in the order of ``parameters``."""
        return {name: parameter.distribution for name, parameter in self.parameters.items()}
