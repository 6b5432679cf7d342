"""A random forest that predicts, from a run's trials, the loss of other settings; and its uses.

Breiman 2001, https://doi.org/10.1023/A:1010933404324. The path from one setting to another is from
Fawcett and Hoos 2016, https://doi.org/10.1007/s10732-014-9275-9, shortened by a model as in
Biedenkapp et al. 2017, https://doi.org/10.1609/aaai.v31i1.10657.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution

from search_spaces import Parameter
from search_spaces.unit_scale import ordered_choices, place

Settings = Mapping[str, Any]
ABSENT = -1.0
"""The code of a parameter that does not apply; the codes of others are from 0 to 1."""

TREES = 100


class Surrogate:
    """The loss as a function of the settings, fitted to the finite losses of ``trials``.

    Attributes:
        explained: Out-of-bag R²: each trial is predicted by the trees that were not fitted to it.
            At most 1; 0 is as good as the mean; 0 for fewer than three trials.
        chance: How often such predictions would rank the trials as well by chance (Spearman's
            one-sided p-value); 1 for fewer than three trials, or if nothing differs.
    """

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        trials: Sequence[tuple[Settings, float]],
        seed: int = 0,
    ) -> None:
        from scipy.stats import spearmanr
        from sklearn.ensemble import RandomForestRegressor

        self.parameters = parameters
        finite = [one for one in trials if math.isfinite(one[1])]
        settings, losses = zip(*finite, strict=True)
        out_of_bag = len(finite) > 2
        self._forest = RandomForestRegressor(TREES, oob_score=out_of_bag, random_state=seed)
        self._forest.fit(self._encode(settings), np.array(losses))
        self.explained, self.chance = 0.0, 1.0
        if out_of_bag:
            self.explained = float(self._forest.oob_score_)
            predicted = self._forest.oob_prediction_
            if len({*predicted}) > 1 < len({*losses}):
                self.chance = float(spearmanr(predicted, losses, alternative="greater").pvalue)

    def predict(self, settings: Sequence[Settings]) -> NDArray[np.float64]:
        """The predicted loss of each of the ``settings``, shape (n,)."""
        return np.asarray(self._forest.predict(self._encode(settings)), dtype=np.float64)

    def importances(self) -> dict[str, float]:
        """Each parameter's fraction of the variance that the splits explain; they add up to 1."""
        fractions = dict.fromkeys(self.parameters, 0.0)
        columns = [name for name, p in self.parameters.items() for _ in _encode_value(None, p)]
        for name, one in zip(columns, self._forest.feature_importances_, strict=True):
            fractions[name] += float(one)
        return fractions

    def _encode(self, settings: Sequence[Settings]) -> NDArray[np.float64]:
        parameters = self.parameters.items()
        rows = [
            [code for name, p in parameters for code in _encode_value(one.get(name), p)]
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
    """The path from ``start`` to ``target``: the next change is the one predicted to help most.

    A parameter that applies only with a certain value of another (``only_if``) changes together
    with that other if both differ. With fewer than two trials to learn from, the changes come in
    the order of ``parameters``.

    Args:
        start, target: Settings of ``parameters``; other settings in them are ignored.
        trials: Settings and loss (to minimize) of earlier trials; only finite losses are used.

    Returns:
        What changes, a name or several in the order of ``parameters``, and the settings after that
        change. The last settings are the target's.
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
    """The names that differ, grouped with those that they depend on."""
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


def _encode_value(value: Any, parameter: Parameter) -> list[float]:
    """A number as its place in its range; choices without an order as one column each."""
    distribution = parameter.distribution
    if isinstance(distribution, CategoricalDistribution) and not ordered_choices(distribution):
        return [float(value is not None and value == choice) for choice in distribution.choices]
    position = place(value, distribution)
    return [ABSENT if position is None else position]
