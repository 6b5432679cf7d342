import dataclasses
import shutil
from typing import Any

from records.run_directory import RunDirectory
from records.trial_directory import TrialRecord
from search_spaces.lstm import SPACES
from tune_lstm import LSTMOptions
from tuning.ablation import ablation_queue
from tuning.finalists import Finalist
from tuning.seeds import confirmation_seeds, trial_seed
from tuning.task import Task

ROW = {"step": 40, "mean_accuracy": 0.9}


def winner(**settings: Any) -> Finalist:
    return Finalist(4, "converged", {**settings, "model": "lstm"}, 7, ROW, [])


def search(directory: RunDirectory) -> None:
    """Trials that say lr matters and max_norm does not."""
    for number in range(8):
        lr, max_norm = (0.02 if number % 2 else 0.002), (5.0 if number % 4 < 2 else 0.005)
        directory.trial(number).write(
            TrialRecord(number, {"lr": lr, "max_norm": max_norm}, ended="budget")
        )
        directory.trial(number).append({"step": 1000, "mean_accuracy": 0.9 if number % 2 else 0.1})


def test_one_change_at_a_time_from_the_hand_tuned_settings_what_matters_first(
    options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    search(directory)
    queue = ablation_queue(winner(lr=0.02, max_norm=5.0), directory, options, task)
    steps = [(one["lr"], one["max_norm"], one["changed"], one["ablation"]) for one in queue]
    seeds = [one["seed"] for one in queue]
    assert steps[::3] == [(0.005, 0.01, [], 0), (0.02, 0.01, "lr", 1), (0.02, 5.0, "max_norm", 2)]
    assert [steps[place - place % 3] for place in range(9)] == steps  # three seeds a step
    assert seeds == seeds[:3] * 3
    assert len({*seeds}) == 3
    assert not {*seeds} & {
        *confirmation_seeds(options.seed, 1000),
        *(trial_seed(options.seed, n) for n in range(1000)),
    }


def test_no_training_may_cost_more_than_five_times_the_winners(
    options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    queue = ablation_queue(winner(lr=0.02, max_norm=5.0), directory, options, task)
    assert {one["max_steps"] for one in queue} == {200}
    slow = dataclasses.replace(winner(lr=0.02, max_norm=4.0), number=5, last_row={"step": 900})
    assert {one["max_steps"] for one in ablation_queue(slow, directory, options, task)} == {1000}


def test_begun_it_is_settled_and_what_has_ended_is_not_trained_again(
    options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    first = ablation_queue(winner(lr=0.02, max_norm=5.0), directory, options, task)
    done = directory.ablation(4).trial(0)
    record = done.read()
    assert record is not None
    done.write(dataclasses.replace(record, ended="budget"))
    search(directory)  # which would order the changes otherwise
    again = ablation_queue(winner(lr=0.02, max_norm=5.0), directory, options, task)
    assert [one["lr"] for one in again] == [one["lr"] for one in first[1:]]


def test_a_path_of_which_a_kill_left_a_part_is_written_whole(
    options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    search(directory)
    whole = ablation_queue(winner(lr=0.02, max_norm=5.0), directory, options, task)
    shutil.rmtree(directory.ablation(4).trial(0).path)  # it is written last
    again = ablation_queue(winner(lr=0.02, max_norm=5.0), directory, options, task)
    assert again == whole


def test_nothing_to_do_where_the_winner_is_hand_tuned_or_nothing_is(
    options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    hand_tuned = SPACES["lstm", "core"].baselines["hand-tuned, T=20"]
    assert ablation_queue(winner(**hand_tuned), directory, options, task) == []
    unknown = dataclasses.replace(task, space=dataclasses.replace(task.space, baselines={}))
    assert ablation_queue(winner(lr=0.02, max_norm=5.0), directory, options, unknown) == []
