"""Whether the best settings of one run are better than another run's, against SciPy and a
simulation."""

import math
import shutil
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from records.run import Run
from records.store import write_json
from records.versus_run import BUDGET, Comparison, VersusRun, compare_runs
from tests.records.checks.conftest import MadeRun
from tests.records.checks.conftest import gan as gan
from tests.records.checks.conftest import lstm as lstm
from tests.support.skewed import welch_interval

OWN = {"lr": 0.01, "max_norm": 1.0}
GOOD, POOR = [0.95, 0.93, 0.94, 0.96, 0.95], [0.71, 0.75, 0.73, 0.74, 0.7]
Made = Callable[..., Run]


@pytest.fixture
def made(lstm: MadeRun, tmp_path: Path) -> Made:
    """Makes a run with these values of the objective on fresh seeds; None: the training failed."""

    def make(
        name: str, values: Sequence[float | None], finalists: int = 1, length: int = 5, **about: Any
    ) -> Run:
        shutil.rmtree(lstm.run.path / "confirmation", ignore_errors=True)
        fixed = {"input_length": length, "model": "lstm", BUDGET: 900, "hidden_dim": 128}
        options = {"input_length": length, "model": "lstm", **about.pop("options", {})}
        lstm.describe(**{"fixed": fixed, "options": options, **about})
        for number in range(finalists):
            lstm.trial(number, OWN, 0.9 - number / 100)
        rows: list[dict[str, Any]] = [
            {} if one is None else {"mean_accuracy": one, "test_accuracy": one} for one in values
        ]
        place = 0
        for number in range(finalists):
            for seed, row in enumerate(rows):
                fresh: dict[str, Any] = {"confirms": number, "seed": 900_000 + seed}
                value, ended = row.get("mean_accuracy"), "budget" if row else "error"
                run = lstm.run.confirmation()
                lstm.trial(place, OWN, value, ended=ended, run=run, row=row, **fresh)
                place += 1
        return Run(Path(shutil.copytree(lstm.run.path, tmp_path / name)))

    return make


def reasons(found: Comparison) -> dict[str, str]:
    return {run.name: why for run, why in found.alone}


def test_the_difference_of_two_runs_has_welchs_interval_for_skewed_values(made: Made) -> None:
    mine, its = [0.91, 0.82, 0.73, 0.64, 0.9], [0.5, 0.51, 0.49, 0.52]
    found = compare_runs([made("a", mine), made("b", its)])
    (pair,) = found.pairs
    assert (pair.first.name, pair.second.name, pair.metric) == ("a", "b", "mean_accuracy")
    assert pair.interval == pytest.approx(welch_interval(mine, its))
    assert (pair.verdict, found.alone, found.tasks) == ("yes", [], [""])
    assert compare_runs([pair.second, pair.first]).pairs[0].verdict == "no"


def test_all_pairs_and_all_finalists_share_the_5_percent(made: Made) -> None:
    runs = [made("a", GOOD, finalists=2), made("b", POOR, finalists=3), made("c", POOR)]
    pairs = compare_runs(runs).pairs
    assert [pair.shared for pair in pairs] == [9, 6, 9]
    assert pairs[0].interval == pytest.approx(welch_interval(GOOD, POOR, 1 - 0.05 / 9))
    assert [pair.verdict for pair in pairs] == ["yes", "yes", "not shown"]


def test_runs_of_other_lengths_or_budgets_had_other_tasks(made: Made) -> None:
    five, six = made("five", GOOD), made("six", POOR, length=6)
    found = compare_runs([five, six])
    assert found.pairs == []
    assert reasons(found) == {
        "five": "no other run with 4 or more fresh seeds has input_length 5",
        "six": "no other run with 4 or more fresh seeds has input_length 6",
    }
    longer = made("longer", GOOD, fixed={"input_length": 5, "model": "lstm", BUDGET: 9_000})
    assert "has max_steps 9,000" in reasons(compare_runs([five, longer]))["longer"]


def test_other_goals_and_other_judges_are_other_tasks(made: Made) -> None:
    goal = {"metric": "test_accuracy", "at": "least", "bound": 0.5}
    runs = [made("a", GOOD), made("b", POOR, goal=goal)]
    assert "has goal test_accuracy 0.5" in reasons(compare_runs(runs))["b"]
    judged = [made(name, GOOD, judges={"final": {"print": name}}) for name in ("c", "d")]
    assert compare_runs(judged).pairs == []
    assert reasons(compare_runs(judged))["c"].endswith("has these prepared judges")
    assert reasons(compare_runs([runs[0], judged[0]]))["a"].endswith("no prepared judges")


def test_a_setting_that_is_another_on_fresh_seeds_must_be_the_same_one(made: Made) -> None:
    fixed = {"input_length": 5, "model": "lstm", BUDGET: 900, "lr": 0.5}
    found = reasons(compare_runs([made("a", GOOD), made("b", GOOD, fixed=fixed)]))
    assert found["b"].endswith("has on fresh seeds lr 0.01")


def test_settings_that_are_no_options_and_those_of_the_answer_may_differ(made: Made) -> None:
    fixed = {"input_length": 5, "model": "rnn", BUDGET: 900, "hidden_dim": 64}
    runs = [made("a", GOOD), made("b", POOR, fixed=fixed, options={"model": "rnn"})]
    assert "has model rnn" in reasons(compare_runs(runs))["b"]
    assert [one.verdict for one in compare_runs(runs, ("model",)).pairs] == ["yes"]


