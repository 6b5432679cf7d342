import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution

from records.checks.importances import intervals
from records.checks.what_mattered import importances, importances_at_rungs
from search_spaces.set_syntax import parse_overrides
from tests.records.checks.conftest import MadeRun


def drawn(run: MadeRun, n: int, early_by_max_norm: bool = False, stopped: int = 0) -> None:
    """``n`` uniform draws whose last figure depends on lr alone; the last ``stopped`` have none."""
    draws = np.random.default_rng(3)
    for number in range(n):
        lr, max_norm = draws.random(2)
        end = float(1 - (lr - 0.7) ** 2)
        first = float(1 - (max_norm - 0.3) ** 2) if early_by_max_norm else end
        settings = {"lr": 1e-4 * 1000**lr, "max_norm": 1e-3 * 1e4**max_norm}
        if number < n - stopped:
            run.trial(number, settings, {100: first, 300: end, 900: end})
        else:
            run.trial(number, settings, {100: first}, ended="stopped early")


def test_what_decides_all_is_first_and_what_decides_nothing_can_be_fixed(lstm: MadeRun) -> None:
    drawn(lstm, 60, stopped=10)
    verbosity = optuna.logging.get_verbosity()
    check = importances(lstm.opened)
    assert optuna.logging.get_verbosity() == verbosity
    assert (check.code, check.status) == ("WHAT01", "tip")
    assert check.sentence.startswith(
        "fANOVA over 50 of 60 trials, those that completed the training: lr "
    )
    share = float(check.sentence.split("training: lr ")[1].split("%")[0].strip("><"))
    assert share >= 95
    assert "PED-ANOVA puts lr first" in check.sentence
    assert check.sentence.endswith("Hardly mattered: max_norm.")
    best = lstm.opened.winner
    assert best is not None
    assert check.do == (
        "python tune_lstm.py --input-length 4 --num-samples 8"
        f" --set max_norm={best.settings['max_norm']}"
    )


def test_a_large_number_is_fixed_as_set_takes_it(lstm: MadeRun) -> None:
    space = {"lr": FloatDistribution(1e-4, 0.1, log=True), "max_norm": FloatDistribution(1e3, 9e4)}
    lstm.describe(
        space={name: {"distribution": str(d), "reason": "."} for name, d in space.items()}
    )
    draws = np.random.default_rng(3)
    for number in range(40):
        lr, max_norm = draws.random(2)
        settings = {"lr": 1e-4 * 1000**lr, "max_norm": 1e3 + 8.9e4 * max_norm}
        lstm.trial(number, settings, float(1 - (lr - 0.7) ** 2))
    do = importances(lstm.opened).do
    assert do is not None
    (fixed,) = do.split("--set ")[1].split()
    (value,) = parse_overrides([fixed])["max_norm"]  # type: ignore[misc]
    assert lstm.opened.winner is not None
    assert float(value) == lstm.opened.winner.settings["max_norm"]


def test_a_range_of_one_value_spoils_no_comparison(lstm: MadeRun) -> None:
    one = {"distribution": "FloatDistribution(high=0.1, low=0.1)", "reason": "."}
    search = lstm.run.read()
    assert search is not None
    lstm.describe(space={**search["space"], "momentum": one})
    draws = np.random.default_rng(3)
    for number in range(40):
        lr, max_norm = draws.random(2)
        settings = {"lr": 1e-4 * 1000**lr, "max_norm": 1e-3 * 1e4**max_norm, "momentum": 0.1}
        end = float(1 - (lr - 0.7) ** 2)
        lstm.trial(number, settings, {100: end, 300: end, 900: end})
    assert importances(lstm.opened).sentence.startswith("fANOVA over 40 of 40 trials")
    assert "step 300, 40 trials: lr" in importances_at_rungs(lstm.opened).sentence


def test_nothing_varied_is_nothing_to_judge(lstm: MadeRun) -> None:
    lstm.describe(space={})
    for number in range(12):
        lstm.trial(number, {}, number / 20)
    for check in (importances, importances_at_rungs):
        assert "The search varied 0 parameters" in check(lstm.opened).sentence or (
            "not at 0" in check(lstm.opened).sentence
        )


def test_two_that_both_matter_pass(lstm: MadeRun) -> None:
    draws = np.random.default_rng(1)
    for number in range(50):
        lr, max_norm = draws.random(2)
        lstm.trial(
            number, {"lr": 1e-4 * 1000**lr, "max_norm": 1e-3 * 1e4**max_norm}, float(lr + max_norm)
        )
    check = importances(lstm.opened)
    assert (check.status, check.do) == ("passed", None)
    for name in ("lr", "max_norm"):
        words = check.sentence.split(f"{name} ")[1]
        share, low, high = (
            float(one.strip("%("))
            for one in (words.split()[0], words.split()[1], words.split()[3].strip(");"))
        )
        assert 25 < share < 75
        assert low <= share <= high


