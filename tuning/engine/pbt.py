"""Population based training: Ray Tune's, with what it takes to be honest and exact about it.

All trials train at once, or in turns where there is less room. At every rung they wait for one
another; then each of the poorest quarter takes over the weights of one of the best quarter and goes
on with its settings, a little changed. What is found is a schedule: settings that change while the
network trains.
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
from records.run_directory import RunDirectory
from search_spaces import SearchSpace
from tuning.options import SearchOptions
from tuning.task import Task

QUANTILE = 0.25
FACTORS = (0.8, 1.2)


class Population(PopulationBasedTraining):
    """Ray Tune's synchronous PBT over the trials of one session.

    Ray's class perturbs when the last trial reports. Then another may be saving still, which Ray
    would stop at its next checkpoint where it has been perturbed; and where the last one ends
    instead of reporting, all others wait for ever. Here that is done when every trial that has not
    ended is paused, hence saved. The settings known beforehand are the yardstick and keep their
    settings and weights, but others may take them over.
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
        # Trials that were cut off stand at different steps: the first rung that lies before all of
        # them.
        reached = [
            rows[-1]["step"]
            for directory, record in run.trials()
            if not record.ended and (rows := directory.rows())
        ]
        self._next_perturbation_sync = (
            max(reached, default=0) // self._perturbation_interval + 1
        ) * self._perturbation_interval

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self._trial_state[trial] = _PBTTrialState(
            trial
        )  # Ray's own refuses every searcher, and fills in settings
        # Tune keeps one idle worker: the others would be started anew after every rung.
        tune_controller._tune_controller._actor_cache.increase_max(trial.placement_group_factory)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        if result["step"] < self._next_perturbation_sync:
            return str(TrialScheduler.CONTINUE)
        self._save_trial_state(self._trial_state[trial], result["step"], result, trial)
        return str(TrialScheduler.PAUSE)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        alive = [trial for trial in self._trial_state if not trial.is_finished()]
        if alive and all(trial.status == Trial.PAUSED for trial in alive):
            self._perturb_population(tune_controller)
        due = [
            trial
            for trial in alive
            if self._trial_state[trial].last_train_time < self._next_perturbation_sync
        ]
        # Ray's own names the same one again until it runs, and the other slots stay empty as long.
        return next(
            (trial for trial in due if trial.status == Trial.PAUSED), None
        ) or super().choose_trial_to_run(tune_controller)

    def _perturb_population(self, tune_controller: Any) -> None:
        random.seed(
            f"{self._seed} {self._next_perturbation_sync}"
        )  # Ray's class draws the donors from it
        lower, upper = self._quantiles()
        for trial in upper + lower:
            self._checkpoint_or_exploit(trial, tune_controller, upper, lower)
        self._next_perturbation_sync += self._perturbation_interval

    def _quantiles(self) -> tuple[list[Trial], list[Trial]]:
        """The trials that are to take over another's weights, worst first, and those that may be taken over."""
        _, upper = super()._quantiles()
        scores = {
            trial: state.last_score
            for trial, state in self._trial_state.items()
            if not trial.is_finished()
        }
        perturbable = sorted(
            (trial for trial in scores if "baseline" not in trial.config),
            key=lambda trial: scores[trial] or 0.0,
        )
        below = [trial for trial in perturbable if trial not in upper]
        return (below[: math.ceil(QUANTILE * len(perturbable))] if upper else []), upper

    def _get_new_config(
        self, trial: Trial, trial_to_clone: Trial
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        config, operations = super()._get_new_config(trial, trial_to_clone)
        own = {
            name: trial.config[name]
            for name in BOOKKEEPING_KEYS
            if name in trial.config and name != "restore_from"
        }
        return {**settings_of(config), **own}, operations

    def _perturbed(self, config: dict[str, Any]) -> dict[str, Any]:
        return {**config, **perturbed(config, self._space, random)}

    def _exploit(self, tune_controller: Any, trial: Trial, trial_to_clone: Trial) -> None:
        """As Ray's, from a copy of the donor's checkpoint that nobody else deletes, and on record."""
        super()._exploit(tune_controller, trial, trial_to_clone)
        checkpoint, donor = (
            cast(Any, trial.latest_checkpoint_result),
            trial_to_clone.config["trial"],
        )
        step, settings = (
            self._trial_state[trial_to_clone].last_train_time,
            settings_of(trial.config),
        )
        directory = self._run.trial(trial.config["trial"])
        checkpoint.checkpoint = Checkpoint(
            str(directory.take_over(Path(checkpoint.checkpoint.path), step, donor, settings))
        )


def perturbed(settings: Mapping[str, Any], space: SearchSpace, rng: Any) -> dict[str, Any]:
    """The settings that can change in the middle of a training, changed: numbers by a fifth up or
    down within their range, choices to the next one up or down, or not at all where there is none.

    ``rng``: ``random``, or a ``random.Random``. A number that is 0 stays 0.
    """
    changed: dict[str, Any] = {}
    for name in space.mutable:
        if name in settings:
            match space.parameters[name].distribution:
                case FloatDistribution(low=low, high=high):
                    changed[name] = min(max(settings[name] * rng.choice(FACTORS), low), high)
                case IntDistribution(low=low, high=high):
                    changed[name] = min(max(round(settings[name] * rng.choice(FACTORS)), low), high)
                case CategoricalDistribution(choices=choices):
                    place = choices.index(settings[name]) + rng.choice((-1, 1))
                    changed[name] = choices[min(max(place, 0), len(choices) - 1)]
    return changed
