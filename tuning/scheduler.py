"""Which trials are stopped early: Ray Tune's asynchronous successive halving (ASHA), its rungs kept across ``--resume``.

Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, https://arxiv.org/abs/1810.05934
"""

import math
import random
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
    """Ray Tune's ASHA, with three differences.

    A trial that has converged stands on every rung above its end with its last figure, so that the slower ones are
    compared with it there; Ray's leaves it out, and goes on comparing those among themselves.

    Settings known beforehand are never stopped, where the experiment spares them: they are the yardstick. Their results
    stand on the rungs like any other.

    An audit: the share ``audit`` of the trials that would be stopped, drawn by their seeds, runs on to its end, so that
    what early stopping costs can be estimated. Where it would have been stopped is written down as ``audited``; from there
    on such a trial stands on no rung, for the others are to be judged as if it were not there.
    """

    def __init__(self, run: RunDirectory, audit: float, spare_known: bool, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._run, self._audit, self._spare_known = run, audit, spare_known
        self._audited = {record.number for _, record in run.trials() if record.audited is not None}

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        number = trial.config["trial"]
        if number in self._audited:
            return TrialScheduler.CONTINUE
        decision: str = super().on_trial_result(tune_controller, trial, result)
        if decision == TrialScheduler.CONTINUE or (self._spare_known and "known" in trial.config):
            return TrialScheduler.CONTINUE
        if result[self._time_attr] < self._max_t and audits(trial.config["seed"], self._audit):
            self._let_run(number, result[self._time_attr])
            return TrialScheduler.CONTINUE
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        if trial.config["trial"] in self._audited:
            del self._trial_info[trial.trial_id]
            return
        self._stay(trial, result)
        super().on_trial_complete(tune_controller, trial, result)

    def replay(self, trial_id: str, config: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        """Put what a trial of an earlier session reported on the rungs."""
        trial = cast(Trial, SimpleNamespace(trial_id=trial_id, config=config))
        self.on_trial_add(cast(Any, None), trial)
        for row in rows:
            super().on_trial_result(cast(Any, None), trial, row)
            self._stay(trial, row)

    def _stay(self, trial: Trial, result: dict[str, Any]) -> None:
        """A trial that has converged stays on the rungs above."""
        if result.get("ended") == "converged":
            for milestone, recorded in self._trial_info[trial.trial_id]._rungs:
                if milestone > result[self._time_attr]:
                    recorded[trial.trial_id] = self._metric_op * result[str(self._metric)]

    def _let_run(self, number: int, cost: float) -> None:
        self._audited.add(number)
        directory = self._run.trial(number)
        record = directory.read()
        if record is not None:
            record.audited = cost
            directory.write(record)


def audits(seed: int, share: float) -> bool:
    """Whether the trial of this seed belongs to the share that is audited: the same however often it is asked."""
    return random.Random(f"audit {seed}").random() < share


def create_scheduler(options: SearchOptions, experiment: Experiment, run: RunDirectory) -> TrialScheduler:
    """The scheduler of ``--scheduler``, with what the run's ended trials left on its rungs."""
    if options.scheduler == "pbt":
        return Population(options, experiment, run)
    if options.scheduler == "none" or not experiment.rungs.steps(experiment.budget):
        return FIFOScheduler()
    scheduler = RungScheduler(
        run,
        options.audit,
        experiment.spare_known,
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
            until = math.inf if record.audited is None else record.audited
            costs = [(row[experiment.time_attr], row) for row in directory.rows()]
            rows = [row for cost, row in costs if cost <= until and cost < experiment.budget]
            scheduler.replay(directory.path.name, record.config, rows)
    return scheduler
