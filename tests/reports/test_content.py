"""The words of a run's page."""

from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution

from records.run import Run
from reports.content import number, scales, settings
from reports.experiments import page_of
from tests.reports.conftest import four, invented, scores


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.9996, 3, "0.9996"), (999.96, 4, "1,000"), (-0.0, 3, "0"), (np.bool_(True), 3, "True")],
)
def test_a_printed_number_is_not_another_one(value: object, digits: int, text: str) -> None:
    assert number(value, digits) == text


def test_a_choice_is_shown_as_what_it_is(tmp_path: Path) -> None:
    space = {name: CategoricalDistribution((None, True, "a")) for name in ("bias", "warm", "left")}
    run = Run.open(invented(tmp_path / "run", [({"bias": True, "warm": None}, scores(0.5))], space))
    for row in (run.trials.iloc[0], run.finished[0].settings):
        assert settings(run, row) == "bias=True warm=None"
    assert settings(run, {"bias": np.bool_(False)}) == "bias=False"


def test_choices_keep_the_order_of_the_space_unless_they_are_numbers(tmp_path: Path) -> None:
    space = {
        "mixed": CategoricalDistribution(("auto", 0.5, None, 0.1)),
        "numbers": CategoricalDistribution((64, 8, 16)),
    }
    run = Run.open(invented(tmp_path / "run", [], space))
    assert scales(run) == {"mixed": ("auto", 0.5, "None", 0.1), "numbers": (8, 16, 64)}


def test_a_goal_is_not_rounded_to_what_is_easier_to_reach(tmp_path: Path) -> None:
    goal = {"metric": "score", "at": "least", "bound": 0.98765}
    seeds = [scores(0.9), scores(0.9877)]
    run = Run.open(invented(tmp_path / "run", four(), fresh_seeds=seeds, goal=goal))
    answer = page_of(run).answer(run)
    assert answer is not None
    assert (answer.goal, answer.reached, answer.seeds) == ("score 0.98765", 1, 2)
