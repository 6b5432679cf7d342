import pytest

from search_spaces import SearchSpace
from search_spaces.lstm import SPACES
from trainables.lstm.trainable import LSTMTrial


@pytest.mark.parametrize("key", SPACES)
class TestEverySpace:
    @pytest.fixture
    def space(self, key: tuple[str, str]) -> SearchSpace:
        return SPACES[key]

    def test_known_settings_name_every_parameter_inside_its_range(self, space: SearchSpace) -> None:
        for settings in space.baselines.values():
            assert set(settings) == {
                name for name, parameter in space.parameters.items() if parameter.applies(settings)
            }
            for name, value in settings.items():
                distribution = space.parameters[name].distribution
                assert distribution._contains(distribution.to_internal_repr(value)), (name, value)

    def test_nothing_is_both_varied_and_fixed(self, space: SearchSpace) -> None:
        assert not set(space.parameters) & set(space.fixed)

    def test_every_parameter_has_its_reason(self, space: SearchSpace) -> None:
        assert all(len(parameter.reason) > 40 for parameter in space.parameters.values())

    def test_a_trial_can_be_built_from_it(self, space: SearchSpace, key: tuple[str, str]) -> None:
        settings = next(iter(space.baselines.values()))
        config = {
            **settings,
            **space.fixed,
            "model": key[0],
            "input_length": 3,
            "max_steps": 1,
            "seed": 0,
        }
        assert LSTMTrial(config).step()["ended"] == "budget"


def test_the_coursework_settings_are_tried_first() -> None:
    assert list(SPACES["lstm", "core"].baselines.values()) == [
        {"lr": 0.001, "max_norm": 10.0},
        {"lr": 0.0015, "max_norm": 0.1},
        {"lr": 0.005, "max_norm": 0.01},
    ]
