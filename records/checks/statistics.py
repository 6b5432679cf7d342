"""The formulas that the checks rest on, each with its source."""

import math
from collections.abc import Sequence
from functools import cache
from statistics import mean, stdev
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from records.checks.check import Interval

Points = NDArray[np.float64]


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


def record_chance(n: int, more: int) -> tuple[float, Interval]:
    """The chance, with its interval, that ``more`` trials beat the best of ``n`` drawn alike.

    The chance p that one draw beats the best of n has the distribution Beta(1, n), whatever the
    distribution of the values. The mean of 1 - (1 - p)^more over it is more / (n + more).
    Source: Arnold et al., Records (1998), chapter 2.
    """
    low, high = (1 - (1 - quantile) ** (more / n) for quantile in (0.025, 0.975))
    return more / (n + more), Interval(low, high)


def gap_tail(n: int, gap: float) -> float:
    """The chance that ``n`` uniform draws from [0, 1] leave a stretch longer than ``gap``.

    The stretches between 0, the draws in order, and 1 count. Source: Fisher 1929,
    https://doi.org/10.1098/rspa.1929.0151: the alternating sum of C(n + 1, j) (1 - j gap)^n.
    """
    if gap <= 0 or (n + 1) * (1 - gap) ** n > 20:  # 1 to 8 digits; the sum's terms would cancel
        return 1.0
    terms = [j for j in range(1, min(n + 1, math.floor(1 / gap)) + 1) if j * gap < 1]
    binomials = (math.lgamma(n + 2) - math.lgamma(j + 1) - math.lgamma(n + 2 - j) for j in terms)
    tail = math.fsum(
        math.exp(binomial + n * math.log1p(-j * gap)) * (1 if j % 2 else -1)
        for j, binomial in zip(terms, binomials, strict=True)
    )
    return min(1.0, max(0.0, tail))


def gap_bound(n: int, chance: float) -> float:
    """The stretch that ``n`` uniform draws exceed with probability ``chance``."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if gap_tail(n, middle) > chance else (low, middle)
    return high


class Box(NamedTuple):
    """A rectangle in the unit square."""

    left: float
    right: float
    bottom: float
    top: float

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.top - self.bottom)


def largest_empty_box(points: Points) -> Box:
    """The largest rectangle, parallel to the unit square, without any of the ``points`` (n, 2).

    A rectangle that cannot grow touches a point, or a side of the square, on its left and on its
    right. For each point on the left, the right side moves outwards, and every point that it passes
    lowers the top or lifts the bottom.
    Source: Naamad, Lee and Hsu 1984, https://doi.org/10.1016/0166-218X(84)90124-0
    """
    heights = np.concatenate([[0.0], np.sort(points[:, 1]), [1.0]])
    widest = int(np.argmax(np.diff(heights)))
    boxes = [Box(0.0, 1.0, float(heights[widest]), float(heights[widest + 1]))]
    boxes += [_largest_right_of_a_point(points)]
    mirrored = _largest_right_of_a_point(np.column_stack([1 - points[:, 0], points[:, 1]]))
    boxes += [mirrored._replace(left=1 - mirrored.right, right=1 - mirrored.left)]
    return max(boxes, key=lambda box: box.area)


def _largest_right_of_a_point(points: Points) -> Box:
    ordered = points[np.argsort(points[:, 0], kind="stable")]
    x, y = ordered[:, 0], ordered[:, 1]
    best = Box(0.0, 0.0, 0.0, 0.0)
    for place in range(len(x)):
        right, passed = np.append(x[place + 1 :], 1.0), y[place + 1 :]
        above = passed >= y[place]
        top = np.minimum.accumulate(np.concatenate([[1.0], np.where(above, passed, 1.0)]))
        bottom = np.maximum.accumulate(np.concatenate([[0.0], np.where(above, 0.0, passed)]))
        areas = (right - x[place]) * (top - bottom)
        found = int(np.argmax(areas))
        if areas[found] > best.area:
            best = Box(*map(float, (x[place], right[found], bottom[found], top[found])))
    return best


@cache
def empty_box_bound(n: int, pairs: int) -> float:
    """The area that the largest empty box of ``n`` uniform points exceeds in 1 of 20 cases.

    A case is the worst of ``pairs`` planes. Simulated.
    """
    draws = np.random.default_rng(n)
    repeats = max(40, min(200, 10_000 // n))
    areas = [largest_empty_box(draws.random((n, 2))).area for _ in range(repeats * pairs)]
    return float(np.quantile(np.reshape(areas, (repeats, pairs)).max(axis=1), 0.95))
