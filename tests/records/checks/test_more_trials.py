from pathlib import Path

from records.checks.more_trials import would_more_trials_help
from records.objective import Goal, Objective
from search_spaces.lstm import SPACES
from tests.records.checks.conftest import MadeRun

SETTINGS = {"lr": 0.01, "max_norm": 0.1}


def test_a_young_best_is_a_tip_to_go_on(lstm: MadeRun) -> None:
    for number, figure in enumerate([0.5, 0.6, 0.55, 0.7, 0.65, 0.6, 0.75, 0.8, 0.7]):
        lstm.trial(number, SETTINGS, figure)
    check = would_more_trials_help(lstm.opened)
    assert (check.code, check.status) == ("MORE01", "tip")
    # 3 start-up trials, so 6 chosen by the sampler; 4 more trials: 4 / 10, and the interval is
    # 1 - 0.975^(4/6) to 1 - 0.025^(4/6).
    assert check.sentence == (
        "The best is trial 7, 1 trial ago (mean_accuracy 0.8, 0.05 better than the best before it)."
        " 4 more trials like the 6 chosen by TPE beat it with a chance of 40% (95% interval 2% to"
        " 91%)."
    )
    assert check.do == "python tune_lstm.py --resume --name made --num-samples 13"


def test_an_old_best_passes_and_one_that_the_sampler_never_reached_is_a_bound(
    lstm: MadeRun,
) -> None:
    lstm.trial(0, SETTINGS, 0.9, baseline="hand-tuned")
    for number in range(1, 13):
        lstm.trial(
            number, SETTINGS, 0.5 + number / 100, ended="budget" if number % 2 else "stopped early"
        )
    check = would_more_trials_help(lstm.opened)
    assert check.status == "passed"
    assert check.sentence == (
        "The best is trial 0, 12 trials ago (mean_accuracy 0.9). 6 more trials like the 10 chosen"
        " by TPE beat it with a chance of at most 38% (95% interval 2% to 89%)."
    )


def test_random_draws_are_all_alike_but_for_the_baselines(tmp_path: Path) -> None:
    objective, goal = Objective("mean_accuracy", "max"), Goal("test_accuracy", "least", 0.99)
    command, space = "python tune_lstm.py --sampler random", SPACES["lstm", "core"]
    options = {"sampler": "random", "storage_path": "/data/runs"}
    made = MadeRun(tmp_path / "a run", space, objective, goal, command, **options)
    made.trial(0, SETTINGS, 0.1, baseline="hand-tuned")
    for number in range(1, 5):
        made.trial(number, SETTINGS, 0.9 - number / 10)
    check = would_more_trials_help(made.opened)
    assert "2 more trials like the 4 drawn at random beat it with a chance of 33%" in check.sentence
    where = "--name 'a run' --storage-path /data/runs"
    assert check.do == f"python tune_lstm.py --resume {where} --num-samples 7"


def test_a_smaller_figure_is_the_better_one_where_it_is_minimized(gan: MadeRun) -> None:
    for number, figure in enumerate([30.0, 20.0, 25.0, 15.0, 40.0, 12.5, 50.0, 60.0, 70.0]):
        gan.trial(number, {}, figure)
    sentence = would_more_trials_help(gan.opened).sentence
    assert sentence.startswith(
        "The best is trial 5, 3 trials ago (fd 12.5, 2.5 better than the best before it)."
    )


def test_an_unfinished_search_is_only_resumed(lstm: MadeRun) -> None:
    lstm.describe(options={"num_samples": 50})
    for number, figure in enumerate([0.5, 0.6, 0.7, 0.8, 0.9]):
        lstm.trial(number, SETTINGS, figure)
    check = would_more_trials_help(lstm.opened)
    assert "45 more trials like the 2 chosen by TPE" in check.sentence
    assert check.do == "python tune_lstm.py --resume --name made"
    lstm.describe(options={"num_samples": 5})
    do = would_more_trials_help(lstm.opened).do
    assert do == "python tune_lstm.py --resume --name made --num-samples 7"


def test_trials_that_never_reported_the_objective_are_counted_as_what_they_are(
    lstm: MadeRun,
) -> None:
    for number in range(12):
        lstm.trial(number, SETTINGS, None)
    check = would_more_trials_help(lstm.opened)
    assert check.sentence == (
        "There is no winner: 12 trials completed the training, but none reported a finite"
        " mean_accuracy."
    )


def test_without_a_best_or_trials_alike_there_is_no_answer(lstm: MadeRun) -> None:
    lstm.trial(0, SETTINGS, 0.2, ended="stopped early")
    check = would_more_trials_help(lstm.opened)
    assert (check.status, check.sentence) == (
        "not applicable",
        "There is no winner: 0 trials completed the training.",
    )
    lstm.trial(1, SETTINGS, 0.2)
    check = would_more_trials_help(lstm.opened)
    assert (check.status, check.sentence) == (
        "not applicable",
        "Too few trials to extrapolate from: 0 of 2 were chosen by TPE.",
    )
