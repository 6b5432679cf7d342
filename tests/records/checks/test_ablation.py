import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.stats import t

from records.checks.ablation import ablation, stages
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


def test_each_change_is_compared_with_the_step_before_seed_by_seed(lstm: MadeRun) -> None:
    searched(lstm)
    steps: list[tuple[Any, tuple[float, ...]]] = [
        ((), (0.30, 0.31, 0.29)),
        ("lr", (0.90, 0.92, 0.91)),
        (["curriculum", "start_length"], (0.97, 0.91, 0.94)),
        ("max_norm", (0.93, 0.868, 0.9)),
    ]
    lstm.changed(steps)
    widths = []
    for (_, before), (_, after) in pairwise(steps):
        gains = np.array(after) - np.array(before)
        widths.append(t.ppf(1 - 0.025 / 3, 2) * gains.std(ddof=1) / math.sqrt(3))
    check = ablation(lstm.opened)
    assert check.sentence == (
        "From mean_accuracy 0.3 to 0.899 in 3 changes, on 3 fresh seeds each:"
        f" lr +0.61 ± {widths[0]:.3g}, curriculum and start_length +0.03 ± {widths[1]:.3g},"
        f" max_norm −0.0407 ± {widths[2]:.3g}. Shown to make it worse: max_norm."
    )
    assert check.status == "tip"


def test_a_change_that_the_seeds_do_not_show_is_left_open(lstm: MadeRun) -> None:
    searched(lstm)
    last = ("max_norm", (0.95, 0.9, 0.9))
    lstm.changed([((), (0.3, 0.31, 0.29)), ("lr", (0.9, 0.92, 0.91)), last])
    check = ablation(lstm.opened)
    assert check.status == "inconclusive"
    assert check.sentence.endswith("Not shown to be more than chance: max_norm.")


def test_changes_that_all_help_pass(lstm: MadeRun) -> None:
    searched(lstm)
    lstm.changed([((), (0.31, 0.3)), ("lr", (0.6, 0.592)), ("max_norm", (0.95, 0.94))])
    check = ablation(lstm.opened)
    assert check.status == "passed"
    assert check.sentence.endswith("Each is shown to help.")


def test_a_path_of_one_seed_as_earlier_versions_trained_shows_nothing(lstm: MadeRun) -> None:
    searched(lstm, 0.95)
    lstm.changed([("lr", 0.2)])
    check = ablation(lstm.opened)
    assert check.status == "inconclusive"
    assert check.sentence == (
        "From mean_accuracy 0.3 to 0.2 in 1 change, on 1 fresh seed each: lr −0.1. Not shown to"
        " be more than chance: lr."
    )


def test_a_smaller_fd_is_a_gain(gan: MadeRun) -> None:
    gan.trial(0, {"lr_g": 1e-4}, 400.0, baseline="hand-tuned")
    gan.trial(1, {"lr_g": 1e-3}, 10.0)
    gan.changed([((), (400.0, 410.0)), ("lr_g", (100.0, 111.0)), ("loss", (10.0, 20.0))])
    check = ablation(gan.opened)
    assert check.status == "passed"
    assert check.sentence.startswith("From fd 405 to 15 in 2 changes, on 2 fresh seeds each: lr_g ")
    assert "loss −90.5 ± " in check.sentence


def test_a_change_that_breaks_the_training_is_said_so(lstm: MadeRun) -> None:
    searched(lstm)
    inf = math.inf
    lstm.changed([((), (0.3, 0.3)), ("lr", (0.9, inf)), ("max_norm", (0.9, 0.8))])
    assert "lr broke it, max_norm repaired it." in ablation(lstm.opened).sentence
    lstm.changed([((), (0.3, 0.3)), ("lr", (inf, inf)), ("max_norm", (inf, 0.9))])
    sentence = ablation(lstm.opened).sentence
    assert sentence.startswith(
        "From mean_accuracy 0.3 to no value in 2 changes, on 2 fresh seeds each: lr broke it,"
        " max_norm left it broken."
    )
    assert sentence.endswith("Not shown to be more than chance: lr, max_norm.")


def test_a_training_that_broke_after_a_report_has_no_value(lstm: MadeRun) -> None:
    searched(lstm)
    lstm.changed([((), (0.3, 0.31)), ("lr", (0.9, 0.91))])
    trial = lstm.run.ablation(1).trial(3)
    record = trial.read()
    assert record is not None
    trial.write(replace(record, ended="error", error="out of memory"))
    assert ablation(lstm.opened).sentence == (
        "From mean_accuracy 0.305 to no value in 1 change, on 2 fresh seeds each: lr broke it. Not"
        " shown to be more than chance: lr."
    )


def test_the_path_is_there_to_be_drawn(gan: MadeRun) -> None:
    for number in range(1, 4):
        gan.trial(number, {"lr_g": 0.001}, 10.0 * number)
    gan.winner(1)
    gan.changed([((), (30.0, 32.0)), ("lr_g", (12.0, 13.0)), (("loss", "ema"), (9.5, 9.0))])
    found = [(one.changed, [*one.losses.values()], one.loss) for one in stages(gan.opened)]
    assert found == [
        ("", [30.0, 32.0], 31.0),
        ("lr_g", [12.0, 13.0], 12.5),
        ("loss and ema", [9.5, 9.0], 9.25),
    ]
