from typing import Any

import pytest
import torch

from trainables.lstm.curriculum import CHECK_EVERY, Curriculum

GROWING: dict[str, Any] = {
    "input_length": 20, "curriculum": "growing", "start_length": 5, "length_growth": 1.5,
    "length_threshold": 0.9,
}  # fmt: skip


def after(curriculum: Curriculum, accuracy: float, checks: int = 1) -> int:
    for _ in range(checks * CHECK_EVERY):
        curriculum.see(torch.tensor(accuracy))
    return curriculum.length


def test_the_length_grows_whenever_the_threshold_is_reached_up_to_the_longest() -> None:
    curriculum = Curriculum.of(GROWING)
    lengths = [after(curriculum, 0.95) for _ in range(5)]
    assert lengths == [8, 12, 18, 20, 20]
    assert not curriculum.solved


def test_it_stays_where_it_is_below_the_threshold() -> None:
    assert after(Curriculum.of(GROWING), 0.89, checks=5) == 5


def test_small_growth_still_moves_on_by_one() -> None:
    assert after(Curriculum.of({**GROWING, "length_growth": 1.05}), 1.0) == 6


def test_without_one_the_whole_length_comes_first() -> None:
    curriculum = Curriculum.of({"input_length": 20, "curriculum": "none"})
    assert curriculum.length == 20
    assert after(curriculum, 0.98) == 20
    assert not curriculum.solved
    after(curriculum, 0.995)
    assert curriculum.solved


def test_a_start_beyond_the_whole_length_is_the_whole_length() -> None:
    assert Curriculum.of({**GROWING, "input_length": 3}).length == 3


@pytest.mark.parametrize("batches", [3, 13])
def test_goes_on_from_its_state(batches: int) -> None:
    one, other = Curriculum.of(GROWING), Curriculum.of(GROWING)
    for _ in range(batches):
        one.see(torch.tensor(0.95))
    other.load_state_dict(one.state_dict())
    for curriculum in (one, other):
        for _ in range(20 - batches):
            curriculum.see(torch.tensor(0.95))
    assert one == other
    assert one.length == 12
