"""Which trials are stopped early: Ray Tune's asynchronous successive halving (ASHA), its rungs kept across ``--resume``,
and its first trials compared with one another before any of them goes on.

Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, https://arxiv.org/abs/1810.05934
"""

import math
import random
from collections.abc import Collection
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
    """Ray Tune's ASHA, with four differences.

    The trials of the start-up wait for one another at their first rung. Ray's ASHA compares a trial with those that came
    before it, so the first ones pass every rung, however poor they are, and use their whole budget. Here each is paused,
    hence saved, where it first stands on a rung; once all of them stand there or have ended, those below the cut-off are
    stopped and the others go on, the best first.

    A trial that has converged stands on every rung above its end with its last figure, so that the slower ones are
    compared with it there; Ray's leaves it out, and goes on comparing those among themselves.

    Settings known beforehand are never stopped, where the experiment spares them: they are the yardstick. Their results
    stand on the rungs like any other.

    An audit: the share ``audit`` of the trials that would be stopped, drawn by their seeds, runs on to its end, so that
    what early stopping costs can be estimated. Where it would have been stopped is written down as ``audited``; from there
    on such a trial stands on no rung, for the others are to be judged as if it were not there.
    """

    def __init__(self, run: RunDirectory, start_up: Collection[int], audit: float, spare_known: bool, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._run, self._audit, self._spare_known = run, audit, spare_known
        self._audited = {record.number for _, record in run.trials() if record.audited is not None}
        self._awaited = set(start_up)
        self._promoted: list[Trial] = []
        self.held: list[Trial] = []
        """Trials that wait at their first rung for the rest of the start-up."""

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        number = trial.config["trial"]
        if number in self._audited:
            return TrialScheduler.CONTINUE
        decision: str = super().on_trial_result(tune_controller, trial, result)
        spared = self._spare_known and "known" in trial.config
        if number in self._awaited and self._standing(trial) is not None:
            self._awaited.discard(number)
            if not spared:
                self.held.append(trial)
                return TrialScheduler.PAUSE
        if decision == TrialScheduler.CONTINUE or spared or self._to_be_audited(trial, result):
            return TrialScheduler.CONTINUE
        return decision

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        if self.held and not self._awaited and all(trial.status == Trial.PAUSED for trial in self.held):
            self._release(tune_controller)
        waiting = (trial for trial in self._promoted if trial.status == Trial.PAUSED)
        pending = (trial for trial in tune_controller.get_trials() if trial.status == Trial.PENDING)
        return next(waiting, None) or next(pending, None)  # Ray's own runs any paused trial

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        self._awaited.discard(trial.config["trial"])
        if trial in self.held:
            self.held.remove(trial)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self._awaited.discard(trial.config["trial"])
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

    def _standing(self, trial: Trial) -> tuple[dict[str, float], float] | None:
        """The highest rung that the trial stands on, as what all trials there have come to, and its own figure; or None."""
        rungs = (recorded for _, recorded in self._trial_info[trial.trial_id]._rungs)
        return next(((recorded, recorded[trial.trial_id]) for recorded in rungs if trial.trial_id in recorded), None)

    def _release(self, tune_controller: Any) -> None:
        """The whole start-up stands on its first rungs: stop what is below the cut-off there, let the others go on."""
        held, self.held[:] = [(cast(Any, self._standing(trial)), trial) for trial in self.held], []
        for (recorded, own), trial in sorted(held, key=lambda one: one[0][1], reverse=True):
            cutoff = self._trial_info[trial.trial_id].cutoff(recorded)
            if own >= cutoff or self._to_be_audited(trial, trial.last_result):
                self._promoted.append(trial)
            else:
                tune_controller.stop_trial(trial)

    def _to_be_audited(self, trial: Trial, result: dict[str, Any]) -> bool:
        """Whether a trial that would be stopped here belongs to the audit; if so, it is written down."""
        cost = result[self._time_attr]
        if cost >= self._max_t or not audits(trial.config["seed"], self._audit):
            return False
        self._audited.add(trial.config["trial"])
        directory = self._run.trial(trial.config["trial"])
        record = directory.read()
        if record is not None:
            record.audited = cost
            directory.write(record)
        return True


def audits(seed: int, share: float) -> bool:
    """Whether the trial of this seed belongs to the share that is audited: the same however often it is asked."""
    return random.Random(f"audit {seed}").random() < share


def create_scheduler(
    options: SearchOptions, experiment: Experiment, run: RunDirectory, start_up: Collection[int] = ()
) -> TrialScheduler:
    """The scheduler of ``--scheduler``, with what the run's ended trials left on its rungs.

    ``start_up``: the numbers of the trials that wait for one another at their first rung.
    """
    if options.scheduler == "pbt":
        return Population(options, experiment, run)
    if options.scheduler == "none" or not experiment.rungs.steps(experiment.budget):
        return FIFOScheduler()
    scheduler = RungScheduler(
        run,
        start_up,
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