def test_pure_noise_is_told_from_a_finding(lstm: MadeRun) -> None:
    said = []
    for seed in range(6):
        draws = np.random.default_rng(seed)
        for number in range(40):
            lr, max_norm = draws.random(2)
            settings = {"lr": 1e-4 * 1000**lr, "max_norm": 1e-3 * 1e4**max_norm}
            lstm.trial(number, settings, float(draws.normal()))
        said.append(importances(lstm.opened))
    noise = [one for one in said if one.status == "inconclusive"]
    assert len(noise) >= 4
    for one in noise:
        assert one.sentence.startswith(
            "A random forest fitted to 40 comparable trials is not shown to predict held-out trials"
        )
        assert one.sentence.endswith("80 trials may show more.")


def test_a_p_value_below_one_is_not_printed_as_one(lstm: MadeRun) -> None:
    draws = np.random.default_rng(9)
    for number in range(10):
        lr, max_norm = draws.random(2)
        settings = {"lr": 1e-4 * 1000**lr, "max_norm": 1e-3 * 1e4**max_norm}
        lstm.trial(number, settings, float(draws.normal()))
    assert "(out-of-bag R² -0.99, p = 0.998), so no" in importances(lstm.opened).sentence


@pytest.mark.parametrize("figure", [0.5, None])
def test_few_trials_or_equal_ones_say_nothing(lstm: MadeRun, figure: float | None) -> None:
    for number in range(9 if figure is None else 12):
        lstm.trial(number, {"lr": 0.001 * (1 + number), "max_norm": 0.1}, figure or number / 10)
    check = importances(lstm.opened)
    assert check.status == ("inconclusive" if figure is None else "not applicable")
    if figure is None:
        assert check.sentence == (
            "9 of 9 trials can be compared (whole training in the space, finite mean_accuracy);"
            " importances need 10."
        )
    else:
        assert check.sentence == "All 12 comparable trials have the same mean_accuracy."


def test_conditional_parameters_and_values_outside_the_range_do_no_harm(gan: MadeRun) -> None:
    draws = np.random.default_rng(0)
    for number in range(24):
        smooth = number % 2
        settings = {
            "lr_g": 5e-5 * 40 ** draws.random(),
            "d_steps": 1 + number % 3 % 2,
            "loss": "non-saturating" if smooth else "hinge",
            **({"label_smoothing": 0.3 * draws.random()} if smooth else {}),
        }
        gan.trial(number, settings, float(100 * settings["lr_g"] + smooth))
    gan.trial(24, {"lr_g": 1.0, "d_steps": 1, "loss": "hinge"}, 1.0, baseline="outside")
    check = importances(gan.opened)
    assert check.sentence.startswith("fANOVA over 24 of 25 trials")
    assert check.sentence.split("training: ")[1].startswith("loss ")
    assert "Not judged" in check.sentence


def test_another_parameter_in_the_lead_at_an_early_rung_is_a_tip(lstm: MadeRun) -> None:
    drawn(lstm, 60, early_by_max_norm=True, stopped=20)
    check = importances_at_rungs(lstm.opened)
    assert (check.code, check.status) == ("WHAT02", "tip")
    assert check.sentence.startswith(
        "The most important parameter, by PED-ANOVA: step 100, 60 trials: max_norm "
    )
    assert "; step 300, 40 trials: lr " in check.sentence
    assert "; the end, 40 trials: lr " in check.sentence


def test_the_same_parameter_at_every_rung_passes(lstm: MadeRun) -> None:
    drawn(lstm, 40)
    assert importances_at_rungs(lstm.opened).status == "passed"


def test_one_budget_alone_cannot_be_compared(lstm: MadeRun) -> None:
    drawn(lstm, 20, stopped=15)
    check = importances_at_rungs(lstm.opened)
    assert check.status == "inconclusive"
    assert "step 300: 5 comparable trials, too few" in check.sentence


def test_an_interval_holds_its_own_value() -> None:
    resampled = [{"lr": 0.9 - place / 100, "max_norm": 0.1 + place / 100} for place in range(24)]
    ends = intervals({"lr": 0.99, "max_norm": 0.2}, resampled)
    assert ends["lr"].low == pytest.approx(0.9 - 0.23 + 0.025 * 0.23)
    assert ends["lr"].high == 0.99
    assert ends["max_norm"] == pytest.approx(np.quantile(0.1 + np.arange(24) / 100, [0.025, 0.975]))
