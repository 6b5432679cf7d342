"""Ray Tune's searcher over the Optuna study of a run: which settings are tried next.

For Ray's own ``OptunaSearch`` every ended trial is COMPLETE with its last value. Here a trial is
COMPLETE if it used its budget or converged, PRUNED with its intermediate values if it was stopped
early, and FAIL if it diverged or broke. When a search is resumed, a trial that was cut off is
handed out again, with its number, seed and settings, before anything new is sampled.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import TrialState
from ray.air.constants import TRAINING_ITERATION
from ray.tune.search import Searcher

from records.outcome import ERROR, STOPPED_EARLY
from records.places import place_of
from records.run_directory import RunDirectory
from records.trial_directory import TrialRecord
from tuning.engine.failure import Failure
from tuning.engine.patience import Patience
from tuning.engine.retries import RetryingSearcher
from tuning.engine.room import Room
from tuning.engine.samplers import create_sampler, suggest
from tuning.engine.start_up import StartUp
from tuning.engine.study import RunStudy
from tuning.options import RUNGS, SearchOptions
from tuning.seeds import trial_seed
from tuning.task import Task

SAME_ERRORS = 3
"""A search ends if so many trials fail alike before any trial has worked."""

Result = TypeVar("Result")


class StudySearch(RetryingSearcher):
    """Ray Tune's searcher over one run's study.

    A trial's config is its parameters, the fixed settings of the space and the command, its
    ``seed``, its number as ``trial`` and, for a baseline, its name as ``baseline``. If a trial goes
    on, ``restore_from`` lists its checkpoints, the latest first, and ``lost`` counts the failures
    of the machine under it.

    Do not bound the number of trials in Ray Tune: a trial can be handed out twice. Allow as many at
    once as ``--num-samples``: those that wait at their first rung use none of the ``room.slots``.

    Each access to the database is one transaction, repeated whole if it fails. So what is
    remembered here is set after the commit.
    """

    def __init__(
        self,
        options: SearchOptions,
        task: Task,
        run: RunDirectory,
        study: RunStudy,
        trials_done: int,
        room: Room,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(run, patience)
        self._options, self._task, self.run_study = options, task, study
        self.start_up = StartUp(options, task, study.warm_start)
        # The trials of a population train in turns if there is no room for all of them.
        together = self.start_up.synchronous
        self.room = Room(options.num_samples, say=self._patience.say) if together else room
        self._left = options.num_samples - trials_done
        self._out: dict[str, int] = {}  # numbers by Ray Tune's ids
        self._latest: dict[str, dict[str, Any]] = {}
        self._errors: list[tuple[str, int]] = []  # each with the reports before it
        self._cut_off: list[tuple[int, dict[str, Any]]] = [
            (number, {}) for number in study.tell_unheard()
        ]
        trials = self.study.get_trials(deepcopy=False)
        self._numbered = len(trials)  # trials that wait have a number already
        self._asked = sum(trial.state != TrialState.WAITING for trial in trials)
        first = trials[: self.start_up.count]
        open_numbers = [trial.number for trial in first if not trial.state.is_finished()]
        self.start_up.ended = len(first) - len(open_numbers)
        self.start_up.cohort = set(open_numbers[: max(0, self._left)])

    @property
    def study(self) -> optuna.Study:
        return self.run_study.study

    def _committed(self, action: Callable[[], Result]) -> Result:
        return self.run_study.committed(self._patience, action)

    def suggest(self, trial_id: str) -> Any:
        """The next trial's config; None if it is too early to say; ``Searcher.FINISHED`` once all
        trials have ended."""
        if self._left < 1:
            return None if self._out else Searcher.FINISHED
        if len(self._out) - len(self.start_up.paused) >= self.room.slots:
            return None
        if not self._cut_off and self._out and self.start_up.delays(self._asked):
            return None
        again = bool(self._cut_off)

        def hand_out() -> dict[str, Any]:
            if committed := self._already_out(trial_id):
                return committed
            config = self._cut_off_config() if again else self._new_config()
            self.run_study.set(config["trial"], "tune_id", trial_id)
            return config

        config = self._committed(hand_out)
        if again:
            self._cut_off.pop(0)
        else:
            self._asked += 1
            self._numbered = max(self._numbered, self._asked)
        self._left -= 1
        self._out[trial_id] = config["trial"]
        return config

    def _already_out(self, trial_id: str) -> dict[str, Any] | None:
        """The config handed out under this id, if the database kept a transaction that seemed to
        fail."""
        for frozen in self.run_study.running():
            if frozen.user_attrs.get("tune_id") == trial_id and (
                record := self._run.trial(frozen.number).read()
            ):
                return record.config
        return None

    def _cut_off_config(self) -> dict[str, Any]:
        number, lost = self._cut_off[0]
        directory = self._run.trial(number)
        record = directory.read()
        assert record is not None  # written before the trial was first handed out
        restored = [place_of(folder) for folder in directory.checkpoints()]
        return {**directory.config(record), **lost, "restore_from": restored}

    def _new_config(self) -> dict[str, Any]:
        """Ask the study for its next trial and write the trial's record."""
        place, space, start_up = self._asked, self._task.space, self.start_up
        if place == self._numbered and (start_up.endless or place < start_up.count):
            start_up.enqueue(self.study, place)  # no trial waits that should
        self.study.sampler = self._sampler(place)
        trial = self.study.ask()
        directory = self._run.trial(trial.number)
        if (directory.has_files() and directory.read() is None) or directory.rows():
            raise self._patience.give_up(
                f"{directory.path} holds files of a trial that the study does not know"
            )
        settings = space.choose(partial(suggest, trial))
        options = self._options
        seed = trial_seed(options.seed, trial.number, options.seeds_per_trial)
        own = {"seed": options.seed if options.train else seed, "trial": trial.number}
        if options.seeds_per_trial > 1:
            own["seeds_per_trial"] = options.seeds_per_trial
            if options.scheduler in RUNGS:
                own["first_seed_until"] = self._task.rungs.grace_steps
        config = {**settings, **space.fixed, **self._task.settings, **own}
        if "baseline" in trial.user_attrs:
            config["baseline"] = trial.user_attrs["baseline"]
        if place >= start_up.count and not start_up.endless:
            trial.set_user_attr("origin", start_up.attributes(place)["origin"])
        trial.set_user_attr("seed", own["seed"])
        trial.set_user_attr("directory", directory.path.name)
        directory.write(TrialRecord(trial.number, config))
        return config

    def _sampler(self, number: int) -> BaseSampler:
        options, space = self._options, self._task.space
        if number < self.start_up.count:
            # Its settings wait in the queue: a model would compute in vain, and CMA-ES would count
            # the trial as its own.
            return create_sampler(replace(options, sampler="random"), space, number)
        x0 = self._best_of_start_up() if options.sampler == "cmaes" else None
        return create_sampler(options, space, number, x0)

    def _best_of_start_up(self) -> dict[str, Any] | None:
        """The best settings of the start-up, or None if no trial of it is complete."""
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        objective = self._task.objective
        best = min(
            (trial for trial in complete if trial.number < self.start_up.count),
            key=lambda trial: objective.loss({objective.metric: trial.value}),
            default=None,
        )
        return None if best is None else best.params

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._latest[trial_id] = result
        self._committed(lambda: self.run_study.report(self._out[trial_id], result))

    def _ended(
        self, trial_id: str, result: dict[str, Any], error: bool, failure: Failure | None
    ) -> None:
        # Ray Tune has no result for a trial that it stops while it is paused.
        result = result or self._latest.get(trial_id, {})
        ended = result.get("ended") or STOPPED_EARLY.name if result else ERROR.name
        if error:
            ended = ERROR.name
        if failure is not None:
            if failure.outcome:
                ended, result = failure.outcome, failure.trial.last_result
            else:
                self._refuse_to_repeat(failure, result.get(TRAINING_ITERATION, 0))
        self._committed(lambda: self.run_study.tell(self._out[trial_id], ended, result))
        self.start_up.ended += self._out.pop(trial_id) < self.start_up.count
        self._latest.pop(trial_id, None)

    def _hand_out_again(self, trial_id: str, failure: Failure) -> None:
        if failure.blame == "memory":
            self.room.shrink()
        self._cut_off.append((self._out.pop(trial_id), {"lost": failure.config_again["lost"]}))
        self._latest.pop(trial_id, None)
        self._left += 1

    def _refuse_to_repeat(self, failure: Failure, reports: int) -> None:
        """End a search whose first trials all failed alike after as many ``reports``: the others
        would, too. Unless a running trial has more reports."""
        self._errors.append((failure.line, reports))
        if (
            len(self._errors) == SAME_ERRORS
            and len(set(self._errors)) == 1
            and all(row.get(TRAINING_ITERATION, 0) <= reports for row in self._latest.values())
            and all(record.ended in (None, ERROR.name) for _, record in self._run.trials())
        ):
            raise self._patience.give_up(
                f"the first {SAME_ERRORS} trials all failed: {failure.line}"
            )
