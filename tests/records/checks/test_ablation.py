import math

import numpy as np
from scipy.stats import t

from records.checks.ablation import ablation, seed_noise, stages
from tests.records.checks.conftest import MadeRun

SETTINGS = {"lr": 0.01, "max_norm": 0.1}


def searched(run: MadeRun, *fresh: float) -> None:
    run.trial(0, {"lr": 0.001, "max_norm": 10.0}, 0.30, baseline="hand-tuned")
    run.trial(1, SETTINGS, 0.96)
    run.confirmed(1, SETTINGS, [{"mean_accuracy": one, "test_accuracy": 1.0} for one in fresh])


def test_an_untrained_path_is_not_applicable(lstm: MadeRun) -> None:
    assert ablation(lstm.opened).status == "not applicable"
    searched(lstm)
    check = ablation(lstm.opened)
    assert (check.code, check.status) == ("PATH01", "not applicable")
    assert check.sentence == "0 changes from hand-tuned settings to trial 1 were trained."
    assert check.do is not None


def test_a_path_is_only_offered_where_it_would_be_trained(lstm: MadeRun) -> None:
    command = "python tune_lstm.py --resume --name made --ablation"
    searched(lstm)
    assert ablation(lstm.opened).do == command
    lstm.describe(options={"scheduler": "pbt"})
    assert ablation(lstm.opened).do is None  # --ablation refuses it
    lstm.describe(options={"scheduler": "asha"}, baselines={"as published": SETTINGS})
    assert ablation(lstm.opened).do is None  # nothing is hand-tuned
    lstm.describe(baselines={"hand-tuned": {"lr": 1.0}, "hand-tuned, longer": SETTINGS})
    assert ablation(lstm.opened).do is None  # the winner is the last of them
    lstm.describe(baselines={"hand-tuned": SETTINGS, "hand-tuned, longer": {"lr": 1.0}})
    assert ablation(lstm.opened).do == command


def test_a_path_without_its_start_begins_at_the_last_hand_tuned_settings(lstm: MadeRun) -> None:
    for number, name in enumerate(("as published", "hand-tuned", "hand-tuned, longer")):
        lstm.trial(number, SETTINGS, 0.1 + number / 10, baseline=name)
    lstm.trial(3, SETTINGS, 0.9)
    lstm.winner(1)
    lstm.changed([("lr", 0.9)])
    assert ablation(lstm.opened).sentence.startswith("From mean_accuracy 0.3 to 0.9 in 1 change")


def test_it_says_what_each_change_bought_and_which_bought_nothing(lstm: MadeRun) -> None:
    fresh = [0.95, 0.94, 0.96]
    searched(lstm, *fresh)
    lstm.changed([("lr", 0.90), (["curriculum", "start_length"], 0.97), ("max_norm", 0.96)])
    noise = t.ppf(0.975, 2) * np.std(fresh, ddof=1) * math.sqrt(2)
    check = ablation(lstm.opened)
    assert check.status == "tip"
    assert check.sentence == (
        "From mean_accuracy 0.3 to 0.96 in 3 changes: lr +0.6, curriculum and start_length +0.07,"
        f" max_norm −0.01 (95% interval of a change without effect: ± {noise:.3g}, from 3 fresh"
        " seeds). No gain beyond that: max_norm."
    )


def test_changes_that_all_help_pass(lstm: MadeRun) -> None:
    searched(lstm, 0.951, 0.95, 0.952)
    lstm.changed([((), 0.31), ("lr", 0.6), ("max_norm", 0.95)])
    check = ablation(lstm.opened)
    assert check.status == "passed"
    assert check.sentence.startswith(
        "From mean_accuracy 0.31 to 0.95 in 2 changes: lr +0.29, max_norm +0.35 ("
    )


def test_on_one_seed_there_is_no_interval(lstm: MadeRun) -> None:
    searched(lstm, 0.95)
    lstm.changed([("lr", 0.2)])
    check = ablation(lstm.opened)
    assert check.status == "passed"
    assert check.sentence == (
        "From mean_accuracy 0.3 to 0.2 in 1 change: lr −0.1"
        " (no interval: it takes two fresh seeds)."
    )


def test_a_smaller_fd_is_a_gain(gan: MadeRun) -> None:
    gan.trial(0, {"lr_g": 1e-4}, 400.0, baseline="hand-tuned")
    gan.trial(1, {"lr_g": 1e-3}, 10.0)
    gan.confirmed(1, {"lr_g": 1e-3}, [{"fd": one, "fd_ratio": 1.0} for one in (10.0, 11.0, 12.0)])
    gan.changed([("lr_g", 100.0), ("loss", 10.0)])
    check = ablation(gan.opened)
    assert check.status == "passed"
    assert check.sentence.startswith("From fd 400 to 10 in 2 changes: lr_g −300, loss −90 (")


def test_a_change_that_breaks_the_training_is_said_so(lstm: MadeRun) -> None:
    searched(lstm, 0.95, 0.94)
    lstm.changed([("lr", math.inf), ("max_norm", 0.9)])
    assert "lr broke it, max_norm repaired it (" in ablation(lstm.opened).sentence
    lstm.changed([("lr", math.inf), ("max_norm", math.inf)])
    sentence = ablation(lstm.opened).sentence
    assert sentence.startswith(
        "From mean_accuracy 0.3 to no value in 2 changes: lr broke it, max_norm left it broken ("
    )
    assert sentence.endswith("No gain beyond that: lr, max_norm.")


def test_the_path_is_there_to_be_drawn(gan: MadeRun) -> None:
    for number in range(1, 4):
        gan.trial(number, {"lr_g": 0.001}, 10.0 * number)
    gan.winner(1)
    gan.changed([((), 30.0), ("lr_g", 12.0), (("loss", "ema"), 9.5)])
    found = [(one.changed, one.loss) for one in stages(gan.opened)]
    assert found == [("", 30.0), ("lr_g", 12.0), ("loss and ema", 9.5)]
    assert seed_noise(gan.opened) is None
