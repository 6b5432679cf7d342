"""The race of the finalists on fresh seeds: who takes part, who is dropped, and who is the best."""

from typing import Any

import numpy as np
import pytest

from records.objective import Objective
from records.run_directory import RunDirectory
from records.trial_directory import TrialRecord
from tune_lstm import LSTMOptions
from tuning.engine.queue_searcher import QueueSearcher
from tuning.engine.room import Room
from tuning.finalists import (
    Finalist,
    best_of,
    finalists,
    race_queue,
    racing,
    ranked,
    seeds_queue,
    stages,
)
from tuning.seeds import confirmation_seeds
from tuning.task import Task


def add(
    run: RunDirectory, number: int, ended: str | None, row: dict[str, Any], **config: Any
) -> None:
    trial = run.trial(number)
    trial.write(
        TrialRecord(number, {"seed": number, "trial": number, "lr": 0.1, **config}, ended=ended)
    )
    trial.append({"step": 100, **row})


@pytest.fixture
def searched(directory: RunDirectory) -> RunDirectory:
    add(directory, 0, "converged", {"mean_accuracy": 0.5}, baseline="hand-tuned, defaults")
    add(directory, 1, "converged", {"mean_accuracy": 0.6}, baseline="hand-tuned, T=20")
    add(directory, 2, "converged", {"mean_accuracy": 0.8})
    add(directory, 3, "stopped early", {"mean_accuracy": 0.95})
    add(directory, 4, "converged", {"mean_accuracy": 0.9})
    add(directory, 5, "budget", {"mean_accuracy": 0.7})
    add(directory, 6, "diverged", {"mean_accuracy": 0.99})
    return directory


def field_of(run: RunDirectory, task: Task, options: LSTMOptions, count: int = 3) -> list[Finalist]:
    return finalists(ranked(run, options, task), count)


def numbers(field: list[Finalist]) -> list[int]:
    return [one.number for one in field]


class TestTheField:
    def test_the_best_that_ended_by_themselves_and_the_best_baseline(
        self, searched: RunDirectory, task: Task, options: LSTMOptions
    ) -> None:
        assert numbers(field_of(searched, task, options)) == [4, 2, 5, 1]
        assert numbers(field_of(searched, task, options, 1)) == [4, 1]

    def test_a_baseline_that_is_better_than_all_others_comes_first_and_takes_no_ones_place(
        self, searched: RunDirectory, task: Task, options: LSTMOptions
    ) -> None:
        add(searched, 7, "converged", {"mean_accuracy": 0.97}, baseline="textbook")
        assert numbers(field_of(searched, task, options)) == [7, 4, 2, 5]
        assert numbers(field_of(searched, task, options, 9)) == [7, 4, 2, 5]

    def test_where_nothing_ended_by_itself_the_best_of_the_rest(
        self, directory: RunDirectory, task: Task, options: LSTMOptions
    ) -> None:
        add(directory, 0, "stopped early", {"mean_accuracy": 0.3}, baseline="hand-tuned")
        add(directory, 1, "time budget", {"mean_accuracy": 0.4})
        add(directory, 2, "diverged", {"mean_accuracy": 0.9})
        assert numbers(field_of(directory, task, options, 1)) == [1, 0]

    def test_without_baselines_there_is_nothing_to_compare_with(
        self, directory: RunDirectory, task: Task, options: LSTMOptions
    ) -> None:
        add(directory, 0, "budget", {"mean_accuracy": 0.3})
        assert numbers(field_of(directory, task, options)) == [0]
        assert field_of(RunDirectory(directory.path / "empty"), task, options) == []

    def test_of_a_trial_that_took_over_anothers_weights_the_whole_schedule_is_trained(
        self, directory: RunDirectory, task: Task, options: LSTMOptions
    ) -> None:
        add(directory, 0, "budget", {"mean_accuracy": 0.5}, lr=0.1, baseline="hand-tuned")
        add(directory, 1, "budget", {"mean_accuracy": 0.9}, lr=0.7)
        donors = directory.trial(0).path / "checkpoint_000000"
        donors.mkdir()
        (donors / "state.pt").write_bytes(b"")
        directory.trial(1).take_over(donors, 40, 0, {"lr": 0.12})
        best = field_of(directory, task, options)[0]
        assert (best.number, best.seed, best.lineage) == (1, 1, [0, 1])
        assert best.config == {"lr": 0.1, "schedule": [[40, {"lr": 0.12}]]}
        configs = seeds_queue([best], [7, 8], directory.confirmation(), task)
        assert all(
            config["schedule"] == [[40, {"lr": 0.12}]] and config["lr"] == 0.1 for config in configs
        )


