import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from zlib import crc32

import pytest
from optuna.trial import TrialState
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from records.run_directory import RunDirectory
from records.trial_directory import TrialRecord
from tests.support.searched import open_study
from tests.tuning.conftest import tune_run
from tune_lstm import LSTMOptions
from tuning.engine.asha import audits, create_scheduler
from tuning.engine.room import Room
from tuning.engine.searcher import StudySearch
from tuning.engine.start_up import StartUp
from tuning.task import Rungs, Task


def rays_asha() -> AsyncHyperBandScheduler:
    """Ray Tune's own ASHA, with the rungs of the ``task`` fixture."""
    return AsyncHyperBandScheduler(
        time_attr="step",
        metric="mean_accuracy",
        mode="max",
        max_t=1000,
        grace_period=100,
        reduction_factor=3,
    )


def number_of(name: str) -> int:
    """A number of its own for a trial that only a test knows."""
    return crc32(name.encode())


def ask(scheduler: TrialScheduler, name: str, value: float, step: int = 100, **config: Any) -> str:
    config = {"trial": number_of(name), "seed": 0, **config}
    trial = cast(Any, SimpleNamespace(trial_id=name, config=config))
    scheduler.on_trial_add(cast(Any, None), trial)
    return str(
        scheduler.on_trial_result(cast(Any, None), trial, {"step": step, "mean_accuracy": value})
    )


