from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_1samp

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


def test_the_winners_curse_has_students_interval(lstm: MadeRun) -> None:
    lstm.trial(0, SETTINGS, 0.95, lost=1)  # its machine's failure does not make it another training
    figures = [0.90, 0.91, 0.89, 0.92, 0.90]
    lstm.confirmed(0, SETTINGS, [{"mean_accuracy": one, "test_accuracy": 1.0} for one in figures])
    interval = ttest_1samp(0.95 - np.array(figures), 0).confidence_interval()
    check = flattered_by_selection(lstm.opened)
    assert (check.code, check.status) == ("SEED02", "tip")
    assert check.sentence == (
        "mean_accuracy of trial 0 is 0.95 in the search and 0.904 on average over 5 fresh seeds:"
        " the search flattered it by 0.046"
        f" (95% interval {interval.low:.3g} to {interval.high:.3g})."
    )


def test_equal_seeds_have_an_interval_of_one_value(lstm: MadeRun) -> None:
    lstm.trial(0, SETTINGS, 0.95)
    lstm.confirmed(0, SETTINGS, [{"mean_accuracy": 0.9, "test_accuracy": 1.0}] * 3)
    check = flattered_by_selection(lstm.opened)
    assert check.status == "tip"
    assert check.sentence.endswith("flattered it by 0.05 (95% interval 0.05 to 0.05).")


def test_fresh_seeds_that_are_better_are_said_to_be(gan: MadeRun, lstm: MadeRun) -> None:
    lstm.trial(0, SETTINGS, 0.3)
    lstm.confirmed(0, SETTINGS, [{"mean_accuracy": 0.9, "test_accuracy": 1.0}] * 3)
    gan.trial(0, SETTINGS, 40.0)
    gan.confirmed(0, SETTINGS, [{"fd": 10.0, "fd_ratio": 1.0}] * 3)
    for run, better in ((lstm, "0.6"), (gan, "30")):
        check = flattered_by_selection(run.opened)
        assert check.status == "passed"
        words = f"fresh seeds are better by {better} (95% interval {better} to {better})."
        assert check.sentence.endswith(words)


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
    assert check.status == "tip"
    assert check.sentence == (
        "fd_ratio of trial 0 is 4.2 in the search and 5.45 on average over 4 fresh seeds:"
        " the search flattered it by 1.25 (95% interval 0.581 to 1.92)."
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
