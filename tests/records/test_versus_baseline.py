"""Whether the best settings are better than the best baseline, against SciPy and a simulation."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from records.versus_baseline import VersusBaseline, versus_baseline
from tests.records.checks.conftest import MadeRun
from tests.records.checks.conftest import gan as gan
from tests.records.checks.conftest import lstm as lstm
from tests.support.skewed import paired_interval

OWN = {"lr": 0.01, "max_norm": 1.0}


def trained(made: MadeRun, results: dict[int, list[float | None]], **baselines: str) -> None:
    """Trials with these values of the objective on fresh seeds; the best by the search first."""
    better, place = -1 if made.objective.mode == "min" else 1, 0
    for number, values in results.items():
        own: dict[str, Any] = {**OWN, "trial": number}
        if f"trial_{number}" in baselines:
            own["baseline"] = baselines[f"trial_{number}"]
        made.trial(number, own, better * (1 - number / 100))
        for seed, value in enumerate(values):
            run, ended = made.run.confirmation(), "diverged" if value is None else "budget"
            fresh: dict[str, Any] = {"confirms": number, "seed": 900_000 + seed}
            made.trial(place, own, value, ended=ended, run=run, **fresh)
            place += 1


def answer(made: MadeRun, results: dict[int, list[Any]], **baselines: str) -> VersusBaseline:
    trained(made, results, **baselines)
    found = versus_baseline(made.opened)
    assert found is not None
    return found


HAND_TUNED = {"trial_3": "hand-tuned"}


def test_the_difference_is_paired_by_seed_and_its_interval_allows_for_skewness(
    lstm: MadeRun,
) -> None:
    mine, its = [0.91, 0.82, 0.73, 0.64], [0.81, 0.73, 0.62, 0.55]
    found = answer(lstm, {1: mine, 3: its}, **HAND_TUNED)
    assert found.differences == pytest.approx([0.10, 0.09, 0.11, 0.09])
    assert found.interval == pytest.approx(paired_interval(found.differences))
    assert found.verdict == "yes"
    assert found.words.startswith("yes; mean_accuracy is 0.0975 higher than with “hand-tuned” on")
    assert found.seeds_needed is None


def test_a_baseline_may_be_better(lstm: MadeRun) -> None:
    found = answer(lstm, {1: [0.5, 0.41, 0.3], 3: [0.9, 0.8, 0.7]}, **HAND_TUNED)
    assert found.verdict == "no"
    assert found.interval is not None
    low, high = (f"{-end:.3g}" for end in found.interval)
    assert found.words == (
        "no; mean_accuracy is 0.397 lower than with “hand-tuned” on average over 3 fresh seeds"
        f" (95% interval {high} to {low})"
    )


def test_a_metric_to_minimize_is_better_if_it_is_lower(gan: MadeRun) -> None:
    found = answer(gan, {1: [3.0, 4.1, 5.0], 3: [9.0, 10.0, 11.0]}, **HAND_TUNED)
    assert found.verdict == "yes"
    assert "fd is 5.97 lower than with “hand-tuned”" in found.words


def test_what_is_not_shown_says_how_many_seeds_would_show_it(lstm: MadeRun) -> None:
    found = answer(lstm, {1: [0.9, 0.6, 0.8], 3: [0.7, 0.7, 0.7]}, **HAND_TUNED)
    assert found.verdict == "not shown"
    needed = found.seeds_needed
    assert needed is not None
    differences = np.array(found.differences)
    quantile = 2.5  # of the second answer: 1 - 0.05 / 4
    about = (quantile * differences.std(ddof=1) / differences.mean()) ** 2
    assert about < needed < about + 6


def test_of_what_has_learned_nothing_no_more_seeds_are_asked(lstm: MadeRun) -> None:
    goal = {"metric": "test_accuracy", "at": "least", "bound": 0.99, "chance": 0.1}
    lstm.describe(goal=goal)
    for number, baseline, values in ((1, {}, (0.11, 0.09)), (3, {"baseline": "hand"}, (0.1, 0.1))):
        own: dict[str, Any] = {**OWN, "trial": number, **baseline}
        lstm.trial(number, own, values[0])
        for seed, value in enumerate(values):
            fresh: dict[str, Any] = {"confirms": number, "seed": 900_000 + seed}
            run, row = lstm.run.confirmation(), {"test_accuracy": 0.1}
            lstm.trial(2 * number + seed, own, value + 0.001 * number, run=run, row=row, **fresh)
    found = versus_baseline(lstm.opened)
    assert found is not None
    assert (found.verdict, found.learned, found.seeds_needed) == ("not shown", False, None)
    assert dataclasses.replace(
        found, differences=(0.11, 0.09, 0.3, -0.1, 0.2), learned=True
    ).seeds_needed


def test_differences_that_are_all_equal_show_nothing_but_their_signs(lstm: MadeRun) -> None:
    """Two equal differences would give an interval without width."""
    few = answer(lstm, {1: [0.75, 0.5], 3: [0.5, 0.25]}, **HAND_TUNED)
    assert (few.interval, few.verdict, few.seeds_needed) == (None, "not shown", None)
    assert "better than with “hand-tuned” on 2 of 2 fresh seeds" in few.words


def test_many_equal_differences_show_it_and_none_shows_nothing(lstm: MadeRun, gan: MadeRun) -> None:
    assert answer(lstm, {1: [0.75] * 6, 3: [0.5] * 6}, **HAND_TUNED).verdict == "yes"
    assert answer(gan, {1: [0.75] * 6, 3: [0.75] * 6}, **HAND_TUNED).verdict == "not shown"


def test_a_training_that_broke_has_no_result_whatever_it_had_reported(lstm: MadeRun) -> None:
    trained(lstm, {1: [0.9, 0.8, 0.7], 3: [0.5, 0.41, 0.3]}, **HAND_TUNED)
    broken = lstm.run.confirmation().trial(0)
    record = broken.read()
    assert record is not None
    broken.write(dataclasses.replace(record, ended="error"))
    found = versus_baseline(lstm.opened)
    assert found is not None
    assert (found.interval, found.verdict) == (None, "not shown")
    assert "better than with “hand-tuned” on 2 of 3 fresh seeds, and worse on 1" in found.words


def test_the_interval_of_the_best_of_several_is_wider(lstm: MadeRun) -> None:
    values = {1: [0.91, 0.83, 0.72], 2: [0.2, 0.3, 0.1], 3: [0.8, 0.8, 0.6]}
    found = answer(lstm, values, **HAND_TUNED)
    assert found.compared == 2
    assert found.interval == pytest.approx(paired_interval(found.differences, 0.975))
    assert "wider since the best of 2 was chosen" in found.words


def session(ended: float | None, how: str = "finished") -> dict[str, Any]:
    return {"started": 0.0, "ended": ended, "how": how}


@pytest.mark.parametrize(
    ("sessions", "looks"),
    [
        ([session(40.0)], 1),
        ([session(20.0), session(40.0)], 2),
        ([session(20.0), session(25.0), session(None, "running")], 2),
        ([session(20.0, "interrupted"), session(40.0)], 1),
        ([session(5.0), session(40.0), session(50.0)], 1),  # no seed was added after an answer
    ],
)
def test_seeds_that_were_added_after_an_answer_widen_the_interval(
    lstm: MadeRun, sessions: list[dict[str, Any]], looks: int
) -> None:
    """Three seeds began after 10 seconds, and two after 30."""
    lstm.describe(sessions=sessions)
    values: dict[int, list[float | None]] = {
        1: [0.91, 0.83, 0.72, 0.9, 0.8],
        3: [0.8, 0.8, 0.6, 0.9, 0.7],
    }
    trained(lstm, values, **HAND_TUNED)
    for directory, record in lstm.run.confirmation().trials():
        began = 10.0 if record.config["seed"] < 900_003 else 30.0
        directory.write(dataclasses.replace(record, started=began))
    found = versus_baseline(lstm.opened)
    assert found is not None
    assert found.interval == pytest.approx(paired_interval(found.differences, 1 - 0.05 / looks**2))
    told = ", wider since seeds were added after 1 answer)" in found.words
    assert told == (looks == 2)
    needed = [dataclasses.replace(found, looks=k).seeds_needed for k in (1, 2)]
    assert needed[0] is None or (needed[1] or 0) > needed[0]


def test_adding_seeds_after_an_answer_misleads_in_about_1_case_in_20() -> None:
    """docs/decisions/finalists.md has these rates."""
    draws, alone, all_three, trials = np.random.default_rng(2), 0, 0, 3000
    one: Any = None
    for _ in range(trials):
        every = draws.normal(size=20).tolist()
        told = {
            (look, n): VersusBaseline(
                one, one, "metric", tuple(range(n)), tuple(every[:n]), 1, 1, look, True, True
            ).verdict
            != "not shown"
            for look, n in ((1, 5), (2, 10), (3, 20), (1, 10), (1, 20))
        }
        all_three += told[1, 5] or told[2, 10] or told[3, 20]
        alone += told[1, 5] or told[1, 10] or told[1, 20]
    assert all_three / trials < 0.07 < 0.1 < alone / trials


def test_after_a_failed_training_only_the_signs_count(lstm: MadeRun) -> None:
    few = answer(lstm, {1: [0.9, 0.8, 0.7, 0.9, 0.9], 3: [None, 0.1, 0.1, 0.1, 0.1]}, **HAND_TUNED)
    assert few.verdict == "not shown"  # 5 of 5 signs: 1 in 16
    assert "better than with “hand-tuned” on 5 of 5 fresh seeds" in few.words


def test_enough_signs_show_it(lstm: MadeRun) -> None:
    found = answer(lstm, {1: [0.9] * 6, 3: [None, *[0.1] * 5]}, **HAND_TUNED)
    assert found.verdict == "yes"  # 6 of 6: 1 in 32


def test_without_a_baseline_or_anything_else_there_is_no_answer(lstm: MadeRun) -> None:
    trained(lstm, {1: [0.9, 0.8]})
    assert versus_baseline(lstm.opened) is None


def test_if_the_best_is_a_baseline_the_best_other_settings_are_compared_with_it(
    lstm: MadeRun,
) -> None:
    lstm.winner(3)
    found = answer(lstm, {1: [0.4, 0.4], 2: [0.5, 0.5], 3: [0.9, 0.8]}, **HAND_TUNED)
    assert (found.best.number, found.baseline.number) == (2, 3)


def test_the_interval_misses_the_true_difference_as_rarely_as_it_says() -> None:
    """The best of three settings that are as good as the baseline, chosen on the same seeds."""
    draws, missed, trials = np.random.default_rng(1), 0, 2000
    for _ in range(trials):
        baseline, *others = draws.normal(size=(4, 5))
        best = max(others, key=np.mean)
        one: Any = None
        differences = tuple(map(float, best - baseline))
        found = VersusBaseline(
            one, one, "metric", tuple(range(5)), differences, 1, 3, 1, True, True
        )
        assert found.interval is not None
        missed += not found.interval[0] <= 0 <= found.interval[1]
    assert missed / trials < 0.05
