from math import comb

from optuna.distributions import CategoricalDistribution, distribution_to_json

from records.checks.untried import rarely_tried_choices
from tests.records.checks.conftest import MadeRun


def test_few_trials_say_nothing(gan: MadeRun) -> None:
    for number in range(4):
        gan.trial(number, {"loss": "hinge"}, 50.0)
    check = rarely_tried_choices(gan.opened)
    assert check.status == "not applicable"
    assert check.sentence == "No parameter has choices and 5 trials; 4 trials have ended."


def test_a_choice_tried_too_rarely_to_be_told_worse_says_how_often_it_takes(gan: MadeRun) -> None:
    losses = ("non-saturating", "hinge", "least-squares")
    for number in range(30):
        gan.trial(number, {"loss": losses[number % 3], "d_steps": 1 + number % 2}, 50.0)
    gan.trial(30, {"loss": "relativistic", "d_steps": 1}, 50.0)
    check = rarely_tried_choices(gan.opened)
    assert (check.code, check.status) == ("SPACE03", "inconclusive")
    assert check.sentence == (
        "Too rarely tried, 1 of 6 choices: loss=relativistic 1 of 31 times (3 would tell)."
    )
    # all choices of the GAN's space: that three trials are the worst three of 31 is rare enough,
    # that two are is not
    assert 1 / comb(31, 3) < 0.05 / 33 < 1 / comb(31, 2)
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
    assert check.sentence == "The least tried of 2 choices: d_steps=2 15 of 31 times."


def test_many_choices_are_counted_and_ask_for_more_trials(gan: MadeRun) -> None:
    losses = ("non-saturating", "hinge", "least-squares", "relativistic")
    for number in range(6):
        gan.trial(number, {"loss": losses[number % 4], "d_steps": 1 + number % 2}, 50.0)
    check = rarely_tried_choices(gan.opened)
    assert check.sentence == (
        "Too rarely tried, 6 of 6 choices: loss=non-saturating 2 of 6 times (4 would tell);"
        " loss=hinge 2 of 6 times (4 would tell); loss=least-squares 1 of 6 times (4 would tell);"
        " loss=relativistic 1 of 6 times (4 would tell); and 2 more."
    )
    assert check.do == "python tune_gan.py --resume --name gan --num-samples 9"
