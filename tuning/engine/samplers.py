"""Optuna's samplers with every argument pinned; a trial's number decides its random numbers."""

import warnings
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import Trial

from search_spaces import SearchSpace
from tuning.options import SearchOptions

MODEL_BASED = ("tpe", "gp", "cmaes")


def create_sampler(
    options: SearchOptions, space: SearchSpace, number: int = 0, x0: dict[str, Any] | None = None
) -> BaseSampler:
    """The sampler of ``--sampler`` for trial ``number``.

    Its random numbers depend only on the search's seed and on ``number``, so a resumed search draws
    what it would have drawn. The model chooses from its first call on: the start-up's settings come
    from ``tuning.engine.start_up``.
    Over a conditional space TPE models each group of parameters that occur together. CMA-ES starts
    from ``x0``.
    """
    seed = int(np.random.SeedSequence((options.seed, number)).generate_state(1)[0])
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        # Optuna 6 is to drop prior_weight and x0.
        match options.sampler:
            case "tpe":
                return TPESampler(
                    seed=seed,
                    n_startup_trials=1,
                    multivariate=True,
                    constant_liar=True,
                    group=space.conditional,
                    prior_weight=space.prior_weight,
                )
            case "gp":
                return GPSampler(seed=seed, n_startup_trials=1)
            case "cmaes":
                return CmaEsSampler(x0=x0, seed=seed, n_startup_trials=1)
            case "qmc" | "random":  # for qmc: parameters that an earlier run's settings leave open
                return RandomSampler(seed=seed)


def suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    """Ask the trial for a value of ``distribution``, through Optuna's define-by-run calls."""
    match distribution:
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(name, low, high, step=step, log=log)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(name, low, high, step=step, log=log)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
    raise TypeError(f"{name}: a trial cannot be asked for a {type(distribution).__name__}")
