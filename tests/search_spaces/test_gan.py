from typing import Any

import pytest

from search_spaces.gan import SPACES, STEPS
from trainables.gan.images import NAMES


@pytest.mark.parametrize("space", ["core", "extended"])
def test_known_settings_lie_in_their_space_and_say_all_that_applies(space: str) -> None:
    searched = SPACES[space]
    for values in searched.baselines.values():
        for name, parameter in searched.parameters.items():
            assert (name in values) == parameter.applies(values), name
            if name in values:
                assert parameter.distribution._contains(
                    parameter.distribution.to_internal_repr(values[name])
                )


def test_core_is_what_the_coursework_could_have_tuned_and_its_own_settings_come_first() -> None:
    core = SPACES["core"]
    assert list(core.parameters) == ["lr_g", "lr_d", "beta1", "beta2", "batch_size", "latent_dim"]
    for space in SPACES.values():
        first: dict[str, Any] = {**space.fixed, **next(iter(space.baselines.values()))}
        wanted: dict[str, Any] = {
            "lr_g": 2e-4,
            "lr_d": 2e-4,
            "beta1": 0.9,
            "beta2": 0.999,
            "batch_size": 64,
            "latent_dim": 100,
        }
        wanted |= {
            "loss": "non-saturating",
            "ema": 0,
            "regulariser": "none",
            "shift": 0,
            "lr_decay": "none",
            "d_steps": 1,
        }
        assert {name: first[name] for name in wanted} == wanted


def test_a_parameter_is_searched_only_beside_the_choice_that_gives_it_a_meaning() -> None:
    extended = SPACES["extended"]
    conditions = {name: p.only_if for name, p in extended.parameters.items() if p.only_if}
    assert conditions == {
        "penalty": ("loss", "relativistic"),
        "label_smoothing": ("loss", "non-saturating"),
        "dropout": ("regulariser", "dropout"),
    }
    order = list(extended.parameters)
    assert all(order.index(parent) < order.index(name) for name, (parent, _) in conditions.items())


def test_every_range_has_its_reason_and_every_data_set_its_budget() -> None:
    assert all(len(p.reason) > 30 for space in SPACES.values() for p in space.parameters.values())
    assert set(STEPS) == set(NAMES)
