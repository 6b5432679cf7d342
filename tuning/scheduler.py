"""Which trials are stopped early: Ray Tune's asynchronous successive halving (ASHA), its rungs kept across ``--resume``.

Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, https://arxiv.org/abs/1810.05934
"""

from types import SimpleNamespace
from typing import Any, cast

from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from tuning.experiment import Experiment
from tuning.options import SearchOptions
from tuning.population import Population
from tuning.run_directory import RunDirectory

HYPERBAND_BRACKETS = 3


class RungScheduler(AsyncHyperBandScheduler):
    """Ray Tune's ASHA, which leaves the settings known beforehand alone.

    They are the yardstick: a search that stopped them early could not say what hand-tuning gives. Their results stand on
    the rungs like any other.
    """

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        decision: str = super().on_trial_result(tune_controller, trial, result)
        return TrialScheduler.CONTINUE if "known" in trial.config else decision


def create_scheduler(options: SearchOptions, experiment: Experiment, run: RunDirectory) -> TrialScheduler:
    """The scheduler of ``--scheduler``, with what the run's ended trials left on its rungs."""
    if options.scheduler == "pbt":
        return Population(options, experiment, run)
    if options.scheduler == "none" or not experiment.rungs.steps(experiment.budget):
        return FIFOScheduler()
    scheduler = RungScheduler(
        time_attr=experiment.time_attr,
        metric=experiment.objective.metric,
        mode=experiment.objective.mode,
        max_t=experiment.budget,
        grace_period=experiment.rungs.grace_steps,
        reduction_factor=experiment.rungs.reduction_factor,
        brackets=HYPERBAND_BRACKETS if options.scheduler == "hyperband" else 1,
    )
    for directory, record in run.trials():
        if record.ended is not None:
            trial: Any = SimpleNamespace(trial_id=directory.path.name, config=record.config)
            scheduler.on_trial_add(cast(Any, None), trial)
            for row in directory.rows():
                if row[experiment.time_attr] < experiment.budget:
                    scheduler.on_trial_result(None, trial, row)
    return scheduler
