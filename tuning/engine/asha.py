"""The scheduler of a search: Ray Tune's asynchronous successive halving (ASHA), which stops poor
trials early, or another one that ``--scheduler`` names.

Source: Li et al., A System for Massively Parallel Hyperparameter Tuning,
https://arxiv.org/abs/1810.05934
"""

import math
import random
from operator import itemgetter
from types import SimpleNamespace
from typing import Any, cast

from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from records.outcome import CONVERGED
from records.run_directory import RunDirectory
from records.trial_directory import TrialRecord
from tuning.engine.pbt import Population
from tuning.engine.room import Room
from tuning.engine.start_up import StartUp
from tuning.options import SearchOptions
from tuning.task import Task

HYPERBAND_BRACKETS = 3


class RungScheduler(AsyncHyperBandScheduler):
    """Ray Tune's ASHA with six changes.

    At each rung, which is a training cost, ASHA stops a trial whose value is below a cut-off: a
    quantile of the values that other trials had there.

    1. Start-up. Ray's cut-off knows only the trials that came before, so the first trials pass
       every rung, however poor they are. Here the trials of the start-up are paused, and so saved,
       at their first rung. When all are there or have ended, those below the cut-off are stopped
       and the others go on, the best first.
    2. Converged trials. A converged trial stays on all later rungs with its last value, so slower
       trials are compared with it. Ray's ASHA forgets it.
    3. Baselines. If the task protects its baselines, they are neither paused nor stopped. Their
       values still count.
    4. Brackets. A trial's seed decides its HyperBand bracket, so a resumed search keeps it.
    5. Audit. A fraction ``audit`` of the trials that would be stopped, drawn by their seeds, runs
       to the end, to estimate what early stopping costs. ``audited`` in a trial's record says where
       it would have been stopped. Its values count on no later rung.
    6. Trials that go on. After a resume or a lost worker, a trial has a new id in Ray Tune. It
       keeps its values on the rungs that it has passed. Ray's ASHA would put its next, later
       reports there.
    """

    def __init__(
        self, options: SearchOptions, task: Task, run: RunDirectory, start_up: StartUp, room: Room
    ) -> None:
        super().__init__(
            time_attr=task.time_attr,
            metric=task.objective.metric,
            mode=task.objective.mode,
            max_t=task.budget,
            grace_period=task.rungs.grace_steps,
            reduction_factor=task.rungs.reduction_factor,
            brackets=HYPERBAND_BRACKETS if options.scheduler == "hyperband" else 1,
        )
        self._run, self._start_up, self._room = run, start_up, room
        self._audit, self._protect_baselines = options.audit, task.protect_baselines
        self._audited = {record.number for _, record in run.trials() if record.audited is not None}
        self._promoted: list[Trial] = []
        self._ids: dict[int, str] = {}
        start_up.cohort -= self._audited

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Draw the trial's bracket by its seed. Ray draws it from numpy's global stream.

        Values that the trial had under an earlier id are moved to this one.
        """
        sizes = [len(bracket._rungs) for bracket in self._brackets]
        weights = [math.exp(size - max(sizes)) for size in sizes]
        drawn = random.Random(f"bracket {trial.config['seed']}").choices(self._brackets, weights)
        self._trial_info[trial.trial_id] = drawn[0]
        before = self._ids.get(trial.config["trial"])
        self._ids[trial.config["trial"]] = trial.trial_id
        for _, recorded in drawn[0]._rungs:
            if before in recorded:
                recorded[trial.trial_id] = recorded.pop(before)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        number = trial.config["trial"]
        if number in self._audited:
            return TrialScheduler.CONTINUE
        decision: str = super().on_trial_result(tune_controller, trial, result)
        spared = self._protect_baselines and "baseline" in trial.config
        if number in self._start_up.cohort and self._reaches_rung(trial, result):
            self._start_up.cohort.discard(number)
            if not spared:
                self._start_up.paused.append(trial)
                return TrialScheduler.PAUSE
        if decision == TrialScheduler.CONTINUE or spared or self._to_be_audited(trial, result):
            return TrialScheduler.CONTINUE
        return decision

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The best trial that was let go on, if a slot is free, or else a new trial.

        Ray's own method chooses any paused trial.
        """
        trials, paused = tune_controller.get_trials(), self._start_up.paused
        if paused and all(trial.status == Trial.PAUSED for trial in paused):
            others = any(not trial.is_finished() for trial in trials if trial not in paused)
            if not self._start_up.cohort or not others:
                self._release(tune_controller)
        pending = [trial for trial in trials if trial.status == Trial.PENDING]
        busy = len(pending) + sum(trial.status == Trial.RUNNING for trial in trials)
        waiting = [trial for trial in self._promoted if trial.status == Trial.PAUSED]
        if busy >= self._room.slots:
            waiting = []
        return next(iter(waiting + pending), None)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        self._start_up.cohort.discard(trial.config["trial"])
        if trial.config["trial"] not in self._audited:
            # It may have converged, and only its weights are lost.
            self._stay(trial, trial.last_result or {})
        if trial in self._start_up.paused:
            self._start_up.paused.remove(trial)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self._start_up.cohort.discard(trial.config["trial"])
        if trial.config["trial"] in self._audited:
            del self._trial_info[trial.trial_id]
            return
        self._stay(trial, result)
        super().on_trial_complete(tune_controller, trial, result)

    def replay(self, record: TrialRecord, rows: list[dict[str, Any]]) -> None:
        """Put what a trial of an earlier session reported on the rungs.

        A trial of the start-up that reported more after its first rung does not wait there again.
        """
        config = {**record.config, "trial": record.number}
        trial = cast(Trial, SimpleNamespace(trial_id=f"earlier {record.number}", config=config))
        self.on_trial_add(cast(Any, None), trial)
        reported_there = 0
        for row in rows:
            super().on_trial_result(cast(Any, None), trial, row)
            self._stay(trial, row)
            reported_there += self._reaches_rung(trial, row)
        if reported_there > 1:
            self._start_up.cohort.discard(record.number)

    def _value(self, result: dict[str, Any]) -> Any:
        """The metric as the rungs have it: the larger, the better."""
        return self._metric_op * result[str(self._metric)]

    def _stay(self, trial: Trial, result: dict[str, Any]) -> None:
        """Put a trial that has converged on the later rungs."""
        if result.get("ended") == CONVERGED.name:
            for milestone, recorded in self._trial_info[trial.trial_id]._rungs:
                if milestone > result[self._time_attr]:
                    recorded[trial.trial_id] = self._value(result)

    def _reaches_rung(self, trial: Trial, result: dict[str, Any]) -> bool:
        """Whether the trial has reached a rung.

        If the report passed several, it counts on the lower ones, too: the whole start-up is
        compared there.
        """
        passed = [
            recorded
            for milestone, recorded in self._trial_info[trial.trial_id]._rungs
            if milestone <= result[self._time_attr]
        ]
        for recorded in passed:
            recorded.setdefault(trial.trial_id, self._value(result))
        return bool(passed)

    def _release(self, tune_controller: Any) -> None:
        """Stop the paused trials that are below their cut-off, and let the others go on.

        Raises RuntimeError if a trial cannot be stopped: Ray would wait for it without a word.
        """
        held, self._start_up.paused[:] = list(self._start_up.paused), []
        standing = []
        for trial in held:
            bracket = self._trial_info[trial.trial_id]
            recorded = bracket._rungs[-1][1]
            standing.append((recorded[trial.trial_id], bracket.cutoff(recorded), trial))
        for value, cutoff, trial in sorted(standing, key=itemgetter(0), reverse=True):
            if value >= cutoff or self._to_be_audited(trial, trial.last_result):
                self._promoted.append(trial)
                continue
            tune_controller.stop_trial(trial)
            if not trial.is_finished():
                raise RuntimeError(
                    f"trial {trial.config['trial']} could not be stopped:"
                    " see Ray's log for the reason"
                )

    def _to_be_audited(self, trial: Trial, result: dict[str, Any]) -> bool:
        """Whether a trial that would be stopped here is audited; if so, its record is told."""
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


def audits(seed: int, fraction: float) -> bool:
    """Whether the trial with this seed is among the ``fraction`` that is audited."""
    return random.Random(f"audit {seed}").random() < fraction


def create_scheduler(
    options: SearchOptions,
    task: Task,
    run: RunDirectory,
    start_up: StartUp | None = None,
    room: Room | None = None,
) -> TrialScheduler:
    """The scheduler of ``--scheduler``, with the reports of the run's trials on its rungs.

    Without ``start_up`` no trials wait for one another; without ``room`` one trial runs at a time.
    """
    if options.synchronous:
        return Population(options, task, run)
    if options.scheduler == "none" or not task.rungs.steps(task.budget):
        return FIFOScheduler()
    start_up = start_up or StartUp(options, task)
    scheduler = RungScheduler(options, task, run, start_up, room or Room(1))
    for directory, record in run.trials():
        until = math.inf if record.audited is None else record.audited
        costs = [(row[task.time_attr], row) for row in directory.rows()]
        rows = [row for cost, row in costs if cost <= until and cost < task.budget]
        scheduler.replay(record, rows)
    return scheduler