def test_the_poorer_trials_stop_at_a_rung_and_baselines_never(
    options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    scheduler = create_scheduler(options, task, directory)
    decisions = [
        ask(scheduler, str(place), value) for place, value in enumerate((0.5, 0.6, 0.7, 0.8))
    ]
    assert decisions == ["CONTINUE"] * 4
    assert ask(scheduler, "poor", 0.1) == "STOP"
    assert ask(scheduler, "hand-tuned", 0.1, baseline="hand-tuned, defaults") == "CONTINUE"
    assert ask(scheduler, "early", 0.1, step=90) == "CONTINUE"


def test_rungs_survive_a_resume(options: LSTMOptions, task: Task, directory: RunDirectory) -> None:
    for number, value in enumerate((0.5, 0.6, 0.7, 0.8)):
        trial = directory.trial(number)
        trial.write(TrialRecord(number, {"trial": number, "seed": number}, ended="converged"))
        trial.append({"step": 100, "mean_accuracy": value})
    assert ask(create_scheduler(options, task, directory), "poor", 0.1) == "STOP"


def rungs(scheduler: Any) -> dict[int, list[float]]:
    """The values on every rung of its one bracket."""
    return {int(step): sorted(values.values()) for step, values in scheduler._brackets[0]._rungs}


class TestATrialThatGoesOn:
    """After a resume or a lost worker it is a new trial for Ray, with the number it had."""

    def test_keeps_its_values_on_the_rungs_it_has_passed(
        self, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        undisturbed, reports = create_scheduler(options, task, directory), range(100, 1000, 100)
        for step in reports:
            ask(undisturbed, "one", step / 1000, step=step)
        directory.trial(0).write(TrialRecord(0, {"trial": 0, "seed": 0}))
        for step in reports[:4]:
            directory.trial(0).append({"step": step, "mean_accuracy": step / 1000})
        resumed = create_scheduler(options, task, directory)
        for name, steps in (("resumed", reports[4:6]), ("lost and handed out", reports[5:])):
            for step in steps:
                ask(resumed, name, step / 1000, step=step, trial=0)
        assert rungs(resumed) == rungs(undisturbed) == {100: [0.1], 300: [0.3], 900: [0.9]}
        stock = rays_asha()
        for step in reports[4:]:
            ask(stock, "one", step / 1000, step=step)
        assert rungs(stock) == {100: [0.6], 300: [0.5], 900: [0.9]}  # late values on early rungs

    @pytest.mark.parametrize(("reports", "waits"), [(1, True), (2, False)])
    def test_waits_at_its_first_rung_unless_it_has_been_let_go_on(
        self, reports: int, waits: bool, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        directory.trial(0).write(TrialRecord(0, {"trial": 0, "seed": 0}))
        for place in range(reports):
            directory.trial(0).append({"step": 100 * (1 + place), "mean_accuracy": 0.5})
        scheduler = create_scheduler(options, task, directory, waiting(options, task, 2))
        decision = ask(scheduler, "resumed", 0.6, step=100 * (1 + reports), trial=0)
        assert decision == ("PAUSE" if waits else "CONTINUE")


def test_rungs_lie_below_the_budget_at_multiples_of_the_reduction_factor() -> None:
    assert Rungs(grace_steps=500, reduction_factor=3).steps(10_000) == [500, 1500, 4500]
    assert Rungs(grace_steps=500, reduction_factor=3).steps(500) == []


@pytest.mark.parametrize(("grace_steps", "reduction_factor"), [(0, 2), (-5, 2), (10, 1), (10, 0.5)])
def test_rungs_that_never_reach_the_budget_are_refused(
    grace_steps: int, reduction_factor: float
) -> None:
    with pytest.raises(ValueError, match="grace_steps must be at least 1"):
        Rungs(grace_steps, reduction_factor)


def test_no_rung_below_the_budget_means_no_early_stopping(
    options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    short = dataclasses.replace(task, settings={"max_steps": 50})
    assert isinstance(create_scheduler(options, short, directory), FIFOScheduler)


def test_rungs_may_lie_on_another_cost_than_steps(
    options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    by_work = dataclasses.replace(task, time_attr="work", max_t=100_000, rungs=Rungs(20_000, 3))
    for number, value in enumerate((0.5, 0.6, 0.7, 0.8)):
        directory.trial(number).write(TrialRecord(number, {"seed": number}, ended="converged"))
        directory.trial(number).append({"step": 100, "work": 20_000.0, "mean_accuracy": value})
    scheduler = create_scheduler(options, by_work, directory)
    for work, decision in ((19_999.5, "CONTINUE"), (20_000.5, "STOP")):
        trial = cast(Any, SimpleNamespace(trial_id=str(work), config={"trial": 9, "seed": 0}))
        scheduler.on_trial_add(cast(Any, None), trial)
        row = {"step": 9_000, "work": work, "mean_accuracy": 0.1}
        assert scheduler.on_trial_result(cast(Any, None), trial, row) == decision


def test_if_an_experiment_does_not_protect_them_baselines_stop_too(
    options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    scheduler = create_scheduler(
        options, dataclasses.replace(task, protect_baselines=False), directory
    )
    assert ask(scheduler, "good", 0.8) == "CONTINUE"
    assert ask(scheduler, "hand-tuned", 0.1, baseline="hand-tuned, defaults") == "STOP"


def end(scheduler: TrialScheduler, name: str, value: float, step: int) -> None:
    config = {"trial": number_of(name), "seed": 0}
    trial = cast(Any, SimpleNamespace(trial_id=name, config=config))
    scheduler.on_trial_add(cast(Any, None), trial)
    scheduler.on_trial_complete(
        cast(Any, None), trial, {"step": step, "mean_accuracy": value, "ended": "converged"}
    )


def test_one_that_converged_is_what_slower_ones_are_compared_with_where_rays_asha_forgets_it(
    options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    ours = create_scheduler(options, task, directory)
    stock = rays_asha()
    for scheduler, decision in ((ours, "STOP"), (stock, "CONTINUE")):
        end(scheduler, "fast", 0.9, step=80)
        assert ask(scheduler, "slow", 0.3) == decision


class Later(tune.Trainable):
    """Trial n has the value n / 10. Trial 5 breaks before its first rung, 4 while it is saved."""

    def setup(self, config: dict[str, Any]) -> None:
        self.number, self.at = config["trial"], 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        self.at += 50
        if self.number == 5:
            raise ValueError("bad luck")
        done = self.at >= 1000
        return {
            "step": self.at,
            "mean_accuracy": self.number / 10,
            "ended": "budget" if done else None,
            "done": done,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        if self.number == 4:
            raise OSError("disk full")
        (Path(checkpoint_dir) / "at").write_text(str(self.at))

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.at = int((Path(checkpoint) / "at").read_text())


class TestStartUp:
    """Ten trials of the start-up, each better than the one before it, through real Ray."""

    def search(
        self, options: LSTMOptions, task: Task, directory: RunDirectory, stock: bool = False
    ) -> StudySearch:
        study = open_study(dataclasses.replace(options, resume=True), task, directory)
        slots = 1 if stock else 2  # which of two trials comes first to a rung is chance
        searcher = StudySearch(options, task, directory, study, trials_done=0, room=Room(slots))
        scheduler: Any = rays_asha()
        if not stock:
            scheduler = create_scheduler(options, task, directory, searcher.start_up, searcher.room)
        tune_run(
            Later,
            directory,
            task,
            search_alg=searcher,
            scheduler=scheduler,
            max_concurrent_trials=12,
        )
        return searcher

    @pytest.mark.slow
    def test_its_trials_are_compared_before_any_goes_on_where_rays_lets_the_first_ones_through(
        self, local_ray: Callable[[int], None], options: LSTMOptions, task: Task, tmp_path: Path
    ) -> None:
        local_ray(2)
        space = dataclasses.replace(task.space, baselines={})
        task = dataclasses.replace(task, space=space)
        options = dataclasses.replace(options, num_samples=12)
        directory = RunDirectory.create(options.run_path())
        searcher = self.search(options, task, directory)
        trials = searcher.study.trials
        below, broken, above = (0, 1, 2, 3, 6), (4, 5), (7, 8)
        assert {trials[number].state for number in below} == {TrialState.PRUNED}
        assert {trials[number].last_step for number in below} == {100}
        assert {trials[number].state for number in broken} == {TrialState.FAIL}
        assert all((trials[number].last_step or 0) >= 300 for number in above)
        assert trials[9].state == TrialState.COMPLETE
        assert trials[9].last_step == 1000
        assert len(trials) == 12
        assert all(trial.state.is_finished() for trial in trials)
        other = dataclasses.replace(options, name="stock", storage_path=str(tmp_path / "stock"))
        rays = self.search(
            other, task, RunDirectory.create(other.run_path()), stock=True
        ).study.trials
        assert (rays[0].state, rays[0].last_step) == (TrialState.COMPLETE, 1000)


class Controller:
    """What a scheduler sees of Ray's controller: trials by number, with a status.

    A trial that is stopped is over at once.
    """

    def __init__(self, scheduler: TrialScheduler, numbers: range) -> None:
        self.scheduler, self.stopped = scheduler, list[int]()
        self.trials = [
            SimpleNamespace(
                trial_id=str(n), config={"trial": n, "seed": n}, status="RUNNING", last_result={}
            )
            for n in numbers
        ]
        for trial in self.trials:
            trial.is_finished = lambda trial=trial: trial.status in ("TERMINATED", "ERROR")
            scheduler.on_trial_add(cast(Any, self), cast(Any, trial))

    def get_trials(self) -> list[Any]:
        return self.trials

    def stop_trial(self, trial: Any) -> None:
        trial.status = "TERMINATED"
        self.stopped.append(trial.config["trial"])

    def report(self, number: int, value: float, step: int = 100) -> str:
        trial = self.trials[number]
        trial.last_result = {"step": step, "mean_accuracy": value}
        decision = self.scheduler.on_trial_result(
            cast(Any, self), cast(Any, trial), trial.last_result
        )
        trial.status = "PAUSED" if decision == "PAUSE" else trial.status
        return str(decision)

    def chosen(self) -> int | None:
        """The number of the trial that is started next."""
        trial: Any = self.scheduler.choose_trial_to_run(cast(Any, self))
        if trial is None:
            return None
        trial.status = "RUNNING"
        return int(trial.config["trial"])


def waiting(options: LSTMOptions, task: Task, count: int) -> StartUp:
    """A start-up of which ``count`` trials wait for one another."""
    start_up = StartUp(options, task)
    start_up.cohort = set(range(count))
    return start_up


class TestHeld:
    @pytest.fixture
    def held(self, options: LSTMOptions, task: Task, directory: RunDirectory) -> Controller:
        return Controller(
            create_scheduler(options, task, directory, waiting(options, task, 6)), range(6)
        )

    def test_the_best_third_goes_on_one_a_slot_and_the_best_first(self, held: Controller) -> None:
        for number, value in enumerate((0.3, 0.7, 0.1, 0.8, 0.2, 0.4)):
            assert held.chosen() is None
            assert held.report(number, value) == "PAUSE"
        assert held.chosen() == 3
        assert sorted(held.stopped) == [0, 2, 4, 5]
        assert held.chosen() is None
        held.trials[3].status = "TERMINATED"
        assert held.chosen() == 1

    def test_one_whose_report_passed_several_rungs_is_compared_with_all(
        self, held: Controller
    ) -> None:
        for number, value in enumerate((0.3, 0.7, 0.1, 0.8, 0.2)):
            held.report(number, value)
        held.report(5, 0.05, step=350)
        assert held.chosen() == 3
        assert 5 in held.stopped

    def test_none_waits_for_one_that_will_never_come(self, held: Controller) -> None:
        for number in range(5):
            held.report(number, number / 10)
        held.trials.pop()
        assert held.chosen() == 4

    def test_one_that_cannot_be_stopped_ends_the_search_with_its_name(
        self, held: Controller
    ) -> None:
        held.stop_trial = lambda trial: None  # type: ignore[method-assign]
        for number in range(6):
            held.report(number, number / 10)
        with pytest.raises(RuntimeError, match="trial 3 could not be stopped"):
            held.chosen()

    def test_an_audited_one_is_not_waited_for(
        self, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        directory.trial(1).write(TrialRecord(1, {"seed": 1}, audited=100))
        controller = Controller(
            create_scheduler(options, task, directory, waiting(options, task, 2)), range(2)
        )
        assert controller.report(0, 0.5) == "PAUSE"
        assert controller.report(1, 0.1) == "CONTINUE"
        assert controller.chosen() is None  # its one slot is taken
        controller.trials[1].status = "TERMINATED"
        assert controller.chosen() == 0


def test_a_trial_is_in_the_same_bracket_of_hyperband_in_every_session(
    options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    def bracket(seed: int) -> int:
        scheduler: Any = create_scheduler(
            dataclasses.replace(options, scheduler="hyperband"), task, directory
        )
        scheduler.on_trial_add(
            None, SimpleNamespace(trial_id="1", config={"trial": 1, "seed": seed})
        )
        return int(scheduler._brackets.index(scheduler._trial_info["1"]))

    drawn = [bracket(seed) for seed in range(40)]
    assert drawn == [bracket(seed) for seed in range(40)]
    assert len(set(drawn)) > 1


class TestAudit:
    @pytest.fixture
    def audited(self, options: LSTMOptions) -> LSTMOptions:
        return dataclasses.replace(options, audit=1.0)

    def test_what_would_be_stopped_runs_on_and_its_record_says_where(
        self, audited: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        directory.trial(7).write(TrialRecord(7, {"seed": 7}))
        scheduler = create_scheduler(audited, task, directory)
        assert ask(scheduler, "good", 0.8) == "CONTINUE"
        assert ask(scheduler, "poor", 0.1, trial=7) == "CONTINUE"
        record = directory.trial(7).read()
        assert record is not None
        assert record.audited == 100

    def test_it_then_stands_on_no_rung(
        self, audited: LSTMOptions, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        scheduler = create_scheduler(audited, task, directory)
        ask(scheduler, "good", 0.8)
        ask(scheduler, "poor", 0.1, trial=7)
        trial = cast(Any, SimpleNamespace(trial_id="poor", config={"trial": 7, "seed": 0}))
        row = {"step": 300, "mean_accuracy": 0.95}
        assert scheduler.on_trial_result(cast(Any, None), trial, row) == "CONTINUE"
        scheduler.on_trial_complete(cast(Any, None), trial, {**row, "ended": "converged"})
        rungs = cast(Any, scheduler)._brackets[0]._rungs
        assert [sorted(recorded) for _, recorded in rungs] == [[], [], ["good", "poor"]]

    def test_a_resumed_search_still_lets_it_run(
        self, options: LSTMOptions, task: Task, directory: RunDirectory
    ) -> None:
        directory.trial(7).write(TrialRecord(7, {"seed": 7}, audited=100))
        scheduler = create_scheduler(options, task, directory)
        ask(scheduler, "good", 0.8)
        assert ask(scheduler, "poor", 0.1, trial=7) == "CONTINUE"
        assert ask(scheduler, "other", 0.1, trial=8) == "STOP"

    def test_the_share_is_what_was_asked_for_and_the_same_at_every_start(self) -> None:
        drawn = [audits(seed, 0.1) for seed in range(5000)]
        assert sum(drawn) / 5000 == pytest.approx(0.1, abs=0.015)
        assert drawn == [audits(seed, 0.1) for seed in range(5000)]
        assert not any(audits(seed, 0.0) for seed in range(1000))
