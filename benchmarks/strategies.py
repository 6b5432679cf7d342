"""The search strategies that ``search.py`` compares: ours, stock Ray Tune and other libraries, each
as its own documentation uses it.

A strategy searches ``ledger.curves`` from ``seed``, one trial at a time, until the ledger says that
the search is over. All minimize ``log_work``; none is given baselines. A library is imported by the
strategy that needs it.
"""

import os
import tempfile
import warnings
from collections.abc import Callable
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

from benchmarks import peers
from benchmarks.curves import OBJECTIVE, REDUCTION, TRAINING, Curves, Ledger

Search = Callable[[Ledger, int], None]


@dataclass(frozen=True)
class Strategy:
    """A way to search, its name in the table, and the module that it needs."""

    title: str
    search: Search
    needs: str = "optuna"


def suggest(trial: optuna.trial.BaseTrial, curves: Curves) -> dict[str, Any]:
    """Ask for the parameters that apply, define-by-run, as Optuna's guide does it for conditional
    spaces.
    """
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


def plain_optuna(sampler: Callable[..., BaseSampler], pruner: Callable[..., BasePruner]) -> Search:
    """Optuna's own ask-and-tell loop; the pruner is asked after every report."""

    def search(ledger: Ledger, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        most = {"max_resource": ledger.curves.max_reports} if pruner is HyperbandPruner else {}
        study = optuna.create_study(
            study_name=f"seed {seed}",  # Hyperband draws its brackets by it
            sampler=sampler(seed=seed),
            pruner=pruner(**most),
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


def ray_tune(prepare: Callable[[Curves, int, Path], tuple[Any, Any]]) -> Search:
    """Ray Tune's Tuner with reused actors over a trainable that replays curves; ``prepare`` gives
    the searcher and the scheduler.
    """

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
    """A define-by-run space as OptunaSearch takes it; not nested, since it is pickled."""
    suggest(trial, curves)


def stock(curves: Curves, seed: int, folder: Path) -> tuple[Any, Any]:
    """OptunaSearch with a define-by-run space, and ASHAScheduler with its first rung at a tenth of
    the budget, as in Ray Tune's documentation.
    """
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    objective: Any = {"metric": OBJECTIVE, "mode": "min"}
    max_t = curves.max_reports
    grace_period = max(1, max_t // 10)
    return (
        OptunaSearch(space=partial(suggest_only, curves), seed=seed, **objective),
        ASHAScheduler(
            max_t=max_t, grace_period=grace_period, reduction_factor=REDUCTION, **objective
        ),
    )


def ours(curves: Curves, seed: int, folder: Path) -> tuple[Any, Any]:
    """What ``tune_lstm.py --space extended`` searches with, without its baselines."""
    from records.run_directory import RunDirectory
    from tune_lstm import LSTMOptions, lstm_task
    from tuning.engine.asha import create_scheduler
    from tuning.engine.room import Room
    from tuning.engine.searcher import StudySearch
    from tuning.engine.storage import open_storage
    from tuning.engine.study import open_study
    from tuning.options import MAX_SAMPLES

    run = RunDirectory(folder / "run")
    run.path.mkdir()
    options = LSTMOptions(
        space="extended",
        input_length=TRAINING["input_length"],
        max_steps=TRAINING["max_steps"],
        seed=seed,
        num_samples=MAX_SAMPLES,  # the ledger ends the search
    )
    task = lstm_task(options)
    task = replace(task, space=replace(task.space, baselines={}))
    study = open_study(options, task, run, open_storage(options, run.path))
    searcher = StudySearch(options, task, run, study, trials_done=0, room=Room(1))
    scheduler = create_scheduler(options, task, run, searcher.start_up, searcher.room)
    return searcher, scheduler


STRATEGIES = {
    "ours": Strategy("ours", ray_tune(ours), "ray"),
    "stock": Strategy("stock Ray Tune: OptunaSearch + ASHAScheduler", ray_tune(stock), "ray"),
    "optuna-asha": Strategy(
        "Optuna: TPE + SuccessiveHalvingPruner", plain_optuna(TPESampler, SuccessiveHalvingPruner)
    ),
    "optuna-hyperband": Strategy(
        "Optuna: TPE + HyperbandPruner", plain_optuna(TPESampler, HyperbandPruner)
    ),
    "optuna-median": Strategy("Optuna: TPE + MedianPruner", plain_optuna(TPESampler, MedianPruner)),
    "optuna-tpe": Strategy("Optuna: TPE, no pruner", plain_optuna(TPESampler, NopPruner)),
    "syne-asha": Strategy("Syne Tune: ASHA", partial(peers.syne_tune, "ASHA"), "syne_tune"),
    "syne-bohb": Strategy("Syne Tune: BOHB", partial(peers.syne_tune, "BOHB"), "syne_tune"),
    "syne-cqr": Strategy("Syne Tune: ASHACQR", partial(peers.syne_tune, "ASHACQR"), "syne_tune"),
    "smac": Strategy("SMAC3: multi-fidelity facade", peers.smac, "smac"),
    "random": Strategy("random search", plain_optuna(RandomSampler, NopPruner)),
}
"""The strategies, by the name that ``--strategies`` takes."""

SLOW = ("syne-cqr",)
"""The strategies that are compared only if ``--strategies`` names them."""
