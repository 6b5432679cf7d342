"""The search strategies that ``search.py`` compares: ours, stock Ray Tune, and peers, each as its
own documentation has it.

A strategy searches ``ledger.curves`` from ``seed``, one trial at a time, until the ledger says it
is over. All of them minimize ``log_work``; none is told settings known beforehand. A library is
imported by the strategy that needs it.
"""

import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from benchmarks.curves import TRAINING, Curves, Ledger

OBJECTIVE = "log_work"
REDUCTION = 3
"""The reduction factor that the examples of Ray Tune and Syne Tune use, and SMAC's default."""

Search = Callable[[Ledger, int], None]


@dataclass(frozen=True)
class Strategy:
    """A way to search, its name in the table, and the module it needs."""

    title: str
    search: Search
    needs: str = "optuna"


def suggest(trial: optuna.trial.BaseTrial, curves: Curves) -> dict[str, Any]:
    """Ask for the parameters that apply, define-by-run, as Optuna's guide has it for conditional spaces."""
    values: dict[str, Any] = {}
    for name, parameter in curves.space.parameters.items():
        if parameter.applies(values):
            match parameter.distribution:
                case CategoricalDistribution(choices=choices):
                    values[name] = trial.suggest_categorical(name, choices)
                case IntDistribution(low=low, high=high, step=step, log=log):
                    values[name] = trial.suggest_int(name, low, high, step=step, log=log)
                case FloatDistribution(low=low, high=high, step=step, log=log):
                    values[name] = trial.suggest_float(name, low, high, step=step, log=log)
    return values


