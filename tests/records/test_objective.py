import math
from typing import Literal

import numpy as np
import optuna
import pytest

from records.objective import Goal, Objective, pareto_front


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("default", [None, 7.0])
def test_many_values_have_the_losses_of_each(
    mode: Literal["max", "min"], default: float | None
) -> None:
    objective = Objective("metric", mode, default)
    values = [0.5, -2.0, None, 0.0]
    each = [objective.loss({"metric": value}) for value in values]
    assert objective.losses(np.array(values, dtype=np.float64)).tolist() == each
    assert objective.losses(np.array([math.inf, -math.inf])).tolist() == [math.inf, math.inf]


def test_the_front_holds_every_trial_that_no_other_beats_in_all() -> None:
    fd, clean = [30, 20, 25, 20, 40, 20], [0.7, 0.6, 0.55, 0.5, 0.9, 0.6]
    assert pareto_front(np.column_stack([fd, -np.array(clean)])) == [1, 5, 0, 4]
    assert pareto_front(np.empty((0, 2))) == []
    random = np.random.default_rng(0).integers(0, 6, size=(200, 3)).astype(float)
    study = optuna.create_study(directions=["minimize"] * 3)
    study.add_trials([optuna.create_trial(values=list(one)) for one in random])
    assert sorted(pareto_front(random)) == [one.number for one in study.best_trials]


def test_a_loss_that_no_row_has_is_on_no_front_but_its_own() -> None:
    assert pareto_front(np.array([[1.0, math.inf], [1.0, 2.0], [math.inf, 1.0]])) == [1, 2]


@pytest.mark.parametrize(
    ("goal", "values", "guessed"),
    [
        (Goal("accuracy", "least", 0.99, chance=0.1), (0.1006, 0.0977), True),
        (Goal("accuracy", "least", 0.99, chance=0.1), (0.1006, 0.16), False),  # one has learned
        (Goal("accuracy", "least", 0.99, chance=0.1), (), False),
        (Goal("accuracy", "least", 0.99), (0.1,), False),  # a guess reaches nobody knows what
        (Goal("accuracy", "least", 0.05, chance=0.1), (0.1,), False),  # no goal at all
        (Goal("loss", "most", 0.5, chance=2.3), (2.31, 2.25), True),
        (Goal("loss", "most", 0.5, chance=2.3), (2.31, 2.0), False),
    ],
)
def test_what_is_hardly_better_than_a_guess(
    goal: Goal, values: tuple[float, ...], guessed: bool
) -> None:
    assert goal.guessed([{goal.metric: value} for value in values]) is guessed
    assert goal.guessed([{goal.metric: value} for value in values] + [{}]) is guessed
