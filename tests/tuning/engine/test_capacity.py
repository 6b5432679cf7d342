"""Room for trials that is not there: what is said, and when the search gives up."""

from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial

from tuning.engine import capacity
from tuning.engine.capacity import Capacity
from tuning.trouble import Trouble


def trials(*states: str) -> Any:
    return [SimpleNamespace(status=state) for state in states]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(capacity, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_a_wait_for_room_is_said_until_a_trial_runs(clock: SimpleNamespace) -> None:
    room = Capacity({"CPU": 1.0, "GPU": 0.5})
    room.on_step_end(1, trials(Trial.PENDING, Trial.TERMINATED))
    clock.now += 5
    room.on_step_end(2, trials(Trial.PENDING, Trial.TERMINATED))
    assert room.words() is None  # a worker's own start takes as long
    clock.now += 40
    room.on_step_end(3, trials(Trial.PENDING, Trial.TERMINATED))
    assert room.words() == "waiting for 1 CPU and 0.5 GPU, 45 s so far"
    room.on_step_end(4, trials(Trial.PENDING, Trial.RUNNING))
    assert room.words() is None


@pytest.mark.parametrize(
    "states", [(), (Trial.TERMINATED,), (Trial.RUNNING, Trial.PENDING), (Trial.PAUSED,)]
)
def test_nothing_waits_for_room_if_a_trial_runs_or_none_is_to_start(
    clock: SimpleNamespace, states: tuple[str, ...]
) -> None:
    room = Capacity({"CPU": 1.0})
    for _ in range(3):
        room.on_step_end(1, trials(*states))
        clock.now += 10_000
    assert room.words() is None


def test_no_room_for_too_long_ends_the_search(clock: SimpleNamespace) -> None:
    room = Capacity({"CPU": 1.0})
    room.on_step_end(1, trials(Trial.PENDING))
    clock.now += capacity.GIVE_UP_AFTER_S + 1
    with pytest.raises(Trouble, match=r"no node .* room for a trial \(1 CPU\) for 10 minutes"):
        room.on_step_end(2, trials(Trial.PENDING))
