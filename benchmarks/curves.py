"""Recorded learning curves of a search space, replayed to a search in place of training, and what
the search spent on them.

The table has the settings of a Sobol sequence over all dimensions of the space, each trained once.
A search may ask for any setting of the space: it gets the curve of the nearest recorded one by
Gower's distance (1971, https://doi.org/10.2307/2528823): the sum over parameters of the difference
on the unit scale (of the logarithm where the parameter has a logarithmic one), 1 for another
category; a parameter that applies to one of the two settings only is left out, since its parent
counts already. Each difference is weighted by the square root of the parameter's importance in a
random forest over the table: unweighted, the ten parameters that hardly matter decide which setting
is the nearest.
"""

import gzip
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from scipy.stats import qmc

from records.surrogate import Surrogate
from search_spaces import SearchSpace
from search_spaces.unit_scale import place, quantile

TRAINING = {"input_length": 50, "max_steps": 400, "report_every": 10}
"""How a setting is recorded: over as many time steps as 400 steps on whole palindromes have, up to 30 s on a core."""

FIGURES = ("step", "work", "log_work", "accuracy")
"""What a report's row holds beside its place: training steps and time steps so far, the objective, held-out accuracy."""

ENOUGH = 30
"""Recorded settings from which on the distance is weighted."""

NEAR_BEST = 1.1
"""How much more work than the best recorded setting one may need that counts as near the best."""


@dataclass(frozen=True)
class Setting:
    """A recorded setting: its place in the sequence, its values, a row a report, and how it ended.

    ``work_to_converge``: time steps trained until it had converged, None where it did not.
    """

    number: int
    values: Mapping[str, Any]
    rows: list[dict[str, float]]
    ended: str
    work_to_converge: float | None


def sobol_settings(space: SearchSpace, count: int) -> list[dict[str, Any]]:
    """The first ``count`` settings of a scrambled Sobol sequence over the space; a longer list extends a shorter one."""
    points = qmc.Sobol(len(space.parameters), seed=1).random(2 ** max(0, count - 1).bit_length())[
        :count
    ]
    settings = []
    for point in points:
        values: dict[str, Any] = {}
        for (name, parameter), u in zip(space.parameters.items(), point, strict=True):
            if parameter.applies(values):
                values[name] = quantile(float(u), parameter.distribution)
        settings.append(values)
    return settings


class Curves:
    """The recorded settings of ``space``."""

    def __init__(self, space: SearchSpace, settings: Iterable[Setting]) -> None:
        self.space = space
        self.settings = list(settings)
        self._categorical = np.array(
            [isinstance(one, CategoricalDistribution) for one in space.distributions.values()]
        )
        self._places = np.stack(
            [self._place(setting.values) for setting in self.settings]
        )  # (settings, parameters)
        self.weights = self._weights()
        converged = [
            setting.work_to_converge
            for setting in self.settings
            if setting.work_to_converge is not None
        ]
        self.best = min(converged)
        self.max_work = max(setting.rows[-1]["work"] for setting in self.settings)
        self.max_reports = max(len(setting.rows) for setting in self.settings)

    @classmethod
    def read(cls, path: Path, space: SearchSpace) -> "Curves":
        """The table that ``write`` wrote. Raises ValueError where it was recorded over another space."""
        table = pd.read_csv(path)
        missing = [name for name in space.parameters if name not in table]
        if missing:
            raise ValueError(
                f"{path} was recorded over another space, without {', '.join(missing)}: record it again"
            )
        return cls(space, settings_of(table, space))

    def nearest(self, values: Mapping[str, Any]) -> Setting:
        """The recorded setting nearest to ``values``, which may hold more than the space's parameters."""
        difference = np.abs(self._places - self._place(values))
        difference[:, self._categorical] = np.where(
            difference[:, self._categorical] > 0, 1.0, difference[:, self._categorical]
        )
        return self.settings[int(np.nansum(difference * self.weights, axis=1).argmin())]

    def _weights(self) -> NDArray[np.float64]:
        """The weight of each parameter in the distance; all alike where there is too little to learn them from."""
        if len(self.settings) < ENOUGH:
            return np.ones(len(self.space.parameters))
        surrogate = Surrogate(
            self.space.parameters, [(one.values, one.rows[-1]["log_work"]) for one in self.settings]
        )
        return np.sqrt(list(surrogate.importances().values()))

    def near_best(self, setting: Setting) -> bool:
        """Whether the setting converges within 10% of the least work known."""
        return (
            setting.work_to_converge is not None
            and setting.work_to_converge <= NEAR_BEST * self.best
        )

    def _place(self, values: Mapping[str, Any]) -> NDArray[np.float64]:
        """Unit coordinates of a setting, (parameters,); a category's is its number, NaN where a parameter does not apply."""
        coordinates = np.full(len(self.space.parameters), np.nan)
        for at, (name, parameter) in enumerate(self.space.parameters.items()):
            if parameter.applies(values):
                distribution, value = parameter.distribution, values[name]
                if isinstance(distribution, CategoricalDistribution):
                    coordinates[at] = distribution.choices.index(value)
                else:
                    coordinates[at] = place(value, distribution)
        return coordinates


def settings_of(table: pd.DataFrame, space: SearchSpace) -> Iterator[Setting]:
    """The settings that a table of curves holds whole; one that was cut off while it was written down is left out."""
    for number, curve in table.groupby("setting"):
        last = curve.iloc[-1]
        if pd.isna(last["ended"]):
            continue
        values: dict[str, Any] = {}
        for name, parameter in space.parameters.items():
            if parameter.applies(values):
                values[name] = _value(parameter.distribution, last[name])
        rows = [
            {"report": place, **{name: float(row[name]) for name in FIGURES}}
            for place, row in enumerate(curve.to_dict("records"), start=1)
        ]
        converged = last["ended"] == "converged"
        yield Setting(
            int(str(number)),
            values,
            rows,
            last["ended"],
            last["work_to_converge"] if converged else None,
        )


def _value(distribution: BaseDistribution, cell: Any) -> Any:
    """A cell as the distribution has it: a choice by its text or number, since a CSV column has one type."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            same = [choice for choice in choices if choice == cell or str(choice) == str(cell)]
            return same[0]
        case IntDistribution():
            return int(cell)
    return float(cell)


def write(table: pd.DataFrame, path: Path) -> None:
    """The table as gzipped CSV, the same bytes for the same table."""
    text = io.StringIO()
    table.sort_values(["setting", "work"], kind="stable").to_csv(
        text, index=False, float_format="%.6g"
    )
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


@dataclass
class Ledger:
    """What one search has spent, in time steps, over all trials in their order, and what it had
    spent when it found something.

    Args:
        budget: Time steps after which the search is over. It is over, too, once all that is asked
            of it is found.
    """

    curves: Curves
    budget: float
    spent: float = 0.0
    trials: int = 0
    found: dict[str, float] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return self.spent >= self.budget or "near best" in self.found

    def report(self, setting: Setting, report: int, since: int | None = None) -> None:
        """A trial of ``setting`` has come to its ``report`` (1 is the first); ``since``: the one it had come to before."""
        before = report - 1 if since is None else since
        self.trials += before == 0
        self.spent += setting.rows[report - 1]["work"] - (
            setting.rows[before - 1]["work"] if before else 0.0
        )
        if (
            report == len(setting.rows)
            and setting.ended == "converged"
            and self.spent <= self.budget
        ):
            self.found.setdefault("converged", self.spent)
            if self.curves.near_best(setting):
                self.found.setdefault("near best", self.spent)
