from pathlib import Path

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm

from records.checks.more_trials import has_the_sampler_learned, trials_needed
from records.objective import Goal, Objective
from search_spaces.lstm import SPACES
from tests.records.checks.conftest import MadeRun

SETTINGS = {"lr": 0.01, "max_norm": 0.1}
DRAWN = [0.1, 0.3, 0.2, 0.5, 0.4]


def search(run: MadeRun, chosen: list[float]) -> None:
    """Five trials drawn at random and the ``chosen``, by their metric at the first rung."""
    run.describe(startup_trials=5)
    for number, figure in enumerate([*DRAWN, *chosen]):
        if number % 2:
            run.trial(number, SETTINGS, {100: figure}, ended="stopped early")
        else:
            run.trial(number, SETTINGS, {100: figure, 300: figure / 2, 900: 0.9 - number / 100})


def test_a_sampler_that_does_better_than_random_draws_has_learned(lstm: MadeRun) -> None:
    chosen = [0.45, 0.6, 0.7, 0.55, 0.65, 0.8]
    search(lstm, chosen)
    check = has_the_sampler_learned(lstm.opened)
    assert (check.code, check.status) == ("MORE01", "passed")
    p = mannwhitneyu(chosen, DRAWN, alternative="greater").pvalue
    assert check.sentence == (  # 29 of 30 pairs
        "The best is trial 0, 10 trials ago (mean_accuracy 0.9). A trial of the 6 chosen by TPE"
        f" beats one of the 5 drawn at random in 97% of all pairs (p = {p:.2g})."
    )
    assert check.do == "python tune_lstm.py --resume --name made --num-samples 16"


def test_what_may_be_chance_says_how_many_trials_would_tell(lstm: MadeRun) -> None:
    search(lstm, [0.25, 0.45, 0.35, 0.55, 0.15])
    check = has_the_sampler_learned(lstm.opened)
    assert check.status == "inconclusive"
    assert check.sentence.endswith(
        "in 60% of all pairs (p = 0.35). Beside 5 random draws, no number of chosen trials would"
        " show it."
    )
    search(lstm, [0.25, 0.15, 0.35, 0.05, 0.15])
    sentence = has_the_sampler_learned(lstm.opened).sentence
    assert sentence.endswith("So far, it does no better than random draws.")


def test_the_number_of_trials_that_would_tell_shows_it_four_times_in_five() -> None:
    beats, drawn = 0.7, 20
    chosen = trials_needed(beats, drawn)
    assert chosen is not None
    shift = 2**0.5 * norm.ppf(beats)  # of a normal variable that beats another in 70% of all pairs
    draws = np.random.default_rng(0)
    better, others = draws.normal(shift, 1, (1000, chosen)), draws.normal(0, 1, (1000, drawn))
    shown = mannwhitneyu(better, others, alternative="greater", axis=1)
    assert np.mean(shown.pvalue < 0.05) == pytest.approx(0.8, abs=0.04)
    assert trials_needed(0.5, drawn) is None


def test_trials_that_never_got_to_the_first_rung_are_the_worst(lstm: MadeRun) -> None:
    search(lstm, [])
    for number in range(5, 12):
        lstm.trial(number, SETTINGS, None, ended="diverged")
    assert "in 0% of all pairs" in has_the_sampler_learned(lstm.opened).sentence


def test_baselines_are_neither_drawn_nor_chosen(lstm: MadeRun) -> None:
    search(lstm, [0.45, 0.6, 0.7, 0.55, 0.65])
    lstm.trial(5, SETTINGS, 0.9, baseline="hand-tuned")
    sentence = has_the_sampler_learned(lstm.opened).sentence
    assert sentence.endswith(
        " 4 trials chosen by TPE and 5 drawn at random cannot tell whether it has learned: it takes"
        " 5 of each."
    )


def test_random_draws_learn_nothing(tmp_path: Path) -> None:
    objective, goal = Objective("mean_accuracy", "max"), Goal("test_accuracy", "least", 0.99)
    command, space = "python tune_lstm.py --sampler random", SPACES["lstm", "core"]
    options = {"sampler": "random", "storage_path": "/data/runs"}
    made = MadeRun(tmp_path / "a run", space, objective, goal, command, **options)
    for number in range(4):
        made.trial(number, SETTINGS, 0.9 - number / 10)
    check = has_the_sampler_learned(made.opened)
    assert check.status == "not applicable"
    assert check.sentence.endswith("All 4 trials were drawn at random: there is nothing to learn.")
    where = "--name 'a run' --storage-path /data/runs"
    assert check.do == f"python tune_lstm.py --resume {where} --num-samples 6"


def test_a_smaller_figure_is_the_better_one_where_it_is_minimized(gan: MadeRun) -> None:
    gan.describe(startup_trials=6)
    for number, figure in enumerate([30.0, 20.0, 25.0, 15.0, 40.0, 60.0, *np.arange(1.0, 8.0)]):
        gan.trial(number, {}, float(figure))
    check = has_the_sampler_learned(gan.opened)
    assert check.status == "passed"
    assert check.sentence.startswith(
        "The best is trial 6, 6 trials ago (fd 1, 14 better than the best before it)."
    )
    assert "in 100% of all pairs" in check.sentence


def test_an_unfinished_search_is_only_resumed(lstm: MadeRun) -> None:
    lstm.describe(options={"num_samples": 50})
    for number, figure in enumerate([0.5, 0.6, 0.7, 0.8, 0.9]):
        lstm.trial(number, SETTINGS, figure)
    assert has_the_sampler_learned(lstm.opened).do == "python tune_lstm.py --resume --name made"
    lstm.describe(options={"num_samples": 5})
    do = has_the_sampler_learned(lstm.opened).do
    assert do == "python tune_lstm.py --resume --name made --num-samples 7"


@pytest.mark.parametrize("ended", ["stopped early", "budget"])
def test_without_a_best_there_is_no_answer(lstm: MadeRun, ended: str) -> None:
    for number in range(12):
        lstm.trial(number, SETTINGS, None, ended=ended)
    check = has_the_sampler_learned(lstm.opened)
    assert check.status == "not applicable"
    assert check.sentence.startswith("There is no winner: ")
