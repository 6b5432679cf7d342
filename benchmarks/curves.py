"""Recorded learning curves of a search space, which a search gets in place of training, and the
work that it spends on them.

The recorded settings are a Sobol sequence over all dimensions of the space, each trained once. A
search may ask for any setting: it gets the curve of the nearest recorded one by Gower's distance
(1971, https://doi.org/10.2307/2528823). The distance is a sum over the parameters: the difference
on the unit scale (of the logarithm if the range is logarithmic), or 1 for another category. A
parameter that applies to one of the two settings only is left out, since its parent counts already.

Each difference is weighted by the square root of the parameter's importance in a random forest over
the table. Without weights, the ten parameters that hardly matter would decide what is near.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from scipy.stats import qmc

from records.surrogate import Surrogate
from search_spaces import Parameter, SearchSpace
from search_spaces.sobol import settings_at_point
from search_spaces.unit_scale import place

TRAINING = {"input_length": 50, "max_steps": 400, "report_every": 10}
"""How a setting is recorded: over as many time steps as 400 steps on whole palindromes have, which
takes up to 30 s on a core."""

OBJECTIVE = "log_work"
REDUCTION = 3
"""The reduction factor in the examples of Ray Tune and Syne Tune, and SMAC's default."""

METRICS = ("step", "work", "log_work", "accuracy")
"""What a report has besides its number: training steps and time steps so far, the objective, and
held-out accuracy."""

ENOUGH = 30
"""Recorded settings from which on the distance is weighted."""

NEAR_BEST = 1.1
"""A setting is near the best if it needs at most this many times the least work recorded."""


@dataclass(frozen=True)
class Setting:
    """A recorded setting: its place in the sequence, its values, a row a report, and its outcome.

    ``work_to_converge``: time steps trained until it had converged, None if it did not.
    """

    number: int
    values: Mapping[str, Any]
    rows: list[dict[str, float]]
    ended: str
    work_to_converge: float | None


def sobol_settings(space: SearchSpace, count: int) -> list[dict[str, Any]]:
    """The first ``count`` settings of a scrambled Sobol sequence over the space.

    A longer list extends a shorter one.
    """
    power = max(0, count - 1).bit_length()
    points = qmc.Sobol(len(space.parameters), seed=1).random_base2(power)[:count]
    return [settings_at_point(space, point) for point in points.tolist()]


class Curves:
    """The recorded settings of ``space``, of which at least one must have converged."""

    def __init__(self, space: SearchSpace, settings: Iterable[Setting]) -> None:
        self.space = space
        self.settings = list(settings)
        distributions = space.distributions.values()
        self._categorical = np.array(
            [isinstance(d, CategoricalDistribution) for d in distributions]
        )
        # (settings, parameters)
        self._places = np.stack([self._place(setting.values) for setting in self.settings])
        self.weights = self._weights()
        work = [setting.work_to_converge for setting in self.settings]
        self.best = min(one for one in work if one is not None)
        self.max_work = max(setting.rows[-1]["work"] for setting in self.settings)
        self.max_reports = max(len(setting.rows) for setting in self.settings)

    @classmethod
    def read(cls, path: Path, space: SearchSpace) -> "Curves":
        """The table that ``write`` wrote.

        Raises ValueError if it was recorded over another space.
        """
        table = pd.read_csv(path)
        if missing := [name for name in space.parameters if name not in table]:
            raise ValueError(
                f"{path} was recorded over another space, without {', '.join(missing)}: "
                "record it again"
            )
        return cls(space, settings_of(table, space))

    def nearest(self, values: Mapping[str, Any]) -> Setting:
        """The recorded setting nearest to ``values``; names outside the space are ignored."""
        difference = np.abs(self._places - self._place(values))
        difference[self._categorical & (difference > 0)] = 1
        return self.settings[int(np.nansum(difference * self.weights, axis=1).argmin())]

    def near_best(self, setting: Setting) -> bool:
        """Whether the setting converges within 10% of the least work recorded."""
        needed = setting.work_to_converge
        return needed is not None and needed <= NEAR_BEST * self.best

    def _weights(self) -> NDArray[np.float64]:
        """Each parameter's weight in the distance; 1 if the table is too small to learn them."""
        if len(self.settings) < ENOUGH:
            return np.ones(len(self.space.parameters))
        losses = [(setting.values, setting.rows[-1]["log_work"]) for setting in self.settings]
        return np.sqrt(list(Surrogate(self.space.parameters, losses).importances().values()))

    def _place(self, values: Mapping[str, Any]) -> NDArray[np.float64]:
        """The coordinates of a setting, shape (parameters,): a number's place on the unit scale, a
        category's index, NaN for a parameter that does not apply.
        """

        def coordinate(name: str, parameter: Parameter) -> float | None:
            distribution = parameter.distribution
            if not parameter.applies(values):
                return None
            if isinstance(distribution, CategoricalDistribution):
                return distribution.choices.index(values[name])
            return place(values[name], distribution)

        coordinates = [coordinate(*one) for one in self.space.parameters.items()]
        return np.array(coordinates, dtype=np.float64)


def settings_of(table: pd.DataFrame, space: SearchSpace) -> Iterator[Setting]:
    """The settings of a table of curves, without those that have no outcome: their recording was
    cut off.
    """
    for number, curve in table.groupby("setting"):
        last = curve.iloc[-1]
        if pd.isna(last["ended"]):
            continue
        values = space.choose(partial(_value, last))
        rows: Any = curve[[*METRICS]].astype(float).to_dict("records")
        yield Setting(
            number=int(str(number)),
            values=values,
            rows=[{"report": report, **row} for report, row in enumerate(rows, start=1)],
            ended=last["ended"],
            work_to_converge=last["work_to_converge"] if last["ended"] == "converged" else None,
        )


def _value(row: "pd.Series[Any]", name: str, distribution: BaseDistribution) -> Any:
    """A cell as a value of the distribution; a CSV column has one type, so a choice is found by its
    text or number.
    """
    cell = row[name]
    if isinstance(distribution, CategoricalDistribution):
        return next(one for one in distribution.choices if one == cell or str(one) == str(cell))
    return int(cell) if isinstance(distribution, IntDistribution) else float(cell)


def write(table: pd.DataFrame, path: Path) -> None:
    """The table as gzipped CSV; the same table gives the same bytes."""
    ordered = table.sort_values(["setting", "work"], kind="stable")
    compression = {"method": "gzip", "mtime": 0}
    ordered.to_csv(path, index=False, float_format="%.6g", compression=compression)


@dataclass
class Ledger:
    """The time steps that one search has spent over all its trials, and what it had spent when it
    found something.

    Args:
        budget: Time steps after which the search is over. It is over as well once it has found a
            setting near the best.
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
        """Enter that a trial of ``setting`` has reached its ``report``, the first being 1.

        ``since``: the report from which it went on, by default the one before; 0 is the start.
        """
        before = report - 1 if since is None else since
        work = [0.0, *(row["work"] for row in setting.rows)]
        self.trials += before == 0
        self.spent += work[report] - work[before]
        whole = report == len(setting.rows) and setting.ended == "converged"
        if whole and self.spent <= self.budget:
            self.found.setdefault("converged", self.spent)
            if self.curves.near_best(setting):
                self.found.setdefault("near best", self.spent)
