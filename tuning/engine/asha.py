"""Which trials are stopped early: Ray Tune's asynchronous successive halving (ASHA), its rungs kept
across ``--resume``, and its first trials compared with one another before any of them goes on.

Source: Li et al., A System for Massively Parallel Hyperparameter Tuning,
https://arxiv.org/abs/1810.05934
"""

import math
import random
from types import SimpleNamespace
from typing import Any, cast

from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from records.outcome import CONVERGED
from records.run_directory import RunDirectory
from tuning.engine.pbt import Population
from tuning.engine.room import Room
from tuning.engine.start_up import StartUp
from tuning.options import SearchOptions
from tuning.task import Task

HYPERBAND_BRACKETS = 3


class RungScheduler(AsyncHyperBandScheduler):
    """Ray Tune's ASHA, with five differences.

    The trials of the start-up wait for one another at their first rung. Ray's ASHA compares a trial
    with those that came before it, so the first ones pass every rung, however poor they are, and
    use their whole budget. Here each is paused, hence saved, where it first stands on a rung; once
    all of them stand there or have ended, those below the cut-off are stopped and the others go on,
    the best first.

    A trial that has converged stands on every rung above its end with its last figure, so that the
    slower ones are compared with it there; Ray's leaves it out, and goes on comparing those among
    themselves.

    Settings known beforehand are never stopped, where the task protects them: they are the
    baselines. Their results stand on the rungs like any other.

    A trial's bracket of HyperBand follows from its seed, so that it is the same in every session.

    An audit: the fraction ``audit`` of the trials that would be stopped, drawn by their seeds, runs
    on to its end, so that what early stopping costs can be estimated. Where it would have been
    stopped is written down as ``audited``; from there on such a trial stands on no rung, for the
    others are to be judged as if it were not there.
    """

    def __init__(
        self,
        run: RunDirectory,
        start_up: StartUp,
        room: Room,
        audit: float,
        protect_baselines: bool,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self._run, self._room, self._audit, self._protect_baselines = (
            run,
            room,
            audit,
            protect_baselines,
        )
        self._audited = {record.number for _, record in run.trials() if record.audited is not None}
        self._promoted: list[Trial] = []
        self._start_up = start_up
        start_up.cohort -= self._audited

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Ray's own draws a bracket of HyperBand from numpy's global stream; here a trial has the same one in every session."""
        sizes = [len(bracket._rungs) for bracket in self._brackets]
        weights = [math.exp(size - max(sizes)) for size in sizes]
        drawn = random.Random(f"bracket {trial.config['seed']}").choices(self._brackets, weights)
        self._trial_info[trial.trial_id] = drawn[0]

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        number = trial.config["trial"]
        if number in self._audited:
            return TrialScheduler.CONTINUE
        decision: str = super().on_trial_result(tune_controller, trial, result)
        spared = self._protect_baselines and "baseline" in trial.config
        if number in self._start_up.cohort and self._stands(trial, result):
            self._start_up.cohort.discard(number)
            if not spared:
                self._start_up.paused.append(trial)
                return TrialScheduler.PAUSE
        if decision == TrialScheduler.CONTINUE or spared or self._to_be_audited(trial, result):
            return TrialScheduler.CONTINUE
        return decision

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """A trial that was let go on, the best first, where a slot is free; else a new one. Ray's own runs any paused one."""
        trials = tune_controller.get_trials()
        if self._start_up.paused and all(
            trial.status == Trial.PAUSED for trial in self._start_up.paused
        ):
            others = any(
                not trial.is_finished() for trial in trials if trial not in self._start_up.paused
            )
            if not self._start_up.cohort or not others:
                self._release(tune_controller)
        pending = [trial for trial in trials if trial.status == Trial.PENDING]
        busy = len(pending) + sum(trial.status == Trial.RUNNING for trial in trials)
        waiting = (trial for trial in self._promoted if trial.status == Trial.PAUSED)
        return (next(waiting, None) if busy < self._room.slots else None) or next(
            iter(pending), None
        )

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        self._start_up.cohort.discard(trial.config["trial"])
        if trial.config["trial"] not in self._audited:
            self._stay(
                trial, trial.last_result or {}
            )  # it may have converged, and only its weights are lost
        if trial in self._start_up.paused:
            self._start_up.paused.remove(trial)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self._start_up.cohort.discard(trial.config["trial"])
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
        if result.get("ended") == CONVERGED.name:
            for milestone, recorded in self._trial_info[trial.trial_id]._rungs:
                if milestone > result[self._time_attr]:
                    recorded[trial.trial_id] = self._metric_op * result[str(self._metric)]

    def _stands(self, trial: Trial, result: dict[str, Any]) -> bool:
        """Whether the trial stands on a rung. A report that passed several puts it on the lower
        ones, too: a trial of the start-up is to be compared with all the others."""
        passed = [
            recorded
            for milestone, recorded in self._trial_info[trial.trial_id]._rungs
            if milestone <= result[self._time_attr]
        ]
        for recorded in passed:
            recorded.setdefault(trial.trial_id, self._metric_op * result[str(self._metric)])
        return bool(passed)

    def _release(self, tune_controller: Any) -> None:
        """The whole start-up stands on its first rungs: stop what is below the cut-off there, let
        the others go on.

        Raises RuntimeError where a trial cannot be stopped: Ray says nothing of that, and would
        wait for it for ever.
        """
        held, self._start_up.paused[:] = list(self._start_up.paused), []
        brackets = {trial.trial_id: self._trial_info[trial.trial_id] for trial in held}
        first = {name: bracket._rungs[-1][1] for name, bracket in brackets.items()}
        for trial in sorted(held, key=lambda one: first[one.trial_id][one.trial_id], reverse=True):
            recorded = first[trial.trial_id]
            above = recorded[trial.trial_id] >= brackets[trial.trial_id].cutoff(recorded)
            if above or self._to_be_audited(trial, trial.last_result):
                self._promoted.append(trial)
                continue
            tune_controller.stop_trial(trial)
            if not trial.is_finished():
                raise RuntimeError(
                    f"trial {trial.config['trial']} could not be stopped: see Ray's log for the reason"
                )

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


def audits(seed: int, fraction: float) -> bool:
    """Whether the trial of this seed belongs to the fraction that is audited: the same however often it is asked."""
    return random.Random(f"audit {seed}").random() < fraction


def create_scheduler(
    options: SearchOptions,
    task: Task,
    run: RunDirectory,
    start_up: StartUp | None = None,
    room: Room | None = None,
) -> TrialScheduler:
    """The scheduler of ``--scheduler``, with what the run's ended trials left on its rungs.

    The trials of ``start_up``'s cohort wait for one another at their first rung. ``room``: None has
    room for one trial.
    """
    if options.synchronous:
        return Population(options, task, run)
    if options.scheduler == "none" or not task.rungs.steps(task.budget):
        return FIFOScheduler()
    scheduler = RungScheduler(
        run,
        start_up or StartUp(options, task),
        room or Room(1),
        options.audit,
        task.protect_baselines,
        time_attr=task.time_attr,
        metric=task.objective.metric,
        mode=task.objective.mode,
        max_t=task.budget,
        grace_period=task.rungs.grace_steps,
        reduction_factor=task.rungs.reduction_factor,
        brackets=HYPERBAND_BRACKETS if options.scheduler == "hyperband" else 1,
    )
    for directory, record in run.trials():
        if record.ended is not None:
            until = math.inf if record.audited is None else record.audited
            costs = [(row[task.time_attr], row) for row in directory.rows()]
            rows = [row for cost, row in costs if cost <= until and cost < task.budget]
            scheduler.replay(directory.path.name, record.config, rows)
    return scheduler
