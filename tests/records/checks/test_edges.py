import numpy as np
import pytest
from scipy.stats import fisher_exact

from records.checks.edges import best_trials_at_an_edge
from tests.records.checks.conftest import MadeRun

GAN_INSIDE = {
    "lr_g": 3e-4, "lr_d": 3e-4, "beta1": 0.5, "beta2": 0.99, "batch_size": 64, "latent_dim": 64,
    "loss": "hinge", "ema": 0.99, "regulariser": "none", "shift": 1, "lr_decay": "none",
    "d_steps": 1, "latent": "uniform",
}  # fmt: skip


def crowd(run: MadeRun, at_edge: int, trials: int = 40) -> None:
    """The best quarter has ``at_edge`` trials in the upper tenth of lr's log range, the others
    none."""
    places = np.linspace(0.12, 0.88, trials)
    for number, place in enumerate(places):
        lr = 1e-4 * 1000 ** (0.95 if number < at_edge else place)
        settings = {"lr": lr, "max_norm": 1e-3 * 1e4**place}
        run.trial(number, settings, 0.9 if number < trials / 4 else 0.1)


def test_many_of_the_best_trials_at_one_edge_are_an_issue(lstm: MadeRun) -> None:
    crowd(lstm, at_edge=6)
    check = best_trials_at_an_edge(lstm.opened)
    assert (check.code, check.status) == ("EDGE02", "issue")
    p = fisher_exact(np.array([[6, 4], [0, 30]]), alternative="greater").pvalue
    assert check.sentence == (
        "More of the best trials lie at an end than of the others: 6 of the best 10 and 0 of the"
        f" other 30 at the upper end of lr (p = {p:.2g})."
    )
    assert check.do is not None
    assert check.do.endswith("--set lr=0.0001..1:log")


def test_a_few_of_the_best_trials_at_an_edge_are_chance(lstm: MadeRun) -> None:
    crowd(lstm, at_edge=2)
    check = best_trials_at_an_edge(lstm.opened)
    assert check.status == "passed"
    assert check.sentence == (
        "The best trials crowd at none of 4 open ends; the nearest to it: 2 of the best 10 and 0 of"
        " the other 30 at the upper end of lr (p = 0.058)."
    )


def test_a_crowd_that_the_others_join_is_the_samplers_doing(lstm: MadeRun) -> None:
    for number in range(40):
        settings = {"lr": 1e-4 * 1000 ** (0.95 if number % 2 else 0.5), "max_norm": 0.1}
        lstm.trial(number, settings, 0.9 - number / 100)
    assert best_trials_at_an_edge(lstm.opened).status == "passed"


@pytest.mark.parametrize("trials", [4, 12])
def test_too_few_trials_to_tell_a_crowd_say_how_many_would(lstm: MadeRun, trials: int) -> None:
    crowd(lstm, at_edge=0, trials=trials)
    check = best_trials_at_an_edge(lstm.opened)
    assert check.status == "inconclusive"
    assert check.sentence == (
        f"{trials} trials cannot tell whether the best crowd at one of 4 open ends; 24 would."
    )
    crowd(lstm, at_edge=0, trials=24)
    assert best_trials_at_an_edge(lstm.opened).status == "passed"


def test_natural_ends_of_choices_are_none(gan: MadeRun) -> None:
    natural = {"beta1": 0.0, "d_steps": 1, "shift": 0, "ema": 0.0, "label_smoothing": 0.0}
    for number in range(60):
        own = {**natural, "loss": "non-saturating"} if number < 15 else {"shift": 2}
        gan.trial(number, {**GAN_INSIDE, **own}, 4.0 + number)
    check = best_trials_at_an_edge(gan.opened)
    assert check.status == "passed"
    for number in range(15):
        gan.trial(number, {**GAN_INSIDE, "d_steps": 2, "latent_dim": 32}, 4.0)
    sentence = best_trials_at_an_edge(gan.opened).sentence
    assert [name for name in GAN_INSIDE if f"end of {name} " in sentence] == [
        "latent_dim",
        "d_steps",
    ]


@pytest.mark.parametrize("ended", [None, "diverged", "time budget"])
def test_without_a_complete_trial_there_is_nothing_to_look_at(
    lstm: MadeRun, ended: str | None
) -> None:
    lstm.trial(0, {"lr": 0.01, "max_norm": 0.1}, None, ended=ended)
    check = best_trials_at_an_edge(lstm.opened)
    assert check.status == "not applicable"
    assert (
        check.sentence == "None of the best quarter (0 of 0 trials) has a number with an open end."
    )
