from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from records.surrogate import Surrogate, ablation_path
from search_spaces import Parameter

FLAT = {
    "a": Parameter(FloatDistribution(0.0, 1.0), "."),
    "b": Parameter(FloatDistribution(1e-3, 1.0, log=True), "."),
    "c": Parameter(CategoricalDistribution(("x", "y", "z")), "."),
}
NESTED = {
    "kind": Parameter(CategoricalDistribution(("plain", "growing")), "."),
    "start": Parameter(FloatDistribution(0.0, 1.0), ".", only_if=("kind", "growing")),
    "rate": Parameter(FloatDistribution(0.0, 1.0), "."),
}


def additive(settings: dict[str, Any]) -> float:
    """A loss to which ``b`` adds most, then ``c``, then ``a``."""
    return -float(
        settings["a"] + 9 * (1 + np.log10(settings["b"]) / 3) + 3 * (settings["c"] == "y")
    )


def draws(n: int, seed: int = 0) -> list[tuple[dict[str, Any], float]]:
    random = np.random.default_rng(seed)
    settings: list[dict[str, Any]] = [
        {
            "a": random.random(),
            "b": 10 ** (-3 * random.random()),
            "c": str(random.choice(["x", "y", "z"])),
        }
        for _ in range(n)
    ]
    return [(one, additive(one)) for one in settings]


def test_the_forest_foresees_a_smooth_function_and_no_noise() -> None:
    assert Surrogate(FLAT, draws(200)).explained > 0.9
    random = np.random.default_rng(0)
    assert Surrogate(FLAT, [(one, float(random.normal())) for one, _ in draws(100)]).explained < 0.2


def test_an_additive_functions_changes_come_in_the_order_of_their_size() -> None:
    start, target = {"a": 0.0, "b": 0.001, "c": "x"}, {"a": 1.0, "b": 1.0, "c": "y"}
    path = ablation_path(FLAT, start, target, draws(200))
    assert [names for names, _ in path] == ["b", "c", "a"]
    assert [settings for _, settings in path] == [
        {"a": 0.0, "b": 1.0, "c": "x"},
        {"a": 0.0, "b": 1.0, "c": "y"},
        target,
    ]


def test_a_change_that_hurts_comes_last() -> None:
    start, target = {"a": 1.0, "b": 0.001, "c": "x"}, {"a": 0.0, "b": 1.0, "c": "y"}
    assert [names for names, _ in ablation_path(FLAT, start, target, draws(200))] == ["b", "c", "a"]


def test_what_is_the_same_and_what_is_no_parameter_is_no_change() -> None:
    start = {"a": 0.5, "b": 0.1, "c": "x", "hidden_dim": 128}
    assert ablation_path(FLAT, start, {**start, "hidden_dim": 64}, draws(20)) == []
    ((names, settings),) = ablation_path(FLAT, start, {"a": 0.5, "b": 0.2, "c": "x"}, draws(20))
    assert (names, settings) == ("b", {"a": 0.5, "b": 0.2, "c": "x"})


@pytest.mark.parametrize("forwards", [True, False])
def test_a_dependent_parameter_changes_with_what_it_depends_on(forwards: bool) -> None:
    plain, growing = {"kind": "plain", "rate": 0.1}, {"kind": "growing", "start": 0.3, "rate": 0.9}
    start, target = (plain, growing) if forwards else (growing, plain)
    path = ablation_path(NESTED, start, target, [])
    assert [names for names, _ in path] == [("kind", "start"), "rate"]
    assert path[-1][1] == target
    for _, settings in path:
        assert ("start" in settings) == (settings["kind"] == "growing")


def test_a_dependent_parameter_changes_alone_where_its_parent_stays() -> None:
    start, target = ({"kind": "growing", "start": value, "rate": 0.5} for value in (0.1, 0.9))
    assert ablation_path(NESTED, start, target, []) == [("start", target)]


def test_losses_that_are_not_finite_and_too_few_trials_do_no_harm() -> None:
    start, target = {"a": 0.0, "b": 0.001, "c": "x"}, {"a": 1.0, "b": 1.0, "c": "y"}
    assert [names for names, _ in ablation_path(FLAT, start, target, [])] == ["a", "b", "c"]
    broken = [(one, float("inf")) for one, _ in draws(30, seed=1)]
    assert [names for names, _ in ablation_path(FLAT, start, target, [*draws(200), *broken])] == [
        "b",
        "c",
        "a",
    ]
    assert len(ablation_path(FLAT, start, target, draws(2))) == 3


def test_the_same_trials_give_the_same_path() -> None:
    start, target = {"a": 0.0, "b": 0.5, "c": "x"}, {"a": 1.0, "b": 0.6, "c": "z"}
    assert ablation_path(FLAT, start, target, draws(30)) == ablation_path(
        FLAT, start, target, draws(30)
    )
