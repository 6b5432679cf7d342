"""Intervals for the mean of skewed values, from SciPy's Student's intervals and skewness and the
roots of Hall's cubic: nothing of ``records.checks.statistics`` is used."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats
from scipy.optimize import brentq

Ends = tuple[float, float]


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Ends:
    """Of the mean of ``values``: each end is the farther one of Student's and Hall's."""
    student, hall = _paired(values, confidence)
    return min(student[0], hall[0]), max(student[1], hall[1])


def paired_interval(values: Sequence[float], confidence: float = 0.95) -> Ends:
    """Of the mean difference: only the end away from zero may be Hall's."""
    return _of_difference(*_paired(values, confidence), float(np.mean(values)))


def welch_interval(
    first: Sequence[float], second: Sequence[float], confidence: float = 0.95
) -> Ends:
    """Of the mean of ``first`` minus that of ``second``, by Welch's test, likewise."""
    found = stats.ttest_ind(first, second, equal_var=False).confidence_interval(confidence)
    third = _third(first) - _third(second)
    centre = float(np.mean(first) - np.mean(second))
    error = math.hypot(stats.sem(first), stats.sem(second))
    student = float(found.low), float(found.high)
    return _of_difference(student, _hall(student, centre, error, third / error**3), centre)


def _paired(values: Sequence[float], confidence: float) -> tuple[Ends, Ends]:
    found = stats.ttest_1samp(values, 0).confidence_interval(confidence)
    student, error = (float(found.low), float(found.high)), float(stats.sem(values))
    return student, _hall(student, float(np.mean(values)), error, _third(values) / error**3)


def _third(values: Sequence[float]) -> float:
    """The third central moment of the mean; 0 if the values cannot tell it."""
    if len(values) < 3 or np.ptp(values) == 0:
        return 0.0
    skewness = float(stats.skew(values, bias=False))
    return skewness * float(stats.sem(values)) ** 3 / math.sqrt(len(values))


def _of_difference(student: Ends, hall: Ends, centre: float) -> Ends:
    if centre > 0:
        return student[0], max(student[1], hall[1])
    return min(student[0], hall[0]), student[1]


def _hall(student: Ends, centre: float, error: float, skewness: float) -> Ends:
    """Where Hall's cubic is Student's quantile."""
    quantile = (student[1] - centre) / error

    def root(wanted: float) -> float:
        def cubic(t: float) -> float:
            return t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / 6 - wanted

        return float(brentq(cubic, -1e6, 1e6))

    return centre - error * root(quantile), centre - error * root(-quantile)
