"""A trial's loss at a rung, against the value that Ray's ASHA has there."""

import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from ray.tune.schedulers.async_hyperband import _Bracket

from records.finished_trial import FinishedTrial


def trial(costs: list[float], losses: list[float], ended: str = "stopped early") -> FinishedTrial:
    curve = np.array([costs, losses]).T.reshape(-1, 2)
    loss = losses[-1] if losses else math.inf
    return FinishedTrial(0, {}, 0.0, {}, ended, None, {}, curve, loss, None)


@pytest.mark.parametrize("costs", [[100, 200, 300], [70, 140, 210, 350], [140, 310], [99.5, 299.5]])
def test_its_loss_at_a_rung_is_what_asha_compares_there(costs: list[float]) -> None:
    losses = [1 / (1 + place) for place in range(len(costs))]
    bracket = _Bracket(min_t=100, max_t=900, reduction_factor=3, s=0)
    for cost, loss in zip(costs, losses, strict=True):
        bracket.on_result(cast(Any, SimpleNamespace(trial_id="0")), cast(Any, cost), -loss)
    on_rungs = {milestone: recorded["0"] for milestone, recorded in bracket._rungs if recorded}
    found = {rung: trial(costs, losses).loss_at(rung) for rung in (100, 300, 900)}
    assert {rung: -loss for rung, loss in found.items() if math.isfinite(loss)} == on_rungs


def test_one_that_converged_before_a_rung_stays_on_it_and_no_other_does() -> None:
    assert trial([100, 200], [0.5, 0.1], "converged").loss_at(300) == 0.1
    assert trial([100, 200], [0.5, 0.1], "diverged").loss_at(300) == math.inf
    assert trial([], [], "error").loss_at(100) == math.inf
