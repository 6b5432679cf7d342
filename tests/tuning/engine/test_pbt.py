"""How a population's settings change, and which of its trials take over whose."""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from records.objective import Goal, Objective
from records.run_directory import RunDirectory
from records.trial_directory import TrialRecord
from search_spaces import Parameter, SearchSpace
from search_spaces.gan import SPACES
from trainables.gan.trainable import GANTrial
from tune_gan import GANOptions
from tuning.engine.pbt import FACTORS, Population, perturbed
from tuning.task import Rungs, Task

EXTENDED = SPACES["extended"]
FOUND, R3GAN = (
    EXTENDED.baselines["from an earlier search"],
    EXTENDED.baselines["in the manner of R3GAN"],
)


class TestPerturbed:
    @pytest.mark.parametrize("settings", [FOUND, R3GAN])
    def test_changes_what_can_change_and_applies_and_nothing_else(
        self, settings: dict[str, Any]
    ) -> None:
        for seed in range(50):
            changed = perturbed(settings, EXTENDED, random.Random(seed))
            assert set(changed) == {name for name in EXTENDED.mutable if name in settings}
            for name, value in changed.items():
                distribution = EXTENDED.parameters[name].distribution
                assert distribution._contains(distribution.to_internal_repr(value)), name
        assert {"latent_dim", "loss", "regulariser", "latent", "lr_decay", "d_steps"}.isdisjoint(
            EXTENDED.mutable
        )

    def test_numbers_move_by_a_fifth_within_their_range(self) -> None:
        space = SearchSpace(
            {
                "x": Parameter(FloatDistribution(0.1, 10.0, log=True), "", mutable=True),
                "n": Parameter(IntDistribution(1, 12), "", mutable=True),
            },
            {},
            {},
        )
        drawn = [perturbed({"x": 1.0, "n": 10}, space, random.Random(seed)) for seed in range(30)]
        assert {d["x"] for d in drawn} == set(FACTORS)
        assert {d["n"] for d in drawn} == {8, 12}
        high = {
            perturbed({"x": 9.0, "n": 12}, space, random.Random(seed))["x"] for seed in range(30)
        }
        assert high == {9.0 * 0.8, 10.0}
        low = {perturbed({"x": 0.1, "n": 1}, space, random.Random(seed))["x"] for seed in range(30)}
        assert low == {0.1, 0.1 * 1.2}

    def test_small_whole_numbers_move_and_a_grid_is_kept(self) -> None:
        space = SearchSpace(
            {
                "x": Parameter(FloatDistribution(1e-4, 9e-4, step=2e-4), "", mutable=True),
                "n": Parameter(IntDistribution(0, 4), "", mutable=True),
            },
            {},
            {},
        )
        drawn = [perturbed({"x": 5e-4, "n": 2}, space, random.Random(seed)) for seed in range(30)]
        assert {d["n"] for d in drawn} == {1, 3}
        for d in drawn:
            assert space.distributions["x"]._contains(d["x"])
        none = [perturbed({"x": 5e-4, "n": 0}, space, random.Random(seed)) for seed in range(30)]
        assert {d["n"] for d in none} == {0}

    @pytest.mark.parametrize(
        ("ema", "reached"),
        [
            (0.0, {0.0, 0.99}),
            (0.99, {0.0, 0.999}),
            (0.999, {0.99, 0.9995}),
            (0.9995, {0.999, 0.9995}),
        ],
    )
    def test_choices_move_to_the_next_one(self, ema: float, reached: set[float]) -> None:
        settings = {**FOUND, "ema": ema}
        assert {
            perturbed(settings, EXTENDED, random.Random(seed))["ema"] for seed in range(30)
        } == reached


@pytest.fixture
def options(tmp_path: Path) -> GANOptions:
    return GANOptions(
        name="run", storage_path=str(tmp_path), seed=2, scheduler="pbt", num_samples=5
    )


@pytest.fixture
def task() -> Task:
    return Task(
        trainable=GANTrial,
        space=EXTENDED,
        settings={"dataset": "digits", "max_steps": 90},
        objectives=(Objective("fd", "min"),),
        console_metrics=("fd",),
        rungs=Rungs(grace_steps=10, reduction_factor=3),
        goal=Goal("fd_ratio", "most", 2.0),
    )


def test_what_is_taken_over_is_the_donors_settings_changed_and_never_who_it_is(
    options: GANOptions, task: Task
) -> None:
    scheduler = Population(options, task, RunDirectory.create(options.run_path()))
    own = {"trial": 4, "seed": 2_000_004, "lost": 1}
    poor = {**R3GAN, "dataset": "digits", **own, "restore_from": ["trial_0004/checkpoint_000001"]}
    donor = {
        **FOUND,
        "dataset": "digits",
        "trial": 2,
        "seed": 2_000_002,
        "baseline": "from an earlier search",
        "restore_from": [],
    }
    trial, other = (cast(Any, SimpleNamespace(config=config)) for config in (poor, donor))
    config, _ = scheduler._get_new_config(trial, other)
    assert {name: config[name] for name in own} == own
    assert {"baseline", "restore_from", "penalty"}.isdisjoint(config)
    kept = [name for name in FOUND if name not in EXTENDED.mutable]
    assert {name: config[name] for name in kept} == {name: FOUND[name] for name in kept}
    assert config["lr_g"] in [pytest.approx(FOUND["lr_g"] * factor) for factor in FACTORS]


def test_the_poorest_quarter_takes_over_the_best_quarter_and_baselines_stay(
    options: GANOptions, task: Task
) -> None:
    scheduler = Population(options, task, RunDirectory.create(options.run_path()))
    for number, fd in enumerate((30.0, 10.0, 90.0, 50.0, 40.0, 20.0, 60.0, 80.0)):
        known = {"baseline": "hand-tuned"} if number in (2, 5, 7) else {}
        trial = Trial(f"stub {number}", config={"trial": number, **known}, stub=True)
        add(scheduler, trial)
        assert (
            scheduler.on_trial_result(None, trial, {"step": 9, "fd": fd}) == TrialScheduler.CONTINUE
        )
        assert (
            scheduler.on_trial_result(None, trial, {"step": 10, "fd": fd}) == TrialScheduler.PAUSE
        )
    lower, upper = scheduler._quantiles()
    assert [trial.config["trial"] for trial in lower] == [6, 3]
    assert {trial.config["trial"] for trial in upper} == {1, 5}


def add(scheduler: Population, trial: Trial) -> None:
    cache = SimpleNamespace(increase_max=lambda request: None)
    scheduler.on_trial_add(
        SimpleNamespace(_tune_controller=SimpleNamespace(_actor_cache=cache)), trial
    )


def test_a_resumed_population_meets_at_the_first_rung_that_lies_before_all_of_it(
    options: GANOptions, task: Task
) -> None:
    run = RunDirectory.create(options.run_path())
    for number, (step, ended) in enumerate([(20, None), (30, None), (90, "budget")]):
        run.trial(number).write(TrialRecord(number, {"trial": number}, ended=ended))
        run.trial(number).append({"step": step, "fd": 1.0})
    scheduler = Population(options, task, run)
    trial = Trial("stub", config={"trial": 0}, stub=True)
    add(scheduler, trial)
    decisions = [
        scheduler.on_trial_result(None, trial, {"step": step, "fd": 1.0}) for step in (30, 39, 40)
    ]
    assert decisions == [TrialScheduler.CONTINUE, TrialScheduler.CONTINUE, TrialScheduler.PAUSE]
