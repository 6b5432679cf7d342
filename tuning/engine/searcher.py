"""The Optuna study of a search, through Ray Tune's OptunaSearch: which settings come next, and what
each trial came to.

Ray's class tells Optuna every ended trial as COMPLETE with whatever value it had last. Here a trial
is told as it ended: COMPLETE where it used its budget or converged, PRUNED with its intermediate
values where the scheduler stopped it, FAIL where it diverged or broke. A trial keeps its number,
seed and settings when a search is resumed: the study is the record of what was asked for, and a
trial that was cut off is handed out again before anything new is sampled.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial, TrialState
from ray.tune import experiment as tune_experiment
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from records.outcome import ERROR, STOPPED_EARLY
from records.run_directory import RunDirectory
from records.trial_directory import TrialRecord
from tuning.engine.failure import Failure, config_again, find_trial, wait_for_storage
from tuning.engine.patience import Patience
from tuning.engine.room import Room
from tuning.engine.samplers import create_sampler
from tuning.engine.start_up import StartUp
from tuning.engine.storage import one_transaction
from tuning.engine.study import RunStudy, outcome
from tuning.options import SearchOptions
from tuning.seeds import trial_seed
from tuning.task import Task

SAME_ERRORS = 3
"""Trials that fail alike, before any other has worked, after which a search is over."""

Result = TypeVar("Result")


class StudySearch(OptunaSearch):
    """Ray Tune's Optuna searcher over one run's study.

    A trial's config is its parameters, the space's and the command's fixed settings, its ``seed``,
    its number as ``trial`` and, for settings known beforehand, their name as ``known``; for one
    that goes on, ``restore_from`` lists its checkpoints, the latest first, and ``lost`` counts the
    times that the machine failed under it.

    Give Ray Tune no bound on the number of trials, nor on those at once: this one ends the search,
    since a trial can be handed out twice, and has at most ``room.slots`` trials out beside those
    that wait at their first rung.

    What it asks of the database goes through ``patience``. Each call is one transaction, and what
    is remembered of it here is set when it is committed, so that it can be repeated whole.
    """

    def __init__(
        self,
        options: SearchOptions,
        task: Task,
        run: RunDirectory,
        study: RunStudy,
        trials_done: int,
        slots: int,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(
            space=task.space.distributions,
            metric=[objective.metric for objective in task.objectives],
            mode=[objective.mode for objective in task.objectives],
            sampler=create_sampler(options, task.space),
            study_name=study.name,
            storage=study.storage,
        )
        self._options, self._task, self._run = options, task, run
        self._database = study.storage
        self._fixed = {**task.space.fixed, **task.settings}
        self.start_up = StartUp(options, task, study.warm_start)
        self._left = options.num_samples - trials_done
        self._patience = patience or Patience()
        self.room = Room(slots, self._patience.say)
        self.tune_trials: Sequence[tune_experiment.Trial] = ()
        self._reported: dict[int, int] = {}
        self._latest: dict[str, dict[str, Any]] = {}
        self._same_errors: list[str] = []
        self._cut_off: list[tuple[Trial, dict[str, Any]]] = [
            (trial, {}) for trial in self._reconcile()
        ]
        trials = self.study.get_trials(deepcopy=False)
        self._numbered = len(trials)  # those that wait among them
        self._asked = sum(trial.state != TrialState.WAITING for trial in trials)
        first = trials[: self.start_up.count]
        open_numbers = [trial.number for trial in first if not trial.state.is_finished()]
        self.start_up.ended = len(first) - len(open_numbers)
        self.start_up.cohort = set(open_numbers[: max(0, self._left)])

    @property
    def study(self) -> optuna.Study:
        return cast(optuna.Study, self._ot_study)

    def _reconcile(self) -> list[Trial]:
        """Tell what ended without the study hearing of it; returns the trials that were cut off, to be handed out again."""
        cut_off = []
        for frozen in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            trial = Trial(self.study, frozen._trial_id)
            self._reported[trial.number] = max(frozen.intermediate_values, default=0)
            directory = self._run.trial(trial.number)
            record = directory.read()
            if record is None:  # cut off before it had settings
                self._tell(trial, ERROR.name, {})
            elif record.ended is not None:
                self._tell(trial, record.ended, (directory.rows() or [{}])[-1])
            else:
                cut_off.append(trial)
        return cut_off

    def _committed(self, action: Callable[[], Result]) -> Result:
        """``action()`` in one transaction, again and again if the database fails.

        After a failure Optuna's cache may hold what was rolled back, so the study is loaded anew.
        """
        failed = False

        def attempt() -> Result:
            nonlocal failed
            try:
                if failed:
                    self._load_anew()
                with one_transaction(self._database):
                    return action()
            except BaseException:
                failed = True
                raise

        return self._patience("the study's database", attempt)

    def _load_anew(self) -> None:
        self._database.engine.dispose()  # connections that a restarted server has forgotten
        self._ot_study: Any = optuna.load_study(
            study_name=self.study.study_name, storage=self._database
        )
        self._ot_trials = {
            name: Trial(self.study, trial._trial_id) for name, trial in self._ot_trials.items()
        }
        self._cut_off = [
            (Trial(self.study, trial._trial_id), lost) for trial, lost in self._cut_off
        ]
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        self._reported = {
            trial.number: max(trial.intermediate_values, default=0) for trial in running
        }

    def suggest(self, trial_id: str) -> Any:
        """The next trial's config; None where it is too early to say; ``Searcher.FINISHED`` once all have ended."""
        if self._left < 1:
            return None if self._ot_trials else Searcher.FINISHED
        if len(self._ot_trials) - len(self.start_up.paused) >= self.room.slots:
            return None
        if not self._cut_off and self._ot_trials and self.start_up.delays(self._asked):
            return None
        again = bool(self._cut_off)

        def hand_out() -> tuple[Trial, dict[str, Any]]:
            if committed := self._already_out(trial_id):
                return committed
            trial, config = self._handed_out_again() if again else self._new_trial()
            trial.set_user_attr("tune_id", trial_id)
            return trial, config

        trial, config = self._committed(hand_out)
        if again:
            self._cut_off.pop(0)
        else:
            self._asked += 1
            self._numbered = max(self._numbered, self._asked)
        self._left -= 1
        self._ot_trials[trial_id] = trial
        return config

    def _already_out(self, trial_id: str) -> tuple[Trial, dict[str, Any]] | None:
        """The trial that was handed out under this id by a transaction that the database kept, although it seemed to fail."""
        for frozen in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if frozen.user_attrs.get("tune_id") == trial_id and (
                record := self._run.trial(frozen.number).read()
            ):
                return Trial(self.study, frozen._trial_id), record.config
        return None

    def _handed_out_again(self) -> tuple[Trial, dict[str, Any]]:
        trial, lost = self._cut_off[0]
        directory = self._run.trial(trial.number)
        record = directory.read()
        assert record is not None  # written before the trial was first handed out
        restored = [str(folder) for folder in directory.checkpoints()]
        return trial, {**directory.config(record), **lost, "restore_from": restored}

    def _new_trial(self) -> tuple[Trial, dict[str, Any]]:
        number, space = self._asked, self._task.space
        drawn = number >= self.start_up.count
        if number == self._numbered and (self.start_up.endless or not drawn):
            # Beyond what waited: the design goes on, or what the end of a search had cut off.
            self.start_up.enqueue(self.study, number)
        # What waits in the queue has its settings: a model would compute in vain, and CMA-ES count
        # the trial as its own.
        options = self._options if drawn else replace(self._options, sampler="random")
        self.study.sampler = create_sampler(options, space, number, self._best_of_start_up())
        trial = self.study.ask()
        directory = self._run.trial(trial.number)
        if (directory.has_files() and directory.read() is None) or directory.rows():
            raise self._patience.give_up(
                f"{directory.path} holds files of a trial that the study does not know"
            )
        settings: dict[str, Any] = {}
        for name, parameter in space.parameters.items():
            if parameter.applies(settings):
                settings[name] = _suggest(trial, name, parameter.distribution)
        seed = (
            self._options.seed
            if self._options.train
            else trial_seed(self._options.seed, trial.number)
        )
        config = {**settings, **self._fixed, "seed": seed, "trial": trial.number}
        if "baseline" in trial.user_attrs:
            config["baseline"] = trial.user_attrs["baseline"]
        if drawn and not self.start_up.endless:
            trial.set_user_attr("origin", self.start_up.attributes(number)["origin"])
        trial.set_user_attr("seed", seed)
        trial.set_user_attr("directory", directory.path.name)
        directory.write(TrialRecord(trial.number, config))
        return trial, config

    def _best_of_start_up(self) -> dict[str, Any] | None:
        """The settings from which CMA-ES starts; None where no trial of the start-up is complete."""
        if self._options.sampler != "cmaes":
            return None
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        objective = self._task.objective
        started = [trial for trial in complete if trial.number < self.start_up.count]
        return (
            min(started, key=lambda trial: objective.loss({objective.metric: trial.value})).params
            if started
            else None
        )

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._latest[trial_id] = result
        if round(result[self._task.time_attr]) > self._reported.get(
            self._ot_trials[trial_id].number, 0
        ):
            self._committed(lambda: self._report(self._ot_trials[trial_id], result))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        result = result or self._latest.get(
            trial_id, {}
        )  # Ray Tune hands none over for a trial that it stops in a pause
        ended = result.get("ended") or STOPPED_EARLY.name if result else ERROR.name
        if error:
            failed = find_trial(self.tune_trials, trial_id)
            failure = None if failed is None else Failure.of(failed)
            if failed is not None and failure is not None and failure.again:
                self._hand_out_again(trial_id, config_again(failed), failure)
                return
            ended = ERROR.name
            if failed is not None and failure is not None and failure.outcome:
                ended, result = failure.outcome, failed.last_result
            self._refuse_to_repeat(failure, result)
        self._committed(lambda: self._tell(self._ot_trials[trial_id], ended, result))
        self.start_up.ended += self._ot_trials[trial_id].number < self.start_up.count
        del self._ot_trials[trial_id]
        self._latest.pop(trial_id, None)

    def _hand_out_again(self, trial_id: str, config: dict[str, Any], failure: Failure) -> None:
        """Put a trial that the machine has failed back in the queue, with fewer trials at once if memory was short."""
        if failure.blame == "memory":
            self.room.shrink()
        if failure.blame == "storage":
            wait_for_storage(self._run, config, failure, self._patience)
        self._cut_off.append((self._ot_trials.pop(trial_id), {"lost": config["lost"]}))
        self._latest.pop(trial_id, None)
        self._left += 1

    def _refuse_to_repeat(self, failure: Failure | None, result: Mapping[str, Any]) -> None:
        """End a search in which the first trials all fail alike before they report anything: the others would, too."""
        if failure is None or result:
            return
        self._same_errors.append(failure.line)
        if (
            len(self._same_errors) == SAME_ERRORS
            and len(set(self._same_errors)) == 1
            and self._none_has_worked()
        ):
            raise self._patience.give_up(
                f"the first {SAME_ERRORS} trials all failed: {failure.line}"
            )

    def _none_has_worked(self) -> bool:
        return not self._latest and all(
            record.ended in (None, ERROR.name) for _, record in self._run.trials()
        )

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a resumed search reads the study and the run directory, which no snapshot could keep up with."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, as nothing was saved."""

    def _report(self, trial: Trial, result: Mapping[str, Any]) -> None:
        step = round(result[self._task.time_attr])
        if step > self._reported.get(trial.number, 0):
            value = result.get(self.metric[0])
            if (
                value is not None and len(self.metric) == 1
            ):  # Optuna keeps no intermediate values of several objectives
                trial.report(value, step=step)
            self._reported[trial.number] = step

    def _tell(self, trial: Trial, ended: str, result: Mapping[str, Any]) -> None:
        if trial.storage.get_trial(trial._trial_id).state.is_finished():
            return  # the database kept the transaction, although it seemed to fail
        state, values = outcome(self._task, ended, result)
        if state != TrialState.FAIL:
            self._report(trial, result)
        trial.set_user_attr("ended", ended)
        changes = self._run.trial(trial.number).schedule()
        if changes:  # the trial's parameters are what it began with
            schedule = [
                {
                    "step": change.step,
                    "from": change.donor,
                    **self._task.space.varied(change.settings),
                }
                for change in changes
            ]
            trial.set_user_attr("schedule", schedule)
        # Optuna takes a pruned trial's value from its last intermediate one.
        self.study.tell(trial, values, state=state)


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    """Ask the trial for a value of ``distribution``, through Optuna's define-by-run calls."""
    match distribution:
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(name, low, high, step=step, log=log)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(name, low, high, step=step, log=log)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
    raise TypeError(f"{name}: {distribution} is no distribution that a trial can be asked for")
