import dataclasses
import re
from collections import Counter
from dataclasses import asdict, replace

from records.checks import CHECKS, run_checks
from records.objective import Objective
from records.run import Run
from records.run_directory import RunDirectory
from records.trial_directory import TrialRecord
from search_spaces.lstm import SPACES
from tune_lstm import LSTMOptions
from tuning.engine.cluster import Cluster
from tuning.finalists import Finalist, ranked
from tuning.one_training import one_training, read_settings
from tuning.task import Task
from tuning.verdict import plan, remarks, verdict


def finalist(number: int, lowest: float, **config: float) -> Finalist:
    settings = {"lr": 0.01, "max_norm": 0.1, **config}
    row = {"step": 900, "accuracy": 1.0, "mean_accuracy": 0.95, "test_accuracy": 1.0}
    seeds = {seed: {"test_accuracy": 1.0, "steps_to_converge": 500 + seed} for seed in range(5)}
    seeds[3] = {"test_accuracy": lowest, "steps_to_converge": 900}
    return Finalist(number, "converged", settings, 0, row, confirmations=seeds)


def test_names_the_best_and_every_other_finalist(
    options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    best, other, dropped = (finalist(9, 0.9912), finalist(4, 0.95), finalist(3, 0.995))
    dropped.confirmations = {seed: {"test_accuracy": 0.4} for seed in range(3)}
    other.config["baseline"] = "hand-tuned, T=20"
    lines = verdict(options, task, directory, best, [other, best, dropped]).splitlines()
    assert lines[1].startswith("best       trial 9: lr=0.01 max_norm=0.1")
    assert lines[3] == (
        "confirmed  5 of 5 fresh seeds reach test_accuracy 0.99 · lowest 0.9912, mean 0.9982"
        " · converged at step 500 to 900, median 502"
    )
    assert lines[4] == (
        "finalist   trial 4 (hand-tuned, T=20): lr=0.01 max_norm=0.1 · 4 of 5 fresh seeds reach"
        " test_accuracy 0.99 · lowest 0.9500, mean 0.9900 · converged at step 500 to"
        " 900, median 502"
    )
    assert lines[5] == (
        "finalist   trial 3: lr=0.01 max_norm=0.1 · 0 of 3 fresh seeds reach test_accuracy 0.99,"
        " then dropped (2 left) · lowest 0.4000, mean 0.4000"
    )
    assert not any(line.startswith("caution") for line in lines)


def test_says_so_where_the_best_do_not_hold(
    options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    best = finalist(4, 0.95)
    text = verdict(options, task, directory, best, [best])
    assert "caution    they do not reach test_accuracy 0.99 on every fresh seed" in text


def test_says_so_where_the_best_have_learned_nothing(
    options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    best = finalist(4, 0.1)
    best.confirmations = {seed: {"test_accuracy": 0.1 + seed / 1000} for seed in range(5)}
    guessing = dataclasses.replace(task, goal=dataclasses.replace(task.goal, chance=0.1))
    text = verdict(options, guessing, directory, best, [best])
    assert "caution    they have learned nothing: test_accuracy 0.1 is a guess" in text
    assert "on every fresh seed" not in text


def test_says_whether_the_best_are_better_than_the_best_baseline(
    options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    """The first line of the answer is what records.versus_baseline computes; see its test."""
    metric = {"objectives": [asdict(task.objective)], "goal": asdict(task.goal)}
    directory.describe({**metric, "space": {}, "options": {}})
    own = {"lr": 0.01, "max_norm": 0.1}
    for number, value in ((0, 0.8), (1, 0.81)):
        config = {**own, "seed": number, **({} if number else {"baseline": "hand-tuned"})}
        directory.trial(number).write(TrialRecord(number, config, ended="budget"))
        directory.trial(number).append({"step": 900, "mean_accuracy": value})
        for seed in range(5):
            trial = directory.confirmation().trial(5 * number + seed)
            fresh = {**config, "seed": seed, "confirms": number}
            trial.write(TrialRecord(5 * number + seed, fresh, ended="budget"))
            noise = (seed * 3 + number) % 5 / 20
            trial.append({"step": 900, "mean_accuracy": value + noise})
    field = ranked(directory, options, task)
    lines = verdict(options, task, directory, field[0], field).splitlines()
    place = next(place for place, line in enumerate(lines) if line.startswith("better "))
    assert lines[place].startswith(
        "better     not shown; mean_accuracy is 0.01 higher than with “hand-tuned” on average over"
    )
    assert re.fullmatch(
        r" {11}--resume --confirm \d+ would show so large a difference", lines[place + 1]
    )


def test_a_trial_on_the_front_that_never_converged_has_a_dash_for_its_steps(
    options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    steps = Objective("steps_to_converge", "min", default=1000)
    task = replace(task, objectives=(Objective("accuracy", "max"), steps))
    for number, (accuracy, converged) in enumerate(((0.9, None), (0.8, 500))):
        config = {"lr": 0.01, "max_norm": 0.1, "trial": number, "seed": number}
        directory.trial(number).write(TrialRecord(number, config, ended="budget"))
        row = {"step": 1000, "accuracy": accuracy, "steps_to_converge": converged}
        directory.trial(number).append(row)
    lines = verdict(options, task, directory, finalist(0, 0.995), []).splitlines()
    assert [line for line in lines if line.startswith("front ")] == [
        "front      trial 0: accuracy 0.9000 · steps_to_converge —",
        "front      trial 1: accuracy 0.8000 · steps_to_converge 500.0",
    ]


def test_issues_and_tips_are_said_in_a_line_each_and_the_rest_is_not(
    options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    space = {
        name: {"distribution": str(p.distribution), "reason": p.reason, "only_if": None}
        for name, p in task.space.parameters.items()
    }
    directory.start_session(options.experiment, asdict(options))
    directory.describe(
        {
            "space": space,
            "objectives": [asdict(task.objective)],
            "goal": asdict(task.goal),
            "rungs": [],
        }
    )
    for number in range(40):
        settings = {"lr": 0.01, "max_norm": 9.9 if number < 8 else 0.1}
        directory.trial(number).write(TrialRecord(number, settings, ended="budget"))
        directory.trial(number).append(
            {"step": 900, "accuracy": 1.0, "mean_accuracy": 0.9 - number / 100}
        )
    lines = verdict(options, task, directory, finalist(1, 0.95), []).splitlines()
    (edge,) = (line for line in lines if line.startswith("EDGE02 "))
    assert edge.startswith(
        "EDGE02     More of the best trials lie at an end than of the others: 8 of the best 10 and"
        " 0 of the other 30 at the upper end of max_norm"
    )
    assert " Try: python " in edge
    said = {
        check.code for check in run_checks(Run(directory.path)) if check.status in ("issue", "tip")
    }
    assert {line.split()[0] for line in lines if line.split()[0] in CHECKS} == said
    assert len(said) < len(CHECKS)
    assert lines[-1].startswith("next ")


def test_a_run_that_nothing_is_known_of_has_no_remarks(directory: RunDirectory) -> None:
    assert remarks(directory) == []


def test_the_plan_of_one_training_says_neither_sampler_nor_rungs(
    task: Task, directory: RunDirectory
) -> None:
    options = LSTMOptions(train=("lr=0.01", "max_norm=0.1"), seed=3)
    single = one_training(task, read_settings(options.train), LSTMOptions)
    cluster = Cluster(1, {"CPU": 1}, {"CPU": 1}, None, "this machine", ("one", "two"))
    lines = plan(options, single, cluster, directory, Counter()).splitlines()
    assert lines[0] == "1 training · seed 3 · on this machine"
    assert "lr=0.01 max_norm=0.1" in lines[1]
    assert lines[-2:] == ["note       one", "note       two"]


def test_the_plan_says_what_the_user_set_and_which_known_settings_that_excludes(
    task: Task, directory: RunDirectory
) -> None:
    options = LSTMOptions(set=("lr=1e-3..1e-2", "max_norm=0.1"))
    space = options.searched(SPACES["lstm", "core"])
    cluster = Cluster(2, {"CPU": 1}, {"CPU": 2}, None, "this machine")
    lines = plan(options, replace(task, space=space), cluster, directory, Counter()).splitlines()
    assert "varied     lr 0.001 to 0.01 (log)" in lines
    assert any(line.startswith("fixed ") and "max_norm=0.1" in line for line in lines)
    assert (
        "note       baselines not tried, since --set or --space-file excludes them:"
        " hand-tuned, defaults · hand-tuned, T=20"
    ) in lines


def test_a_schedule_is_said_step_by_step_with_where_the_weights_came_from(
    options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    one = finalist(4, 0.9912)
    one.config["schedule"] = [[100, {"lr": 0.02}], [1200, {"lr": 0.025, "max_norm": 0.2}]]
    one.lineage = [2, 0, 4]
    lines = verdict(options, task, directory, one, [one]).splitlines()
    assert lines[1] == "best       trial 4: lr=0.01 max_norm=0.1"
    assert lines[2:5] == [
        "schedule   at step 100: lr=0.02",
        "schedule   at step 1,200: lr=0.025 max_norm=0.2",
        "lineage    its weights came through trials 2 > 0 > 4; each confirmation trains the whole"
        " schedule from the start",
    ]