def test_the_race_has_a_stage_of_three_seeds_and_then_of_two() -> None:
    assert [stages(count) for count in (0, 1, 3, 5, 8)] == [[], [1], [3], [3, 5], [3, 5, 7, 8]]


class TestTheQueue:
    def results(
        self, run: RunDirectory, queue: list[dict[str, Any]], values: dict[int, float]
    ) -> None:
        """Every training of the queue ends, with its finalist's value plus a little of its seed."""
        for config in queue:
            value = values[config["confirms"]] + config["seed"] % 10 / 1000
            add(run.confirmation(), config["trial"], "budget", {"mean_accuracy": value}, **config)

    def test_every_finalist_has_the_same_seeds_and_one_that_is_worse_no_more(
        self, searched: RunDirectory, task: Task, options: LSTMOptions
    ) -> None:
        values = {4: 0.9, 2: 0.4, 5: 0.8995, 1: 0.2}
        field, run = field_of(searched, task, options), searched.confirmation()
        first = race_queue(field, run, options, task)
        seeds = confirmation_seeds(options.seed, 5)
        assert {(one["confirms"], one["seed"]) for one in first} == {
            (number, seed) for number in values for seed in seeds[:3]
        }
        self.results(searched, first, values)
        second = race_queue(field_of(searched, task, options), run, options, task)
        assert {(one["confirms"], one["seed"]) for one in second} == {
            (number, seed) for number in (4, 1) for seed in seeds[3:]
        }
        self.results(searched, second, values)
        field = field_of(searched, task, options)
        assert race_queue(field, run, options, task) == []
        best = best_of(field, task.objective, task.goal, 5)
        assert best.number == 4
        assert {one.number: len(one.confirmations) for one in field} == {4: 5, 2: 3, 5: 3, 1: 5}

    def test_if_every_trial_failed_there_is_no_race(
        self, directory: RunDirectory, task: Task, options: LSTMOptions
    ) -> None:
        add(directory, 0, "error", {"mean_accuracy": 0.9})
        field = field_of(directory, task, options)
        assert race_queue(field, directory.confirmation(), options, task) == []

    def test_a_training_that_was_cut_off_goes_on_and_none_is_handed_out_twice(
        self, searched: RunDirectory, task: Task, options: LSTMOptions
    ) -> None:
        run = searched.confirmation()
        configs = race_queue(field_of(searched, task, options), run, options, task)
        searcher = QueueSearcher(configs, run, Room(100))
        suggested = [searcher.suggest(str(place)) for place in range(len(configs) + 1)]
        assert suggested == [*configs, None]  # not finished: one of them may still be lost
        for place in range(len(configs)):
            searcher.on_trial_complete(str(place), {})
        assert searcher.suggest("none left") == "FINISHED"
        add(run, 0, "converged", {"mean_accuracy": 0.999}, **configs[0])
        left = race_queue(field_of(searched, task, options), run, options, task)
        assert [config["trial"] for config in left] == [one["trial"] for one in configs[1:]]
        assert all(config["restore_from"] == [] for config in left)


