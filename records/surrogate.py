"""A random forest that predicts, from a run's trials, what other settings would come to; and what
one asks of it.

Breiman 2001, https://doi.org/10.1023/A:1010933404324; the path from one setting to another after
Fawcett and Hoos 2016, https://doi.org/10.1007/s10732-014-9275-9, as Biedenkapp et al. 2017 shorten
it by a model (https://doi.org/10.1609/aaai.v31i1.10657).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution

from search_spaces import Parameter
from search_spaces.unit_scale import ordered_choices, place

Settings = Mapping[str, Any]
ABSENT = -1.0
"""What a parameter that does not apply is encoded as: outside the range, from 0 to 1, of all that do."""

TREES = 100


class Surrogate:
    """The loss as a function of the settings, fitted to finite losses of ``trials``.

    Attributes:
        explained: R² on trials that the trees asked had not seen ("out of bag"): at most 1; 0 is as
            good as the mean.
    """

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        trials: Sequence[tuple[Settings, float]],
        seed: int = 0,
    ) -> None:
        from sklearn.ensemble import RandomForestRegressor

        self.parameters = parameters
        settings, losses = zip(
            *((one, loss) for one, loss in trials if math.isfinite(loss)), strict=True
        )
        unseen = len(settings) > 2  # else a forest has nothing to ask about
        self._forest = RandomForestRegressor(TREES, oob_score=unseen, random_state=seed)
        self._forest.fit(self._encode(settings), np.array(losses))
        self.explained = float(self._forest.oob_score_) if unseen else 0.0

    def predict(self, settings: Sequence[Settings]) -> NDArray[np.float64]:
        """The loss expected of each of the ``settings``, shape (n,)."""
        return np.asarray(self._forest.predict(self._encode(settings)), dtype=np.float64)

    def importances(self) -> dict[str, float]:
        """Each parameter's share of the variance that the trees' splits explain; they add up to 1."""
        columns = [
            name for name, p in self.parameters.items() for _ in _encode_value(None, p.distribution)
        ]
        shares = dict.fromkeys(self.parameters, 0.0)
        for name, share in zip(columns, self._forest.feature_importances_, strict=True):
            shares[name] += float(share)
        return shares

    def _encode(self, settings: Sequence[Settings]) -> NDArray[np.float64]:
        rows = [
            [
                x
                for name, p in self.parameters.items()
                for x in _encode_value(one.get(name), p.distribution)
            ]
            for one in settings
        ]
        return np.array(rows, dtype=np.float64)


def ablation_path(
    parameters: Mapping[str, Parameter],
    start: Settings,
    target: Settings,
    trials: Sequence[tuple[Settings, float]],
    seed: int = 0,
) -> list[tuple[str | tuple[str, ...], dict[str, Any]]]:
    """The way from ``start`` to ``target``, one change at a time: at each stage the one that is
    predicted to help most.

    A parameter that has a meaning beside a value of another only (``only_if``) changes together
    with that other where both differ. Without two trials to learn from the changes come in the
    order of ``parameters``.

    Args:
        start, target: Settings of ``parameters``; others in them are left out.
        trials: Settings and loss (to minimize) of what has been tried; a loss that is not finite is
            passed over.

    Returns:
        What changes, a name or several in the order of ``parameters``, and the settings after that
        change; the last settings are the target's.
    """
    left = _changes(parameters, start, target)
    finite = [(one, loss) for one, loss in trials if math.isfinite(loss)]
    surrogate = Surrogate(parameters, finite, seed) if len(finite) > 1 else None
    settings = {name: start[name] for name in parameters if name in start}
    path: list[tuple[str | tuple[str, ...], dict[str, Any]]] = []
    while left:
        tried = [_changed(settings, names, target) for names in left]
        best = int(np.argmin(surrogate.predict(tried))) if surrogate else 0
        names, settings = left.pop(best), tried[best]
        path.append((names[0] if len(names) == 1 else names, settings))
    return path


def _changes(
    parameters: Mapping[str, Parameter], start: Settings, target: Settings
) -> list[tuple[str, ...]]:
    """The names that differ, those that depend on one another together."""
    differ = [name for name in parameters if start.get(name) != target.get(name)]
    groups: dict[str, list[str]] = {}
    for name in differ:
        root = name
        while (condition := parameters[root].only_if) and condition[0] in differ:
            root = condition[0]
        groups.setdefault(root, []).append(name)
    return [tuple(names) for names in groups.values()]


def _changed(settings: Settings, names: Sequence[str], target: Settings) -> dict[str, Any]:
    kept = {name: value for name, value in settings.items() if name not in names}
    return {**kept, **{name: target[name] for name in names if name in target}}


def _encode_value(value: Any, distribution: BaseDistribution) -> list[float]:
    """A number by its place in its range; choices without an order as a column each."""
    if isinstance(distribution, CategoricalDistribution) and not ordered_choices(distribution):
        return [float(value is not None and value == choice) for choice in distribution.choices]
    position = place(value, distribution)
    return [ABSENT if position is None else position]
