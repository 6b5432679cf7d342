from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from records.checks.fresh_seeds import flattered_by_selection, holds_on_fresh_seeds
from tests.records.checks.conftest import MadeRun

SETTINGS = {"lr": 0.01, "max_norm": 0.1}


def seeds(*accuracies: float) -> list[dict[str, Any]]:
    return [{"test_accuracy": one, "mean_accuracy": one - 0.05} for one in accuracies]


def test_five_of_five_pass_and_more_seeds_narrow_the_interval(lstm: MadeRun) -> None:
    lstm.trial(0, SETTINGS, 0.95)
    lstm.confirmed(0, SETTINGS, seeds(1.0, 1.0, 0.995, 1.0, 0.99))
    check = holds_on_fresh_seeds(lstm.opened)
    assert (check.code, check.status) == ("SEED01", "passed")
    assert check.sentence == (
        "Trial 0 reaches test_accuracy 0.99 on 5 of 5 fresh seeds: 100% (95% interval 48% to 100%)."
    )  # 0.025 ** (1 / 5) = 0.478
    assert check.do == "python tune_lstm.py --resume --name made --confirm 20"


def test_a_seed_that_misses_or_broke_is_an_issue(lstm: MadeRun) -> None:
    for number in range(5):
        lstm.trial(number, SETTINGS, 0.95 - number / 100)
    lstm.confirmed(0, SETTINGS, [*seeds(1.0, 0.5), {}])
    check = holds_on_fresh_seeds(lstm.opened)
    assert check.status == "issue"
    assert (
        check.sentence
        == "Trial 0 reaches test_accuracy 0.99 on 1 of 3 fresh seeds: 33% (95% interval 1% to 91%)."
    )
    assert check.do == "python tune_lstm.py --resume --name made --num-samples 7"


def test_only_the_winners_own_seeds_count(lstm: MadeRun) -> None:
    lstm.trial(0, SETTINGS, 0.95)
    lstm.trial(1, SETTINGS, 0.94)
    lstm.confirmed(0, SETTINGS, seeds(0.1, 0.1))
    lstm.winner(1)
    check = holds_on_fresh_seeds(lstm.opened)
    assert (check.status, check.sentence) == (
        "not applicable",
        "Trial 1 has been trained on 0 fresh seeds.",
    )
    assert check.do == "python tune_lstm.py --resume --name made --confirm 5"


def test_few_seeds_that_all_reach_the_goal_may_be_luck(lstm: MadeRun) -> None:
    lstm.trial(0, SETTINGS, 0.95)
    lstm.confirmed(0, SETTINGS, seeds(1.0, 1.0, 1.0, 1.0))
    check = holds_on_fresh_seeds(lstm.opened)
    assert check.status == "inconclusive"  # 0.5 ** 4 = 0.0625, 0.5 ** 5 = 0.031
    assert check.sentence.endswith("(95% interval 40% to 100%). 5 of 5 would show it.")


FIGURES = [0.90, 0.91, 0.89, 0.92, 0.90]


def test_what_the_search_saw_is_compared_with_one_more_training(lstm: MadeRun) -> None:
    lstm.trial(0, SETTINGS, 0.95, lost=1)  # its machine's failure does not make it another training
    lstm.trial(1, SETTINGS, 0.85, baseline="hand-tuned")
    rows = [{"mean_accuracy": one, "test_accuracy": 1.0} for one in FIGURES]
    lstm.confirmed(0, SETTINGS, rows)
    half = t.ppf(0.975, 4) * np.std(FIGURES, ddof=1) * np.sqrt(1 + 1 / 5)
    check = flattered_by_selection(lstm.opened)
    assert (check.code, check.status) == ("SEED02", "tip")
    assert check.sentence == (
        "mean_accuracy of trial 0 is 0.95 in the search and 0.904 on average over 5 fresh seeds;"
        f" one more training would have {0.904 - half:.3g} to {0.904 + half:.3g}, 95 times in 100."
        " The search flattered it by 0.046, 46% of its gain over the best baseline's."
    )


def test_the_gain_of_a_baseline_is_over_the_best_other_one(lstm: MadeRun) -> None:
    for number, figure in enumerate((0.95, 0.85, 0.75)):
        lstm.trial(number, SETTINGS, figure, baseline=f"hand-tuned {number}")
    rows = [{"mean_accuracy": one, "test_accuracy": 1.0} for one in FIGURES]
    lstm.confirmed(0, SETTINGS, rows)
    words = "flattered it by 0.046, 46% of its gain over the best other baseline's."  # 0.046 / 0.1
    assert flattered_by_selection(lstm.opened).sentence.endswith(words)


