"""Population based training (PBT): Ray Tune's, made exact and fair.

All trials train together, in turns if there is no room for all at once. At every rung they wait
for one another. Then each of the poorest quarter takes over the weights and the settings of one of
the best quarter, with some settings perturbed. The result is a schedule: settings that change while
the network trains.
Source: Jaderberg et al. 2017, https://arxiv.org/abs/1711.09846
"""

import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from ray.tune import Checkpoint
from ray.tune.experiment import Trial
from ray.tune.schedulers import PopulationBasedTraining, TrialScheduler
from ray.tune.schedulers.pbt import _PBTTrialState

from records.checkpoint import BOOKKEEPING_KEYS, settings_of
from records.places import place_of
from records.run_directory import RunDirectory
from search_spaces import SearchSpace
from tuning.options import SearchOptions
from tuning.task import Task

QUANTILE = 0.25
FACTORS = (0.8, 1.2)


class Population(PopulationBasedTraining):
    """Ray Tune's synchronous PBT over the trials of one session.

    Ray's class perturbs the population when the last trial reports. Another trial may still be
    saving then, and if it was perturbed, its next checkpoint ends it. If the last trial ends
    instead of reporting, all others wait for ever. Here the population is perturbed when all trials
    that have not ended are paused, and so saved. Baselines keep their settings and weights; others
    may take them over.
    """

    def __init__(self, options: SearchOptions, task: Task, run: RunDirectory) -> None:
        super().__init__(
            time_attr="step",
            metric=task.objective.metric,
            mode=task.objective.mode,
            perturbation_interval=task.rungs.grace_steps,
            quantile_fraction=QUANTILE,
            custom_explore_fn=self._perturbed,
            log_config=False,  # schedule.json has it
            synch=True,
        )
        self._seed, self._run, self._space = options.seed, run, task.space
        # Trials that were cut off are at different steps: they meet at the first rung after the
        # furthest of them.
        unfinished = [directory for directory, record in run.trials() if not record.ended]
        reached = [rows[-1]["step"] for trial in unfinished if (rows := trial.rows())]
        rungs_passed = max(reached, default=0) // self._perturbation_interval
        self._next_perturbation_sync = (rungs_passed + 1) * self._perturbation_interval

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Ray's own method refuses every searcher and fills in settings."""
        self._trial_state[trial] = _PBTTrialState(trial)
        # Tune keeps one idle worker: the others would be started anew after every rung.
        tune_controller._tune_controller._actor_cache.increase_max(trial.placement_group_factory)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        if result["step"] < self._next_perturbation_sync:
            return str(TrialScheduler.CONTINUE)
        self._save_trial_state(self._trial_state[trial], result["step"], result, trial)
        return str(TrialScheduler.PAUSE)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """A paused trial before the next rung, or else Ray's choice.

        Ray itself names the same trial until it runs, and the other slots stay empty.
        """
        alive = [trial for trial in self._trial_state if not trial.is_finished()]
        if alive and all(trial.status == Trial.PAUSED for trial in alive):
            self._perturb_population(tune_controller)
        for trial in alive:
            behind = self._trial_state[trial].last_train_time < self._next_perturbation_sync
            if behind and trial.status == Trial.PAUSED:
                return trial
        chosen: Trial | None = super().choose_trial_to_run(tune_controller)
        return chosen

    def _perturb_population(self, tune_controller: Any) -> None:
        random.seed(f"{self._seed} {self._next_perturbation_sync}")  # Ray's class draws from it
        lower, upper = self._quantiles()
        for trial in upper + lower:
            self._checkpoint_or_exploit(trial, tune_controller, upper, lower)
        self._next_perturbation_sync += self._perturbation_interval

    def _quantiles(self) -> tuple[list[Trial], list[Trial]]:
        """The trials that take over another trial, worst first, and the trials to take over."""
        _, upper = super()._quantiles()
        if not upper:
            return [], upper
        perturbable = [
            trial
            for trial in self._trial_state
            if not trial.is_finished() and "baseline" not in trial.config
        ]
        perturbable.sort(key=lambda trial: self._trial_state[trial].last_score or 0.0)
        below = [trial for trial in perturbable if trial not in upper]
        return below[: math.ceil(QUANTILE * len(perturbable))], upper

    def _get_new_config(
        self, trial: Trial, trial_to_clone: Trial
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        config, operations = super()._get_new_config(trial, trial_to_clone)
        own = {*BOOKKEEPING_KEYS} - {"restore_from"}
        kept = {name: value for name, value in trial.config.items() if name in own}
        return {**settings_of(config), **kept}, operations

    def _perturbed(self, config: dict[str, Any]) -> dict[str, Any]:
        return {**config, **perturbed(config, self._space, random)}

    def _exploit(self, tune_controller: Any, trial: Trial, trial_to_clone: Trial) -> None:
        """Exploit as Ray does, but from an own copy of the donor's checkpoint, and on record."""
        super()._exploit(tune_controller, trial, trial_to_clone)
        result = cast(Any, trial.latest_checkpoint_result)
        step = self._trial_state[trial_to_clone].last_train_time
        donor, settings = trial_to_clone.config["trial"], settings_of(trial.config)
        directory, given = self._run.trial(trial.config["trial"]), self._run.trial(donor)
        checkpoint = given.path / Path(result.checkpoint.path).name
        copy = directory.take_over(checkpoint, step, donor, settings)
        self._run.push()
        result.checkpoint = Checkpoint(place_of(copy))


def perturbed(settings: Mapping[str, Any], space: SearchSpace, rng: Any) -> dict[str, Any]:
    """The settings that may change during a training, perturbed.

    A number grows or shrinks by a fifth, and a whole number by one step at least, within its range
    and on its grid; 0 stays 0. A choice moves to the next one
    up or down, or stays if there is none.

    Args:
        rng: ``random`` or a ``random.Random``.
    """
    changed: dict[str, Any] = {}
    for name in space.mutable:
        if name in settings:
            match space.parameters[name].distribution:
                case FloatDistribution() | IntDistribution() as range_:
                    changed[name] = _moved(settings[name], rng.choice(FACTORS), range_)
                case CategoricalDistribution(choices=choices):
                    place = choices.index(settings[name]) + rng.choice((-1, 1))
                    changed[name] = choices[min(max(place, 0), len(choices) - 1)]
    return changed


def _moved(value: Any, factor: float, range_: FloatDistribution | IntDistribution) -> Any:
    """``value`` times ``factor``, on the range's grid and inside it."""
    moved, step, low = value * factor, range_.step, range_.low
    if isinstance(range_, IntDistribution) and value:
        moved = max(moved, value + range_.step) if factor > 1 else min(moved, value - range_.step)
    if step is not None:
        moved = low + step * round((moved - low) / step)
    return min(max(moved, low), range_.high)
