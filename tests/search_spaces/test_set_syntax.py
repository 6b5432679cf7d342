"""What ``--set`` prints is what it reads."""

from hypothesis import given
from hypothesis import strategies as st

from search_spaces.set_syntax import Range, override_text, parse_overrides

numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(
    low=numbers, high=numbers, log=st.sampled_from((None, True, False)), step=st.none() | numbers
)
def test_a_range_reads_back_as_it_was_written(
    low: float, high: float, log: bool | None, step: float | None
) -> None:
    wanted = Range(low, high, log, step)
    assert parse_overrides([override_text("x", wanted)]) == {"x": wanted}


@given(
    st.lists(
        st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53),
        min_size=1,
        max_size=5,
    )
)
def test_choices_read_back_as_they_were_written(values: list[float]) -> None:
    (tokens,) = parse_overrides(["x=" + ",".join(map(repr, values))]).values()
    assert isinstance(tokens, tuple)
    assert [float(token) for token in tokens] == values
    assert parse_overrides([override_text("x", tokens)]) == {"x": tokens}