def test_without_a_baseline_the_gain_is_over_the_median_trial(lstm: MadeRun) -> None:
    lstm.trial(0, SETTINGS, 0.95)
    for number, figure in enumerate((0.3, 0.8, 0.87), start=1):
        lstm.trial(number, SETTINGS, figure)
    rows = [{"mean_accuracy": one, "test_accuracy": 1.0} for one in FIGURES]
    lstm.confirmed(0, SETTINGS, rows)
    words = "flattered it by 0.046, 31% of its gain over the median trial's."  # 0.046 / 0.15
    assert flattered_by_selection(lstm.opened).sentence.endswith(words)


def test_a_few_equal_seeds_do_not_show_how_far_others_may_differ(lstm: MadeRun) -> None:
    lstm.trial(0, SETTINGS, 0.95)
    rows = [{"mean_accuracy": 0.9, "test_accuracy": 1.0}] * 19
    lstm.confirmed(0, SETTINGS, rows[:3])
    check = flattered_by_selection(lstm.opened)
    assert check.status == "inconclusive"
    assert check.sentence.endswith("3 equal seeds do not show how far others may differ; 19 would.")
    lstm.confirmed(0, SETTINGS, rows)
    assert flattered_by_selection(lstm.opened).status == "tip"


def test_fresh_seeds_that_are_better_are_no_flattery(gan: MadeRun, lstm: MadeRun) -> None:
    lstm.trial(0, SETTINGS, 0.3)
    lstm.confirmed(0, SETTINGS, [{"mean_accuracy": 0.9, "test_accuracy": 1.0}] * 3)
    gan.trial(0, SETTINGS, 40.0)
    gan.confirmed(0, SETTINGS, [{"fd": 10.0, "fd_ratio": 1.0}] * 3)
    for run in (lstm, gan):
        assert flattered_by_selection(run.opened).status == "passed"


def test_a_figure_that_luck_explains_passes(lstm: MadeRun) -> None:
    lstm.trial(0, SETTINGS, 0.91)
    rows = [{"mean_accuracy": one, "test_accuracy": 1.0} for one in (0.85, 0.95, 0.9)]
    lstm.confirmed(0, SETTINGS, rows)
    assert flattered_by_selection(lstm.opened).status == "passed"


def test_a_figure_of_another_judge_is_not_compared_but_the_goals_is(gan: MadeRun) -> None:
    settings = {"lr_g": 1e-4}
    gan.trial(0, settings, 4.0, row={"fd_ratio": 4.2}, judge="search")
    rows = [{"fd": 99.0, "fd_ratio": ratio} for ratio in (5.6, 5.9, 4.9, 5.4)]
    gan.confirmed(0, settings, rows, judge="final")
    check = flattered_by_selection(gan.opened)
    assert check.status == "passed"
    assert check.sentence == (
        "fd_ratio of trial 0 is 4.2 in the search and 5.45 on average over 4 fresh seeds; one more"
        " training would have 3.95 to 6.95, 95 times in 100."
    )


@pytest.mark.parametrize("count", [0, 1])
def test_an_interval_takes_two_seeds(lstm: MadeRun, count: int) -> None:
    lstm.trial(0, SETTINGS, 0.95)
    lstm.confirmed(0, SETTINGS, seeds(1.0)[:count])
    check = flattered_by_selection(lstm.opened)
    assert check.status == "not applicable"
    assert str(count) in check.sentence


def test_without_a_winner_there_is_nothing_to_hold(lstm: MadeRun) -> None:
    assert holds_on_fresh_seeds(lstm.opened).status == "not applicable"
    assert flattered_by_selection(lstm.opened).status == "not applicable"


def test_a_training_that_broke_after_a_good_report_has_no_result(lstm: MadeRun) -> None:
    lstm.trial(0, SETTINGS, 0.95)
    lstm.confirmed(0, SETTINGS, seeds(1.0, 1.0, 1.0))
    broken = lstm.run.confirmation().trial(2)
    record = broken.read()
    assert record is not None
    record.ended = "error"
    broken.write(record)
    assert "on 2 of 3 fresh seeds" in holds_on_fresh_seeds(lstm.opened).sentence
