from typing import Any

import pytest

from records.run_directory import RunDirectory
from records.trial_directory import TrialRecord
from tune_lstm import LSTMOptions
from tuning.confirmation import candidates, confirmation_queue
from tuning.engine.queue_searcher import QueueSearcher
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
    add(directory, 0, "converged", {"mean_accuracy": 0.8, "test_accuracy": 0.999})
    add(directory, 1, "stopped early", {"mean_accuracy": 0.95})
    add(directory, 2, "converged", {"mean_accuracy": 0.9, "test_accuracy": 0.999})
    add(directory, 3, "budget", {"mean_accuracy": 0.7, "test_accuracy": 0.5})
    add(directory, 4, "diverged", {"mean_accuracy": 0.99})
    return directory


def test_ranks_what_ended_by_itself_and_skips_runners_up_that_missed_the_goal(
    searched: RunDirectory, task: Task
) -> None:
    assert [candidate.number for candidate in candidates(searched, task)] == [2, 0]


def test_where_nothing_ended_by_itself_the_best_of_the_rest_is_confirmed(
    directory: RunDirectory, task: Task
) -> None:
    add(directory, 0, "stopped early", {"mean_accuracy": 0.3})
    add(directory, 1, "time budget", {"mean_accuracy": 0.4})
    add(directory, 2, "diverged", {"mean_accuracy": 0.9})
    assert [candidate.number for candidate in candidates(directory, task)] == [1]


def test_fresh_seeds_are_handed_out_once_and_go_on_after_a_cut(
    searched: RunDirectory, task: Task, options: LSTMOptions
) -> None:
    candidate = candidates(searched, task)[0]
    run = searched.confirmation()
    configs = confirmation_queue(candidate, run, options, task)
    assert [config["seed"] for config in configs] == [2_900_000 + place for place in range(5)]
    searcher = QueueSearcher(configs, run)
    suggested = [searcher.suggest(str(place)) for place in range(6)]
    assert suggested == [*configs, None]  # not finished: one of them may still be lost
    for place in range(5):
        searcher.on_trial_complete(str(place), {})
    assert searcher.suggest("none left") == "FINISHED"
    add(run, 0, "converged", {"test_accuracy": 0.999}, **{**configs[0]})

    left = confirmation_queue(candidate, run, options, task)
    assert [config["seed"] for config in left] == [2_900_001 + place for place in range(4)]


def test_holds_only_where_every_seed_reaches_the_goal(
    searched: RunDirectory, task: Task, options: LSTMOptions
) -> None:
    candidate = candidates(searched, task)[0]
    candidate.confirmations = {seed: {"test_accuracy": 0.999} for seed in range(5)}
    assert candidate.holds(task.goal, 5)
    assert not candidate.holds(task.goal, 6)
    candidate.confirmations[3] = {"test_accuracy": 0.9899}
    assert not candidate.holds(task.goal, 5)
    candidate.confirmations[3] = {}  # its trial broke
    assert not candidate.holds(task.goal, 5)


def test_what_is_confirmed_of_a_trial_that_took_over_anothers_weights_is_its_whole_schedule(
    directory: RunDirectory, task: Task, options: LSTMOptions
) -> None:
    add(directory, 0, "budget", {"mean_accuracy": 0.5}, lr=0.1, baseline="hand-tuned")
    add(directory, 1, "budget", {"mean_accuracy": 0.9}, lr=0.7)
    donors = directory.trial(0).path / "checkpoint_000000"
    donors.mkdir()
    (donors / "state.pt").write_bytes(b"")
    directory.trial(1).take_over(donors, 40, 0, {"lr": 0.12})
    (candidate,) = candidates(directory, task)
    assert (candidate.number, candidate.seed, candidate.lineage) == (1, 1, [0, 1])
    assert candidate.config == {"lr": 0.1, "schedule": [[40, {"lr": 0.12}]]}
    configs = confirmation_queue(candidate, directory.confirmation(), options, task)
    assert all(
        config["schedule"] == [[40, {"lr": 0.12}]] and config["lr"] == 0.1 for config in configs
    )
