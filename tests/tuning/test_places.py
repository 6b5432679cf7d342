import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tuning.places import at, ordered_choices, place, range_text

LOG, LINEAR, WHOLE = FloatDistribution(1e-4, 1e-1, log=True), FloatDistribution(0.0, 0.3), IntDistribution(2, 10)


def test_a_place_is_on_the_ranges_own_scale() -> None:
    assert place(1e-4, LOG) == 0
    assert place(1e-2, LOG) == pytest.approx(2 / 3)
    assert place(0.1, LINEAR) == pytest.approx(1 / 3)
    assert place(6, WHOLE) == 0.5
    assert place(1.0, LOG) == pytest.approx(4 / 3)  # known settings may lie outside


def test_choices_have_places_where_all_are_numbers() -> None:
    assert [place(value, CategoricalDistribution((0.9, 0.0, 0.5))) for value in (0.0, 0.5, 0.9)] == [0, 0.5, 1]
    assert place("hinge", CategoricalDistribution(("hinge", "plain"))) is None
    assert place(True, CategoricalDistribution((True, False))) is None
    assert ordered_choices(CategoricalDistribution((True, 1))) == []
    assert place(7, CategoricalDistribution((1, 2))) is None


@pytest.mark.parametrize("value", [None, "fast", 0.0, -1.0])
def test_what_lies_on_no_scale_has_no_place(value: object) -> None:
    assert place(value, LOG) is None


@given(st.floats(0, 1))
def test_at_is_the_reverse_of_place(share: float) -> None:
    for distribution in (LOG, LINEAR):
        assert place(at(share, distribution), distribution) == pytest.approx(share, abs=1e-9)


def test_a_stretch_is_written_as_the_command_line_takes_it() -> None:
    assert range_text("lr", LOG, 0.0123456, 0.1) == "lr=0.0123..0.1:log"
    assert range_text("label_smoothing", LINEAR, 0.0, 0.25) == "label_smoothing=0..0.25"
    assert (at(0.5, WHOLE), range_text("start_length", WHOLE, 2, 6)) == (6, "start_length=2..6")
