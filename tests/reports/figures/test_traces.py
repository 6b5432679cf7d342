"""What the traces of interactive figures are made of."""

import math

import pandas as pd

from reports.figures.traces import digits, joined, thinned


def test_values_have_six_digits_and_none_if_they_are_missing() -> None:
    values = [1 / 3, 123456789.0, 0, None, math.nan, math.inf, "word", True]
    assert digits(values) == [0.333333, 123457000.0, 0.0, None, None, None, "word", True]


def test_the_lines_of_two_trials_do_not_touch() -> None:
    lines = joined([(3, [1, 2], [0.5, 0.6]), (7, [1], [0.4])])
    assert lines["x"] == [1, 2, None, 1, None]
    assert lines["y"] == [0.5, 0.6, None, 0.4, None]
    assert lines["trials"] == [3, 3, 3, 7, 7]


def test_a_thinned_curve_keeps_its_last_report() -> None:
    points = pd.DataFrame({"number": [1] * 100 + [2] * 3, "step": [*range(100), *range(3)]})
    kept = thinned(points, 10)
    assert kept[kept["number"] == 1]["step"].tolist() == [*range(0, 100, 10), 99]
    assert kept[kept["number"] == 2]["step"].tolist() == [0, 1, 2]
