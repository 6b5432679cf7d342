import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from benchmarks.curves import Curves, Ledger, Setting, sobol_settings, write
from benchmarks.search import SPACE
from search_spaces import Parameter, SearchSpace

SMALL = SearchSpace(
    parameters={
        "lr": Parameter(FloatDistribution(0.001, 0.1, log=True), ""),
        "kind": Parameter(CategoricalDistribution(("a", "b", "c")), ""),
        "fraction": Parameter(FloatDistribution(0.0, 4.0), "", only_if=("kind", "a")),
    },
    fixed={},
    baselines={},
)


def setting(
    number: int,
    works: list[float],
    ended: str = "converged",
    needed: float | None = None,
    **values: Any,
) -> Setting:
    rows = [{"report": float(place), "work": work} for place, work in enumerate(works, start=1)]
    return Setting(number, values, rows, ended, needed)


def gower(a: dict[str, Any], b: dict[str, Any], weights: Any) -> float:
    """The distance as its source defines it, one parameter after the other."""
    distance = 0.0
    for weight, (name, parameter) in zip(weights, SPACE.parameters.items(), strict=True):
        one = parameter.distribution
        if name not in a or name not in b:
            continue
        if isinstance(one, CategoricalDistribution):
            distance += weight * (a[name] != b[name])
        elif one.log:  # type: ignore[attr-defined]
            width = math.log(one.high) - math.log(one.low)  # type: ignore[attr-defined]
            distance += weight * abs(math.log(a[name]) - math.log(b[name])) / width
        else:
            distance += weight * abs(a[name] - b[name]) / (one.high - one.low)  # type: ignore[attr-defined]
    return distance


def test_a_longer_sequence_extends_a_shorter_one_and_has_the_parameters_that_apply() -> None:
    settings = sobol_settings(SPACE, 40)
    assert sobol_settings(SPACE, 100)[:40] == settings
    for values in settings:
        assert set(values) == {
            name for name, parameter in SPACE.parameters.items() if parameter.applies(values)
        }
        for name, value in values.items():
            distribution = SPACE.parameters[name].distribution
            assert distribution._contains(distribution.to_internal_repr(value))


def test_any_setting_gets_the_nearest_recorded_one(curves: Curves) -> None:
    for one in curves.settings:
        assert curves.nearest({**one.values, "hidden_dim": 128}) is one
    for asked in sobol_settings(SPACE, 300)[len(curves.settings) :]:
        distances = [gower(asked, dict(one.values), curves.weights) for one in curves.settings]
        assert gower(asked, dict(curves.nearest(asked).values), curves.weights) == pytest.approx(
            min(distances)
        )


def test_what_decides_the_objective_decides_what_is_near(curves: Curves) -> None:
    weights = dict(zip(SPACE.parameters, curves.weights, strict=True))
    assert set(sorted(weights, key=weights.__getitem__)[-2:]) == {"lr", "batch_size"}
    assert sum(weight**2 for weight in weights.values()) == pytest.approx(1)


def test_the_scale_is_the_parameters_own_and_what_does_not_apply_is_left_out() -> None:
    near = setting(0, [1.0], lr=0.01, kind="b", needed=1.0)
    far = setting(1, [1.0], lr=0.1, kind="a", fraction=4.0, needed=1.0)
    curves = Curves(SMALL, [near, far])
    # 0.25 of the logarithmic range, and 0.25001 to the other
    assert curves.nearest({"lr": 0.0316, "kind": "c"}) is near
    assert curves.nearest({"lr": 0.032, "kind": "c"}) is far
    # 1 away, and the other 0.5 + 1
    assert curves.nearest({"lr": 0.01, "kind": "a", "fraction": 0.0}) is near


def test_the_table_comes_back_as_it_was_written_without_what_was_cut_off(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    cut_off = table.drop(table.index[table["setting"] == 3][-1])
    write(cut_off, tmp_path / "curves.csv.gz")
    settings = Curves.read(tmp_path / "curves.csv.gz", SPACE).settings
    assert [one.number for one in settings] == [number for number in range(64) if number != 3]
    expected = sobol_settings(SPACE, 64)
    for one in settings:
        assert list(one.values) == list(expected[one.number])
        for name, value in one.values.items():
            same = expected[one.number][name]
            assert value == (pytest.approx(same, rel=1e-4) if isinstance(same, float) else same)
        mine = table[table["setting"] == one.number]
        assert [row["work"] for row in one.rows] == pytest.approx(list(mine["work"]), rel=1e-4)
        assert (one.work_to_converge is None) == (mine["ended"].iloc[-1] == "budget")
    first = (tmp_path / "curves.csv.gz").read_bytes()
    write(cut_off, tmp_path / "curves.csv.gz")
    assert (tmp_path / "curves.csv.gz").read_bytes() == first


def test_a_table_of_another_space_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="recorded over another space, without kind, fraction"):
        Curves.read(path, SMALL)


def test_the_ledger_counts_what_was_trained_and_when_it_was_found() -> None:
    poor = setting(0, [10.0, 20.0, 40.0], ended="budget", lr=0.001, kind="b")
    slow = setting(1, [10.0, 30.0], needed=30.0, lr=0.01, kind="b")
    best = setting(2, [5.0, 10.0], needed=8.0, lr=0.1, kind="b")
    ledger = Ledger(Curves(SMALL, [poor, slow, best]), budget=100.0)
    ledger.report(poor, 1)
    ledger.report(poor, 2)  # stopped here
    assert (ledger.spent, ledger.trials, ledger.found) == (20.0, 1, {})
    ledger.report(slow, 1)
    ledger.report(slow, 2)
    assert (ledger.spent, ledger.trials, ledger.over) == (50.0, 2, False)
    assert ledger.found == {"converged": 50.0}
    ledger.report(poor, 3, since=2)  # goes on from its checkpoint
    assert (ledger.spent, ledger.trials) == (70.0, 2)
    ledger.report(best, 1)
    ledger.report(best, 2)
    assert (ledger.found, ledger.over) == ({"converged": 50.0, "near best": 80.0}, True)


def test_what_lies_beyond_the_budget_is_not_found() -> None:
    best = setting(0, [5.0, 10.0], needed=8.0, lr=0.1, kind="b")
    ledger = Ledger(Curves(SMALL, [best]), budget=9.0)
    ledger.report(best, 1)
    ledger.report(best, 2)
    assert ledger.over
    assert ledger.found == {}
    assert np.isclose(ledger.spent, 10.0)
