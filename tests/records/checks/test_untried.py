import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, distribution_to_json

from records.checks.untried import rarely_tried_choices, untried_box, untried_stretch
from tests.records.checks.conftest import MadeRun


def spread(run: MadeRun, places: list[tuple[float, float]], best: int = 0) -> None:
    """A trial at each place of lr's and max_norm's log range; ``best`` is far the best of them."""
    for number, (lr, max_norm) in enumerate(places):
        settings = {"lr": 1e-4 * 1000**lr, "max_norm": 1e-3 * 1e4**max_norm}
        run.trial(number, settings, 0.99 if number == best else 0.5 - number / 1000)


def halton(n: int) -> list[tuple[float, float]]:
    from scipy.stats import qmc

    return [(float(x), float(y)) for x, y in qmc.Halton(2, rng=0).random(n)]


def test_an_even_spread_passes_every_check(lstm: MadeRun) -> None:
    spread(lstm, halton(30))
    for check in (untried_stretch(lstm.opened), untried_box(lstm.opened)):
        assert (check.status, check.do) == ("passed", None)
        assert "30 uniform" in check.sentence


def test_a_long_stretch_beside_a_good_trial_is_a_tip_with_the_command_to_look_there(
    lstm: MadeRun,
) -> None:
    crowded = [(0.05 + 0.45 * x, y) for x, y in halton(40)]
    rightmost = max(range(40), key=lambda number: crowded[number][0])
    spread(lstm, crowded, best=rightmost)
    check = untried_stretch(lstm.opened)
    assert (check.code, check.status) == ("SPACE01", "tip")
    low = lstm.opened.finished[rightmost].settings["lr"]
    assert check.sentence.startswith(
        f"The longest stretch without a trial is lr from {low:.3g} to 0.1, "
    )
    assert check.sentence.endswith(
        "% of its log range; 40 uniform draws leave at most 15% in 19 of 20 cases."
        f" Trial {rightmost} of the best quarter is next to it."
    )
    assert check.do is not None
    command, change = check.do.split("--set lr=")
    assert command == "python tune_lstm.py --input-length 4 --num-samples 8 "
    ends = change.removesuffix(":log").split("..")
    assert ends[1] == "0.1"
    assert low * 0.99 < float(ends[0]) <= low


def test_a_stretch_beside_poor_trials_is_left_alone(lstm: MadeRun) -> None:
    crowded = [(0.05 + 0.45 * x, y) for x, y in halton(40)]
    for number, (lr, max_norm) in enumerate(sorted(crowded)):
        lstm.trial(
            number, {"lr": 1e-4 * 1000**lr, "max_norm": 1e-3 * 1e4**max_norm}, 0.9 - number / 100
        )
    check = untried_stretch(lstm.opened)
    assert check.status == "passed"
    assert "No trial of the best quarter is next to it" in check.sentence


def test_an_empty_corner_that_no_single_range_shows_is_found(lstm: MadeRun) -> None:
    away = [(x, y) for x, y in halton(120) if not (x > 0.5 and y > 0.5)]
    beside = max(
        range(len(away)),
        key=lambda number: (away[number][0] <= 0.5) * (away[number][1] > 0.6) * away[number][0],
    )
    spread(lstm, away, best=beside)
    assert untried_stretch(lstm.opened).status == "passed"
    check = untried_box(lstm.opened)
    assert (check.code, check.status) == ("SPACE02", "tip")
    assert check.do is not None
    _, changes = check.do.split(" --set ")
    lr, max_norm = (
        change.split("=")[1].removesuffix(":log").split("..") for change in changes.split()
    )
    assert float(lr[1]) == pytest.approx(0.1)
    assert float(max_norm[1]) == pytest.approx(10)
    assert float(lr[0]) < 1e-4 * 1000**0.55
    assert float(max_norm[0]) < 1e-3 * 1e4**0.55


def test_uniform_draws_seldom_raise_an_alarm(lstm: MadeRun) -> None:
    alarms = 0
    for repeat in range(20):
        draws = np.random.default_rng(repeat)
        spread(lstm, [(x, y) for x, y in draws.random((20, 2)).tolist()])
        alarms += untried_box(lstm.opened).status == "tip"
    assert alarms <= 4  # 1 expected at most


def test_few_trials_say_nothing(lstm: MadeRun) -> None:
    spread(lstm, halton(4))
    assert untried_stretch(lstm.opened).sentence == (
        "No range has the 5 trials that this check needs; 4 trials have ended."
    )
    assert untried_box(lstm.opened).sentence == (
        "It takes two ranges that always apply and 10 trials; there are 2 and 4."
    )
    assert rarely_tried_choices(lstm.opened).status == "not applicable"


def test_a_choice_tried_once_is_a_tip(gan: MadeRun) -> None:
    losses = ("non-saturating", "hinge", "least-squares")
    for number in range(30):
        gan.trial(number, {"loss": losses[number % 3], "d_steps": 1 + number % 2}, 50.0)
    gan.trial(30, {"loss": "relativistic", "d_steps": 1}, 50.0)
    check = rarely_tried_choices(gan.opened)
    assert (check.code, check.status) == ("SPACE03", "tip")
    assert check.sentence == (
        "Rarely tried, 1 of 6 choices: loss=relativistic 1 of 31 times (uniform draws: 3 to 13)."
    )
    assert check.do == "python tune_gan.py --dataset digits --set loss=relativistic"


def test_a_choice_that_is_no_text_is_named_as_set_takes_it(lstm: MadeRun) -> None:
    choices = CategoricalDistribution((None, True, 0.5))
    lstm.describe(space={"warm": {"distribution": distribution_to_json(choices), "reason": "."}})
    for number in range(30):
        lstm.trial(number, {"warm": True if number % 2 else 0.5}, 0.5)
    check = rarely_tried_choices(lstm.opened)
    assert check.do is not None
    assert check.do.endswith("--set warm=none")


def test_choices_tried_alike_pass(gan: MadeRun) -> None:
    for number in range(31):
        gan.trial(number, {"d_steps": 1 + number % 2}, 50.0)
    check = rarely_tried_choices(gan.opened)
    assert check.status == "passed"
    assert check.sentence == (
        "The least tried of 2 choices: d_steps=2 15 of 31 times (uniform draws: 10 to 21)."
    )