def plain_optuna(
    sampler: Callable[[int], BaseSampler], pruner: Callable[[Curves], BasePruner]
) -> Search:
    """Optuna's own ask-and-tell loop; a pruner is asked after every report."""

    def search(ledger: Ledger, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        name = f"seed {seed}"  # Hyperband draws its brackets by the study's name
        study = optuna.create_study(
            study_name=name,
            direction="minimize",
            sampler=sampler(seed),
            pruner=pruner(ledger.curves),
        )
        while not ledger.over:
            trial = study.ask()
            setting = ledger.curves.nearest(suggest(trial, ledger.curves))
            for report, row in enumerate(setting.rows, start=1):
                ledger.report(setting, report)
                trial.report(row[OBJECTIVE], step=report)
                if ledger.over or (report < len(setting.rows) and trial.should_prune()):
                    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                    break
            else:
                study.tell(trial, row[OBJECTIVE])

    return search


def syne_tune(scheduler: str) -> Search:
    """One of Syne Tune's multi-fidelity schedulers, by its name in
    ``syne_tune.optimizer.baselines``.

    Syne Tune has no conditional parameters: it always chooses all of them, and those that do not
    apply are ignored.
    """

    def search(ledger: Ledger, seed: int) -> None:
        import datetime
        import logging

        import numpy as np
        from syne_tune import config_space
        from syne_tune.backend.trial_status import Trial
        from syne_tune.optimizer import baselines

        logging.disable(logging.WARNING)
        np.random.seed(seed)  # its brackets are drawn from numpy's global stream

        def domain(distribution: Any) -> Any:
            match distribution:
                case CategoricalDistribution(choices=choices):
                    return config_space.choice(list(choices))
                case IntDistribution(low=low, high=high, log=log):
                    return (
                        config_space.lograndint(low, high)
                        if log
                        else config_space.randint(low, high)
                    )
                case FloatDistribution(low=low, high=high, log=log):
                    return (
                        config_space.loguniform(low, high)
                        if log
                        else config_space.uniform(low, high)
                    )

        chooser = getattr(baselines, scheduler)(
            config_space={
                name: domain(one) for name, one in ledger.curves.space.distributions.items()
            },
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
            trial = Trial(
                trial_id=number,
                config=chooser.suggest().config,
                creation_time=datetime.datetime.now(),
            )
            number += 1
            chooser.on_trial_add(trial)
            setting = ledger.curves.nearest(trial.config)
            for report, row in enumerate(setting.rows, start=1):
                ledger.report(setting, report)
                last = report == len(setting.rows)
                if ledger.over or (not last and chooser.on_trial_result(trial, row) != "CONTINUE"):
                    break
            else:
                chooser.on_trial_complete(trial, row)

    return search


def smac(ledger: Ledger, seed: int) -> None:
    """SMAC3's multi-fidelity facade: a random forest, expected improvement, Hyperband. Its budget
    is a number of reports.

    A setting that is promoted to a larger budget goes on from its checkpoint: only what it adds is
    spent.
    """
    import ConfigSpace
    from smac import MultiFidelityFacade, Scenario
    from smac.runhistory import TrialValue

    curves = ledger.curves
    space = ConfigSpace.ConfigurationSpace(seed=seed)
    hyperparameters: dict[str, Any] = {}
    for name, parameter in curves.space.parameters.items():
        match parameter.distribution:
            case CategoricalDistribution(choices=choices):
                own: Any = ConfigSpace.CategoricalHyperparameter(name, list(range(len(choices))))
            case IntDistribution(low=low, high=high, log=log):
                own = ConfigSpace.UniformIntegerHyperparameter(name, low, high, log=log)
            case FloatDistribution(low=low, high=high, log=log):
                own = ConfigSpace.UniformFloatHyperparameter(name, low, high, log=log)
        hyperparameters[name] = own
        space.add(own)
    for name, parameter in curves.space.parameters.items():
        if parameter.only_if:
            parent, value = parameter.only_if
            place = curves.space.distributions[parent]
            assert isinstance(place, CategoricalDistribution)
            space.add(
                ConfigSpace.EqualsCondition(
                    hyperparameters[name], hyperparameters[parent], place.choices.index(value)
                )
            )

    def values(config: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: one.choices[config[name]] if isinstance(one := curves.space.distributions[name], CategoricalDistribution)
            else config[name]
            for name in config
        }  # fmt: skip

    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(
            space,
            deterministic=True,
            seed=seed,
            n_trials=200,  # bounds its initial design at a quarter of this; the ledger ends the search
            min_budget=1,
            max_budget=curves.max_reports,
            output_directory=Path(folder),
        )

        def never_called(config: Any, seed: int = 0, budget: float = 0) -> float:
            """The facade reads the signature of what it would optimize; here it is asked and told instead."""
            raise AssertionError("SMAC called its target function instead of being asked and told")

        facade = MultiFidelityFacade(scenario, never_called, overwrite=True, logging_level=40)
        reached: dict[Any, int] = {}
        while not ledger.over:
            info = facade.ask()
            setting = curves.nearest(values(dict(info.config)))
            last = min(max(1, round(info.budget)), len(setting.rows))
            since = reached.get(info.config, 0)
            for report in range(since + 1, last + 1):
                ledger.report(setting, report)
                if ledger.over:
                    break
            reached[info.config] = max(since, last)
            facade.tell(info, TrialValue(cost=setting.rows[last - 1][OBJECTIVE]), save=False)


def ray_tune(prepare: Callable[[Curves, int, Path], tuple[Any, Any]]) -> Search:
    """Ray Tune's Tuner with reused actors over a trainable that replays curves; ``prepare`` gives searcher and scheduler."""

    def search(ledger: Ledger, seed: int) -> None:
        import ray

        if not ray.is_initialized():
            ray.init(address=os.environ["RAY_ADDRESS"], log_to_driver=False, logging_level=40)
        from benchmarks.replay import tune_search

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        with tempfile.TemporaryDirectory() as folder:
            searcher, scheduler = prepare(ledger.curves, seed, Path(folder))
            tune_search(ledger, searcher, scheduler, Path(folder))

    return search


def suggest_only(curves: Curves, trial: optuna.Trial) -> None:
    """A define-by-run space as OptunaSearch takes it: at a module's top, since it is pickled."""
    suggest(trial, curves)


def stock(curves: Curves, seed: int, folder: Path) -> tuple[Any, Any]:
    """OptunaSearch with a define-by-run space and ASHAScheduler, its first rung at a tenth as in Ray Tune's documentation."""
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    max_t = curves.max_reports
    return (
        OptunaSearch(space=partial(suggest_only, curves), metric=OBJECTIVE, mode="min", seed=seed),
        ASHAScheduler(
            metric=OBJECTIVE,
            mode="min",
            max_t=max_t,
            grace_period=max(1, max_t // 10),
            reduction_factor=REDUCTION,
        ),
    )


def ours(curves: Curves, seed: int, folder: Path) -> tuple[Any, Any]:
    """What ``tune_lstm.py --space extended`` searches with, less the settings known beforehand."""
    from records.run_directory import RunDirectory
    from tune_lstm import LSTMOptions, lstm_task
    from tuning.engine.asha import create_scheduler
    from tuning.engine.searcher import StudySearch
    from tuning.engine.storage import open_storage
    from tuning.engine.study import open_study
    from tuning.options import MAX_SAMPLES

    run = RunDirectory(folder / "run")
    options = LSTMOptions(
        space="extended",
        input_length=TRAINING["input_length"],
        max_steps=TRAINING["max_steps"],
        seed=seed,
        num_samples=MAX_SAMPLES,  # the ledger ends the search
    )
    run.path.mkdir()
    task = lstm_task(options)
    task = replace(task, space=replace(task.space, baselines={}))
    study = open_study(options, task, run, open_storage(options, run.path))
    searcher = StudySearch(options, task, run, study, trials_done=0, slots=1)
    scheduler = create_scheduler(options, task, run, searcher.start_up, searcher.room)
    return searcher, scheduler


def tpe(seed: int) -> BaseSampler:
    return TPESampler(seed=seed)


def hyperband(curves: Curves) -> BasePruner:
    return HyperbandPruner(max_resource=curves.max_reports)


STRATEGIES = {
    "ours": Strategy("ours", ray_tune(ours), needs="ray"),
    "stock": Strategy("stock Ray Tune: OptunaSearch + ASHAScheduler", ray_tune(stock), needs="ray"),
    "optuna-asha": Strategy(
        "Optuna: TPE + SuccessiveHalvingPruner",
        plain_optuna(tpe, lambda _: SuccessiveHalvingPruner()),
    ),
    "optuna-hyperband": Strategy("Optuna: TPE + HyperbandPruner", plain_optuna(tpe, hyperband)),
    "optuna-median": Strategy(
        "Optuna: TPE + MedianPruner", plain_optuna(tpe, lambda _: MedianPruner())
    ),
    "optuna-tpe": Strategy("Optuna: TPE, no pruner", plain_optuna(tpe, lambda _: NopPruner())),
    "syne-asha": Strategy("Syne Tune: ASHA", syne_tune("ASHA"), needs="syne_tune"),
    "syne-bohb": Strategy("Syne Tune: BOHB", syne_tune("BOHB"), needs="syne_tune"),
    "syne-cqr": Strategy("Syne Tune: ASHACQR", syne_tune("ASHACQR"), needs="syne_tune"),
    "smac": Strategy("SMAC3: multi-fidelity facade", smac, needs="smac"),
    "random": Strategy(
        "random search", plain_optuna(lambda seed: RandomSampler(seed=seed), lambda _: NopPruner())
    ),
}
"""The strategies, by the name that ``--strategies`` takes."""

SLOW = ("syne-cqr",)
"""Those that are compared only where they are asked for."""
