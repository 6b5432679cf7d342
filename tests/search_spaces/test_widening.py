"""The override behind "search beyond this edge"."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search_spaces import Parameter, SearchSpace
from search_spaces.gan import SPACES as GAN_SPACES
from search_spaces.lstm import SPACES as LSTM_SPACES
from search_spaces.overrides import override
from search_spaces.set_syntax import parse_overrides
from search_spaces.widening import End, widened

SPACES = [*[LSTM_SPACES["lstm", size] for size in ("core", "extended")], *GAN_SPACES.values()]


def changed(space: SearchSpace, text: str) -> SearchSpace:
    return override(space, parse_overrides([text]))


@pytest.mark.parametrize(
    ("distribution", "end", "text"),
    [
        (FloatDistribution(1e-4, 1e-1, log=True), "upper", "x=0.0001..1:log"),
        (FloatDistribution(5e-5, 2e-3, log=True), "lower", "x=5e-06..0.002:log"),
        (FloatDistribution(0.0, 0.3), "upper", "x=0..0.6:linear"),
        (FloatDistribution(0.0, 0.6), "upper", "x=0..0.8:linear"),  # a fraction stays one
        (FloatDistribution(0.05, 0.5), "lower", "x=0..0.5:linear"),
        (FloatDistribution(2.0, 3.0), "lower", "x=1..3:linear"),
        (FloatDistribution(-2.0, 2.0), "lower", "x=-6..2:linear"),
        (FloatDistribution(1.0, 2.0, step=0.25), "upper", "x=1..3:linear:step=0.25"),
        (FloatDistribution(0.25, 0.75, step=0.5), "lower", None),
        (FloatDistribution(0.0, 1.0), "lower", None),
        (IntDistribution(32, 256), "lower", "x=1..256:linear"),
        (IntDistribution(32, 256, step=32), "lower", None),
        (IntDistribution(32, 256, log=True), "lower", "x=3..256:log"),
        (IntDistribution(32, 256, log=True), "upper", "x=32..2560:log"),
        (IntDistribution(1, 4), "lower", None),
        (CategoricalDistribution((32, 64, 128)), "upper", "x=32,64,128,192"),
        (CategoricalDistribution((32, 64, 128)), "lower", "x=16,32,64,128"),
        (CategoricalDistribution((1, 2)), "upper", "x=1,2,3"),
        (CategoricalDistribution((0, 1, 2)), "lower", None),
        (CategoricalDistribution((0.0, 0.5, 0.9)), "upper", "x=0,0.5,0.9,0.95"),
        (CategoricalDistribution((0.9, 0.99, 0.999)), "upper", "x=0.9,0.99,0.999,0.9995"),
        (CategoricalDistribution((1.0, 0.8, 0.5)), "lower", "x=0.2,0.5,0.8,1"),
        (CategoricalDistribution((1.0, 0.8, 0.5)), "upper", "x=0.5,0.8,1,1.2"),
        (CategoricalDistribution((1.0,)), "upper", None),
        (CategoricalDistribution(("a", "b")), "upper", None),
    ],
)  # fmt: skip
def test_goes_on_where_there_is_something_beyond(
    distribution: BaseDistribution, end: End, text: str | None
) -> None:
    if text is None:
        with pytest.raises(ValueError, match=r"x takes|x cannot be below|there is no step"):
            widened("x", distribution, end)
    else:
        assert widened("x", distribution, end) == text


@pytest.mark.parametrize("end", ["lower", "upper"])
@pytest.mark.parametrize(
    ("space", "name"),
    [(s, n) for s in SPACES for n in s.parameters],
)
def test_the_space_takes_it_again_and_again_and_it_only_grows(
    space: SearchSpace, name: str, end: End
) -> None:
    distribution = space.parameters[name].distribution
    for _ in range(4):
        try:
            text = widened(name, distribution, end, space.parameters[name].at_least)
        except ValueError:
            assert end == "lower" or any(
                isinstance(choice, str) for choice in getattr(distribution, "choices", ())
            )
            return
        wider = changed(space, text).parameters[name].distribution
        number: Any = distribution
        ends = getattr(distribution, "choices", None) or (number.low, number.high)
        for value in ends:
            assert wider._contains(wider.to_internal_repr(value))
        assert wider != distribution
        assert getattr(wider, "log", False) == getattr(distribution, "log", False)
        distribution = wider


@given(
    low=st.floats(1e-6, 1e3),
    width=st.floats(1e-3, 1e3),
    log=st.booleans(),
    end=st.sampled_from(("lower", "upper")),
)
def test_one_end_moves_and_the_other_stays(low: float, width: float, log: bool, end: End) -> None:
    before = FloatDistribution(low, low + width, log=log)
    space = SearchSpace({"x": Parameter(before, "")}, {}, {})
    after = changed(space, widened("x", before, end)).parameters["x"].distribution
    assert isinstance(after, FloatDistribution)
    assert after.log == log
    assert (after.low == before.low) == (end == "upper")
    assert (after.high == before.high) == (end == "lower")
    assert after.low <= before.low < before.high <= after.high
    assert after.low >= 0
    if log:
        assert math.isclose(after.high / after.low, 10 * before.high / before.low, rel_tol=1e-9)