def trained(number: int, values: list[float | None], **config: Any) -> Finalist:
    """A finalist with these values on fresh seeds; None: the training failed."""
    rows = [
        {} if value is None else {"mean_accuracy": value, "test_accuracy": value}
        for value in values
    ]
    return Finalist(number, "budget", config, 0, {}, confirmations=dict(enumerate(rows)))


OBJECTIVE = Objective("mean_accuracy", "max")


class TestTheRace:
    def left(self, *field: Finalist) -> list[int]:
        return numbers(racing(field, OBJECTIVE, range(len(field[0].confirmations))))

    def test_one_that_is_worse_on_every_seed_alike_is_dropped(self) -> None:
        assert self.left(trained(0, [0.9, 0.8, 0.7]), trained(1, [0.5, 0.41, 0.3])) == [0]
        assert self.left(trained(0, [0.9, 0.8, 0.7]), trained(1, [0.8, 0.7, 0.6])) == [0]

    def test_one_that_is_sometimes_better_stays(self) -> None:
        assert self.left(trained(0, [0.9, 0.8, 0.7]), trained(1, [0.5, 0.85, 0.7])) == [0, 1]
        assert self.left(trained(0, [0.9, 0.9, 0.9]), trained(1, [0.9, 0.9, 0.9])) == [0, 1]

    def test_the_best_baseline_stays_and_the_others_do_not(self) -> None:
        field = [
            trained(0, [0.9, 0.8, 0.7]),
            trained(1, [0.5, 0.41, 0.3], baseline="one"),
            trained(2, [0.5, 0.41, 0.3], baseline="two"),
        ]
        assert self.left(*field) == [0, 1]

    def test_one_failure_is_bad_luck_and_two_are_not(self) -> None:
        leader = trained(0, [0.9, 0.8, 0.7])
        assert self.left(leader, trained(1, [None, 0.8, 0.7])) == [0, 1]
        assert self.left(leader, trained(1, [None, None, 0.7])) == [0]

    def test_one_that_is_as_good_is_rarely_dropped(self) -> None:
        """Of two alike, the one that seems worse after three seeds, in at most 2 times 5%."""
        draws = np.random.default_rng(0).normal(size=(2000, 2, 3))
        dropped = sum(
            len(self.left(trained(0, list(one)), trained(1, list(other)))) < 2
            for one, other in draws
        )
        assert 0.08 < dropped / len(draws) < 0.12


class TestTheBest:
    def best(self, task: Task, *field: Finalist) -> int:
        return best_of(field, OBJECTIVE, task.goal, 3).number

    def test_reaches_the_goal_most_often_before_it_has_the_best_mean(self, task: Task) -> None:
        often, good = trained(1, [0.99, 0.99, 0.99]), trained(0, [1.0, 1.0, 0.989])
        assert self.best(task, good, often) == 1
        assert self.best(task, trained(0, [0.3, 0.4, 0.5]), trained(1, [0.5, 0.5, 0.5])) == 1

    def test_was_trained_on_every_seed(self, task: Task) -> None:
        assert self.best(task, trained(0, [1.0, 1.0]), trained(1, [0.5, 0.5, 0.5])) == 1
        assert self.best(task, trained(0, [1.0, 1.0]), trained(1, [0.5])) == 0

    def test_may_be_a_baseline(self, task: Task) -> None:
        baseline = trained(2, [0.9, 0.9, 0.9], baseline="hand-tuned")
        assert self.best(task, trained(0, [0.8, 0.8, 0.8]), baseline) == 2

    def test_holds_only_where_every_seed_reaches_the_goal(self, task: Task) -> None:
        one = trained(0, [0.999, 0.999, 0.999])
        assert one.holds(task.goal, 3)
        assert not one.holds(task.goal, 4)
        assert not trained(0, [0.999, 0.9899, 0.999]).holds(task.goal, 3)
        assert not trained(0, [0.999, None, 0.999]).holds(task.goal, 3)
