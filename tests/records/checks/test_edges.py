import numpy as np
import pytest

from records.checks.edges import best_trials_at_an_edge, winner_at_an_edge
from tests.records.checks.conftest import MadeRun

GAN_INSIDE = {
    "lr_g": 3e-4, "lr_d": 3e-4, "beta1": 0.5, "beta2": 0.99, "batch_size": 64, "latent_dim": 64,
    "loss": "hinge", "ema": 0.99, "regulariser": "none", "shift": 1, "lr_decay": "none",
    "d_steps": 1, "latent": "uniform",
}  # fmt: skip


def test_a_winner_well_inside_its_ranges_passes(lstm: MadeRun) -> None:
    # The upper half, but well inside on a log scale.
    lstm.trial(0, {"lr": 0.06, "max_norm": 5.0}, 0.9)
    check = winner_at_an_edge(lstm.opened)
    assert (check.code, check.status, check.do) == ("EDGE01", "passed", None)
    assert check.sentence == "None of trial 0's numbers is within 5% of one of the 4 ends."


def test_a_winner_at_an_edge_is_a_tip_with_the_command_that_widens_the_range(lstm: MadeRun) -> None:
    for number in range(7):
        lstm.trial(number, {"lr": 0.01, "max_norm": 0.1}, 0.5 + number / 100)
    lstm.trial(7, {"lr": 0.0101e-2, "max_norm": 9.5}, 0.9)
    check = winner_at_an_edge(lstm.opened)
    assert check.status == "tip"
    assert check.sentence == (
        "The best may lie beyond: trial 7 has lr=0.000101 (lower end, as 1 of the best 2 trials:"
        " 50%, 1% to 99%); max_norm=9.5 (upper end, as 1 of the best 2 trials: 50%, 1% to 99%)."
    )
    assert check.do is not None
    assert check.do.startswith("python tune_lstm.py --input-length 4 --num-samples 8 --set lr=")
    assert check.do.count("--set") == 1
    assert "max_norm=0.001..100:log" in check.do


def test_natural_ends_of_choices_are_none(gan: MadeRun) -> None:
    natural = {"beta1": 0.0, "d_steps": 1, "shift": 0, "ema": 0.0, "label_smoothing": 0.0}
    gan.trial(0, {**GAN_INSIDE, **natural, "loss": "non-saturating"}, 4.0)
    assert winner_at_an_edge(gan.opened).status == "passed"
    gan.trial(1, {**GAN_INSIDE, "beta1": 0.9, "d_steps": 2, "latent_dim": 32}, 3.0)
    sentence = winner_at_an_edge(gan.opened).sentence
    named = [name for name in GAN_INSIDE if f"{name}=" in sentence]
    assert named == ["beta1", "latent_dim", "d_steps"]


def test_the_winner_is_the_confirmed_one_and_not_the_best_of_the_search(lstm: MadeRun) -> None:
    lstm.trial(0, {"lr": 0.09999, "max_norm": 0.1}, 0.9)
    lstm.trial(1, {"lr": 0.01, "max_norm": 0.1}, 0.8)
    assert "trial 0" in winner_at_an_edge(lstm.opened).sentence
    lstm.winner(1)
    assert "trial 1" in winner_at_an_edge(lstm.opened).sentence


def crowd(run: MadeRun, at_edge: int) -> None:
    """40 trials, the ten best of which have ``at_edge`` in the upper tenth of lr's log range."""
    places = np.linspace(0.12, 0.88, 40)
    for number, place in enumerate(places):
        lr = 1e-4 * 1000 ** (0.95 if number < at_edge else place)
        settings = {"lr": lr, "max_norm": 1e-3 * 1e4**place}
        run.trial(number, settings, 0.9 if number < 10 else 0.1)


def test_many_of_the_best_trials_at_one_edge_are_an_issue(lstm: MadeRun) -> None:
    crowd(lstm, at_edge=6)
    check = best_trials_at_an_edge(lstm.opened)
    assert (check.code, check.status) == ("EDGE02", "issue")
    assert check.sentence == (
        "More of the best trials lie at an end than uniform draws would: 6 of 10 at the upper end"
        " of lr (60%, 26% to 88%; chance: 10%)."
    )
    assert check.do is not None
    assert check.do.endswith("--set lr=0.0001..1:log")


def test_a_few_of_the_best_trials_at_an_edge_are_chance(lstm: MadeRun) -> None:
    crowd(lstm, at_edge=2)
    check = best_trials_at_an_edge(lstm.opened)
    assert check.status == "passed"
    assert check.sentence == (
        "None of 4 ends has more of the best trials than uniform draws would have; the most: 2 of"
        " 10 at the upper end of lr (20%, 3% to 56%; chance: 10%)."
    )


def test_uniform_draws_raise_no_alarm_more_often_than_they_should(lstm: MadeRun) -> None:
    alarms = 0
    for repeat in range(20):
        draws = np.random.default_rng(repeat)
        for number in range(16):
            settings = {
                "lr": 1e-4 * 1000 ** draws.random(),
                "max_norm": 1e-3 * 1e4 ** draws.random(),
            }
            lstm.trial(number, settings, float(draws.random()))
        alarms += best_trials_at_an_edge(lstm.opened).status == "issue"
    assert alarms <= 3  # 1 expected at most; a chance of 2% to see more


@pytest.mark.parametrize("ended", [None, "diverged", "time budget"])
def test_without_a_winner_there_is_nothing_to_look_at(lstm: MadeRun, ended: str | None) -> None:
    lstm.trial(0, {"lr": 0.01, "max_norm": 0.1}, None, ended=ended)
    assert winner_at_an_edge(lstm.opened).status == "not applicable"
    check = best_trials_at_an_edge(lstm.opened)
    assert check.status == "not applicable"
    assert (
        check.sentence == "None of the best quarter (0 of 0 trials) has a number with an open end."
    )
