"""Searches by Syne Tune and SMAC3 on recorded curves. Both libraries need the environment that
``make bench-search`` makes.
"""

import logging
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from benchmarks.curves import OBJECTIVE, REDUCTION, Ledger
from search_spaces import SearchSpace


def syne_tune(scheduler: str, ledger: Ledger, seed: int) -> None:
    """One of Syne Tune's multi-fidelity schedulers, named as in ``syne_tune.optimizer.baselines``.

    Syne Tune has no conditional parameters: it always chooses all of them, and those that do not
    apply are ignored.
    """
    from syne_tune.backend.trial_status import Trial
    from syne_tune.optimizer import baselines

    logging.disable(logging.WARNING)
    np.random.seed(seed)  # its brackets are drawn from numpy's global stream
    distributions = ledger.curves.space.distributions
    chooser = getattr(baselines, scheduler)(
        config_space={name: syne_domain(one) for name, one in distributions.items()},
        metric=OBJECTIVE,
        do_minimize=True,
        time_attr="report",
        max_t=ledger.curves.max_reports,
        grace_period=1,
        reduction_factor=REDUCTION,
        random_seed=seed,
    )
    number = 0
    while not ledger.over:
        config = chooser.suggest().config
        trial = Trial(trial_id=number, config=config, creation_time=datetime.now())
        number += 1
        chooser.on_trial_add(trial)
        setting = ledger.curves.nearest(config)
        for report, row in enumerate(setting.rows, start=1):
            ledger.report(setting, report)
            last = report == len(setting.rows)
            if ledger.over or (not last and chooser.on_trial_result(trial, row) != "CONTINUE"):
                break
        else:
            chooser.on_trial_complete(trial, row)


def syne_domain(distribution: BaseDistribution) -> Any:
    from syne_tune import config_space

    match distribution:
        case CategoricalDistribution(choices=choices):
            return config_space.choice(list(choices))
        case IntDistribution(low=low, high=high, log=log):
            return (config_space.lograndint if log else config_space.randint)(low, high)
        case FloatDistribution(low=low, high=high, log=log):
            return (config_space.loguniform if log else config_space.uniform)(low, high)


def smac(ledger: Ledger, seed: int) -> None:
    """SMAC3's multi-fidelity facade: a random forest, expected improvement and Hyperband.

    Its budget is a number of reports. A setting that is promoted to a larger budget goes on from
    its checkpoint: only what it adds is spent.
    """
    from smac import MultiFidelityFacade, Scenario
    from smac.runhistory import TrialValue

    curves = ledger.curves
    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(
            smac_space(curves.space, seed),
            deterministic=True,
            seed=seed,
            n_trials=200,  # its first design has at most a quarter; the ledger ends the search
            min_budget=1,
            max_budget=curves.max_reports,
            output_directory=Path(folder),
        )
        facade = MultiFidelityFacade(scenario, never_called, overwrite=True, logging_level=40)
        reached: dict[Any, int] = {}
        while not ledger.over:
            info = facade.ask()
            setting = curves.nearest(smac_values(curves.space, info.config))
            last = min(max(1, round(info.budget)), len(setting.rows))
            since = reached.get(info.config, 0)
            for report in range(since + 1, last + 1):
                ledger.report(setting, report)
                if ledger.over:
                    break
            reached[info.config] = max(since, last)
            facade.tell(info, TrialValue(cost=setting.rows[last - 1][OBJECTIVE]), save=False)


def smac_space(space: SearchSpace, seed: int) -> Any:
    """The space with its conditions, as ConfigSpace has them; a choice is given by its index."""
    import ConfigSpace

    made = ConfigSpace.ConfigurationSpace(seed=seed)
    for name, parameter in space.parameters.items():
        match parameter.distribution:
            case CategoricalDistribution(choices=choices):
                made.add(ConfigSpace.CategoricalHyperparameter(name, list(range(len(choices)))))
            case IntDistribution(low=low, high=high, log=log):
                made.add(ConfigSpace.UniformIntegerHyperparameter(name, low, high, log=log))
            case FloatDistribution(low=low, high=high, log=log):
                made.add(ConfigSpace.UniformFloatHyperparameter(name, low, high, log=log))
    for name, parameter in space.parameters.items():
        if parameter.only_if:
            parent, value = parameter.only_if
            distribution = space.distributions[parent]
            assert isinstance(distribution, CategoricalDistribution)
            index = distribution.choices.index(value)
            made.add(ConfigSpace.EqualsCondition(made[name], made[parent], index))
    return made


def smac_values(space: SearchSpace, config: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a configuration of ``smac_space``."""
    values = dict(config)
    for name, distribution in space.distributions.items():
        if name in values and isinstance(distribution, CategoricalDistribution):
            values[name] = distribution.choices[values[name]]
    return values


def never_called(config: Any, seed: int = 0, budget: float = 0) -> float:
    """Stands in for a target function, of which SMAC reads the signature."""
    raise AssertionError("SMAC called its target function instead of being asked and told")
