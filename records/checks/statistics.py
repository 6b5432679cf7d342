"""The formulas that the checks rest on, each with its source."""

import math
from collections.abc import Sequence
from statistics import mean, stdev, variance

from records.checks.check import Interval


def fraction_interval(count: int, n: int, confidence: float = 0.95) -> Interval:
    """Clopper and Pearson's exact interval for the fraction behind a sample, ``count`` of ``n``."""
    from scipy.stats import binomtest

    found = binomtest(count, n).proportion_ci(confidence, "exact")
    return Interval(float(found.low), float(found.high))


def mean_interval(values: Sequence[float]) -> Interval:
    """Student's interval for the mean of the distribution of two or more ``values``."""
    middle, half = mean(values), half_width(stdev(values), len(values))
    return Interval(middle - half, middle + half)


def half_width(spread: float, n: int, confidence: float = 0.95) -> float:
    """Half the width of Student's interval for the mean of ``n`` values with the standard deviation
    ``spread``."""
    from scipy.stats import t

    return float(t.ppf((1 + confidence) / 2, n - 1)) * spread / math.sqrt(n)


def welch_interval(
    first: Sequence[float], second: Sequence[float], confidence: float = 0.95
) -> Interval:
    """Welch's interval for the mean of ``first`` minus that of ``second``, whose spreads may
    differ: two or more values each, not all equal in both.

    Source: Student's t with Welch and Satterthwaite's degrees of freedom
    (a + b)² / (a² / (n − 1) + b² / (m − 1)), where a = s² / n and b = r² / m.
    """
    from scipy.stats import t

    n, m = len(first), len(second)
    a, b = variance(first) / n, variance(second) / m
    freedom = (a + b) ** 2 / (a**2 / (n - 1) + b**2 / (m - 1))
    half = float(t.ppf((1 + confidence) / 2, freedom)) * math.sqrt(a + b)
    middle = mean(first) - mean(second)
    return Interval(middle - half, middle + half)


def prediction_half_width(values: Sequence[float], confidence: float = 0.95) -> float:
    """Half the width of the interval, around the mean of two or more normal ``values``, in which
    one more value of the same distribution lies.

    Source: Student's t with the variance of a value and of the mean, s² (1 + 1 / n).
    """
    n = len(values)
    return half_width(stdev(values), n, confidence) * math.sqrt(n + 1)