def test_two_tasks_of_two_runs_each_are_told_apart(made: Made) -> None:
    runs = [made(f"{length}-{n}", GOOD, length=length) for length in (5, 6) for n in (1, 2)]
    found = compare_runs(runs)
    assert found.tasks == ["input_length 5", "input_length 6"]
    assert [pair.shared for pair in found.pairs] == [2, 2]


def test_runs_of_other_objectives_are_compared_by_the_goals_metric(made: Made) -> None:
    objectives = [{"metric": "log_work", "mode": "min"}]
    accuracy = [{"metric": "mean_accuracy", "mode": "max"}]
    other = made("b", GOOD, objectives=objectives)
    write_json(other.path / "best" / "metrics.json", {"trial": 0})
    (pair,) = compare_runs([made("a", POOR, objectives=accuracy), other]).pairs
    assert (pair.metric, pair.better, pair.verdict) == ("test_accuracy", 1, "no")


def test_too_few_fresh_seeds_are_not_compared(made: Made) -> None:
    found = reasons(compare_runs([made("a", GOOD), made("b", GOOD[:3]), made("c", [])]))
    assert found == {
        "b": "its best settings have 3 fresh seeds, and a comparison takes 4",
        "c": "its best settings have 0 fresh seeds, and a comparison takes 4",
        "a": "no other has 4 or more fresh seeds",
    }


@pytest.mark.parametrize("seeds", [4, 5])
@pytest.mark.parametrize("spoilt", [None, 0.7])
def test_without_an_interval_each_seed_must_be_better_than_each_other(
    made: Made, seeds: int, spoilt: float | None
) -> None:
    """After a failed training, or if nothing varies; as Mann and Whitney's exact test has it."""
    (pair,) = compare_runs([made("a", [0.9] * seeds), made("b", [spoilt] + [0.7] * 4)]).pairs
    assert pair.interval is None
    assert (pair.difference is None) == (spoilt is None)
    exact = mannwhitneyu(range(seeds), range(10, 15), method="exact").pvalue
    assert exact <= 0.05
    assert pair.verdict == "yes"
    mixed = compare_runs([made("c", [0.9] * 4 + [0.5]), made("d", [None] + [0.7] * 4)]).pairs
    assert mixed[0].verdict == "not shown"


def test_too_few_ranks_for_so_many_pairs_show_nothing(made: Made) -> None:
    runs = [made("a", [0.9] * 4), made("b", [0.8] * 4), made("c", [0.7] * 4)]
    assert {pair.verdict for pair in compare_runs(runs).pairs} == {"not shown"}  # 1 in 35 each


def test_a_metric_to_minimize_is_better_if_it_is_lower(gan: MadeRun, tmp_path: Path) -> None:
    runs = []
    for name, values in (("a", [3.0, 3.1, 2.9, 3.0]), ("b", [9.0, 9.3, 9.1, 9.2])):
        shutil.rmtree(gan.run.path / "confirmation", ignore_errors=True)
        gan.trial(0, {"lr_d": 0.1}, 3.0)
        gan.confirmed(0, {"lr_d": 0.1}, [{"fd": value} for value in values])
        runs.append(Run(Path(shutil.copytree(gan.run.path, tmp_path / name))))
    (pair,) = compare_runs(runs).pairs
    assert pair.verdict == "yes"
    assert pair.difference == pytest.approx(-6.15)


NOBODY = cast(Run, None)
"""A comparison of values needs no run."""


def rate_of_alarms(trials: int, *samples: tuple[int, int, float], seed: int) -> float:
    """How often any two runs of equal settings differ. Each run: finalists, seeds and spread.

    The best finalist of each run is chosen on its seeds.
    """
    draws, alarms = np.random.default_rng(seed), 0
    shared = max(finalists for finalists, _, _ in samples) * math.comb(len(samples), 2)
    for _ in range(trials):
        best = [
            tuple(max(draws.normal(scale=spread, size=(finalists, seeds)).tolist(), key=sum))
            for finalists, seeds, spread in samples
        ]
        pairs = (VersusRun(NOBODY, NOBODY, "m", two, 1, shared) for two in combinations(best, 2))
        alarms += any(pair.verdict != "not shown" for pair in pairs)
    return alarms / trials


@pytest.mark.parametrize(
    ("finalists", "spreads", "most"),
    [
        (1, (1, 1), 0.05),
        (1, (1, 3), 0.06),
        pytest.param(1, (1, 1, 2), 0.05, marks=pytest.mark.slow),
        pytest.param(3, (1, 2, 1), 0.05, marks=pytest.mark.slow),
        pytest.param(2, (1, 1, 1, 1), 0.05, marks=pytest.mark.slow),
    ],
)
def test_at_most_1_comparison_in_20_finds_a_difference_that_is_not_there(
    finalists: int, spreads: Sequence[float], most: float
) -> None:
    samples = [(finalists, 5, spread) for spread in spreads]
    assert rate_of_alarms(6000 // math.comb(len(spreads), 2), *samples, seed=2) <= most


@pytest.mark.parametrize(("seeds", "least", "most"), [(3, 0.062, 0.09), (4, 0.045, 0.072)])
def test_three_seeds_beside_many_would_be_too_few(seeds: int, least: float, most: float) -> None:
    """So a comparison takes four (LEAST_SEEDS): docs/report.md has these rates."""
    assert least < rate_of_alarms(3000, (1, seeds, 1), (1, 20, 1), seed=3) < most


def test_a_difference_that_is_there_is_found() -> None:
    draws, found = np.random.default_rng(3), 0
    for _ in range(300):
        two = (tuple(draws.normal(3, size=5).tolist()), tuple(draws.normal(0, size=5).tolist()))
        found += VersusRun(NOBODY, NOBODY, "metric", two, 1, 1).verdict == "yes"
    assert found / 300 > 0.9
