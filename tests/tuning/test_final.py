import dataclasses
from typing import Any

import pytest

from records.objective import Goal, Objective
from records.run_directory import RunDirectory
from records.trial_directory import TrialRecord
from tests.support.checkpoints import write_checkpoint
from tuning.final import final_queue, final_training
from tuning.finalists import Finalist, unbeaten
from tuning.task import Task


def checkpoint(run: RunDirectory, number: int, candidate: Finalist | None = None) -> str:
    """A checkpoint of the run's trial. Its record is made from the candidate or already there."""
    trial = run.trial(number)
    if candidate:
        config = {**candidate.config, "seed": candidate.seed, "trial": number}
        trial.write(TrialRecord(number, config, ended="budget"))
    record = trial.read()
    assert record is not None
    return str(write_checkpoint(trial.path / "checkpoint_000000", record.config, 1000))


@pytest.fixture
def candidate() -> Finalist:
    return Finalist(7, "budget", {"lr": 0.1, "max_steps": 1000}, 2_000_007, {"step": 1000})


class TestFinalTraining:
    @pytest.fixture
    def task(self, task: Task) -> Task:
        return dataclasses.replace(task, final_steps=500, confirming={"judge": "final"})

    def test_goes_on_from_the_winners_weights_with_its_seed(
        self, candidate: Finalist, task: Task, directory: RunDirectory
    ) -> None:
        trained = checkpoint(directory, 7, candidate)
        (config,) = final_queue(candidate, directory, task)
        assert config == {
            "lr": 0.1,
            "judge": "final",
            "seed": 2_000_007,
            "max_steps": 1500,
            "decay_from": 1000,
            "trial": 7,
            "restore_from": [trained],
        }

    @pytest.mark.parametrize("ended", [None, "error"])
    def test_cut_off_or_broken_goes_on_from_its_own_checkpoint_first(
        self, ended: str | None, candidate: Finalist, task: Task, directory: RunDirectory
    ) -> None:
        trained = checkpoint(directory, 7, candidate)
        (config,) = final_queue(candidate, directory, task)
        directory.final().trial(7).write(TrialRecord(7, config, ended=ended))
        own = checkpoint(directory.final(), 7)
        (config,) = final_queue(candidate, directory, task)
        assert config["restore_from"] == [own, trained]
        assert final_training(candidate, directory) is None

    def finish(self, candidate: Finalist, task: Task, directory: RunDirectory) -> str:
        checkpoint(directory, candidate.number, candidate)
        (config,) = final_queue(candidate, directory, task)
        done = directory.final().trial(candidate.number)
        done.write(TrialRecord(candidate.number, config, ended="budget"))
        done.append({"step": 1500})
        return checkpoint(directory.final(), candidate.number)

    def test_done_is_not_done_again_and_is_what_counts(
        self, candidate: Finalist, task: Task, directory: RunDirectory
    ) -> None:
        self.finish(candidate, task, directory)
        assert final_queue(candidate, directory, task) == []
        found = final_training(candidate, directory)
        assert found is not None
        assert found.rows() == [{"step": 1500}]

    def test_goes_on_where_more_steps_are_asked_for_and_is_never_cut_short(
        self, candidate: Finalist, task: Task, directory: RunDirectory
    ) -> None:
        own = self.finish(candidate, task, directory)
        assert final_queue(candidate, directory, dataclasses.replace(task, final_steps=100)) == []
        (config,) = final_queue(candidate, directory, dataclasses.replace(task, final_steps=900))
        assert (config["decay_from"], config["max_steps"]) == (1000, 1900)
        assert config["restore_from"][0] == own

    def test_another_winner_has_its_own(
        self, candidate: Finalist, task: Task, directory: RunDirectory
    ) -> None:
        self.finish(candidate, task, directory)
        other = Finalist(3, "budget", {"lr": 0.2, "max_steps": 1000}, 2_000_003, {"step": 1000})
        assert final_training(other, directory) is None
        trained = checkpoint(directory, 3, other)
        (config,) = final_queue(other, directory, task)
        assert config["restore_from"] == [trained]
        assert final_training(candidate, directory) is not None

    def test_a_winner_without_weights_is_left_as_it_is(
        self, candidate: Finalist, task: Task, directory: RunDirectory
    ) -> None:
        assert final_queue(candidate, directory, task) == []
        assert directory.final().trial(7).read() is None


@pytest.fixture
def two_objectives(task: Task) -> Task:
    return dataclasses.replace(
        task,
        objectives=(Objective("fd", "min"), Objective("clean", "max")),
        goal=Goal("fd", "most", 2.0),
    )


def test_the_front_holds_every_trial_that_no_other_beats_in_all(
    two_objectives: Task, directory: RunDirectory
) -> None:
    budget, early = "budget", "stopped early"
    ends = [
        *((30, 0.7, budget), (20, 0.6, budget), (25, 0.6, budget), (20, 0.5, budget)),
        *((40, 0.9, budget), (1, 1.0, early), (20, 0.6, budget)),
    ]
    for number, (fd, clean, ended) in enumerate(ends):
        trial = directory.trial(number)
        trial.write(TrialRecord(number, {"trial": number}, ended=ended))
        trial.append({"step": 100, "fd": fd, "clean": clean})
    assert [number for number, _ in unbeaten(directory, two_objectives)] == [1, 6, 0, 4]


@pytest.mark.parametrize(
    ("goal", "row", "reached"),
    [
        (Goal("fd", "most", 2.0), {"fd": 2.0}, True),
        (Goal("fd", "most", 2.0), {"fd": 2.1}, False),
        (Goal("accuracy", "least", 0.99), {"accuracy": 0.99}, True),
        (Goal("accuracy", "least", 0.99), {"accuracy": 0.98}, False),
        (Goal("fd", "most", 2.0), {"fd": None}, False),
        (Goal("fd", "most", 2.0), {}, False),
    ],
)
def test_a_goal_is_reached_from_its_own_side(
    goal: Goal, row: dict[str, Any], reached: bool
) -> None:
    assert goal.reached(row) is reached


def test_a_row_without_the_metric_comes_last() -> None:
    rows = [{"fd": 3.0}, {}, {"fd": 1.0}]
    assert sorted(rows, key=Objective("fd", "min").loss) == [{"fd": 1.0}, {"fd": 3.0}, {}]
    assert sorted(rows, key=Objective("fd", "max").loss) == [{"fd": 3.0}, {"fd": 1.0}, {}]
