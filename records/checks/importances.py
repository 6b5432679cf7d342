"""How much each parameter decided the objective of some trials, by Optuna's evaluators, and how
much that varies between resamples of the trials.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from records.checks.check import Interval
from records.run import Run
from search_spaces.unit_scale import place

RESAMPLES = 24
TOP_TRIALS = 5
"""The least that PED-ANOVA takes for the best tenth of the trials, as Optuna advises."""

Sample = tuple[dict[str, Any], float]
"""A trial's settings and its loss."""
Importances = dict[str, float]
"""Each parameter's part of 1."""


def fanova(
    run: Run, samples: list[Sample], names: list[str], trees: int, seed: int = 0
) -> Importances:
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    evaluator = FanovaImportanceEvaluator(n_trees=trees, seed=seed)
    with _study(run, samples) as study:
        try:
            found = get_param_importances(study, evaluator=evaluator, params=names)
        except RuntimeError:  # no tree found anything to split on
            return {}
    return {name: float(found[name]) for name in names}


def ped_anova(run: Run, samples: list[Sample]) -> Importances:
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    quantile = min(0.5, max(0.1, TOP_TRIALS / len(samples)))
    evaluator = PedAnovaImportanceEvaluator(target_quantile=quantile)
    with _study(run, samples) as study:
        found = get_param_importances(study, evaluator=evaluator)
    return {name: float(fraction) for name, fraction in found.items()}


@contextmanager
def _study(run: Run, samples: list[Sample]) -> Iterator[Any]:
    """An Optuna study of the samples, with each number as its place in its range.

    fANOVA would weigh a log range linearly. A range of one value has no places and is left out.
    """
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(direction="minimize")
            for settings, loss in samples:
                kinds: dict[str, BaseDistribution] = {}
                values: dict[str, Any] = {}
                for name, value in settings.items():
                    distribution = run.parameters[name].distribution
                    if distribution.single():
                        continue
                    categorical = isinstance(distribution, CategoricalDistribution)
                    kinds[name] = distribution if categorical else FloatDistribution(0, 1)
                    values[name] = value if categorical else place(value, distribution)
                study.add_trial(optuna.create_trial(params=values, distributions=kinds, value=loss))
            yield study
    finally:
        optuna.logging.set_verbosity(verbosity)


def resamples(
    samples: list[Sample], importance: Callable[[list[Sample], int], Importances]
) -> list[Importances]:
    """The importances in resamples of the trials, drawn with replacement."""
    draws = np.random.default_rng(0)
    found = []
    for seed in range(RESAMPLES):
        drawn = [samples[place] for place in draws.integers(len(samples), size=len(samples))]
        found += [fractions] if (fractions := importance(drawn, seed)) else []
    return found


def intervals(found: Importances, resampled: list[Importances]) -> dict[str, Interval]:
    """Each parameter's 95% interval over resamples.

    It reaches at least to the value over all trials, which resamples may miss: they have fewer
    different trials.
    """
    ends = {}
    for name in {name for fractions in (found, *resampled) for name in fractions}:
        values = [fractions.get(name, 0.0) for fractions in resampled]
        low, high = map(float, np.quantile(values, [0.025, 0.975]))
        own = found.get(name, 0.0)
        ends[name] = Interval(min(low, own), max(high, own))
    return ends
