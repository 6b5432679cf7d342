"""A search beside random draws: what the best of n of them would be, and a figure of both."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from opda.nonparametric import EmpiricalDistribution

from reports.figures.style import BEST, MUTED
from reports.figures.traces import Axis, Figure

BAND, CLEAR = "rgba(128,128,128,.25)", "rgba(0,0,0,0)"


def best_of_random(
    losses: Sequence[float], most: int, confidence: float = 0.95
) -> NDArray[np.float64]:
    """The median of the least of n random losses, for n from 1 to ``most``: a lower bound, an
    estimate and an upper bound, shape (3, most).

    All bounds hold together with this confidence, whatever the distribution of ``losses``; a bound
    that they do not give is infinite.

    Source: Lourie, Cho and He 2024, Show Your Work with Confidence: Confidence Bands for Tuning
    Curves; the bands are Dvoretzky, Kiefer and Wolfowitz's.
    """
    few, estimate, many = EmpiricalDistribution.confidence_bands(
        np.array(losses), confidence, method="dkw"
    )
    counts = np.arange(1, most + 1)
    return np.stack(
        [one.quantile_tuning_curve(counts, minimize=True) for one in (many, estimate, few)]
    )


def beside_random(
    best: Sequence[float],
    random: tuple[Sequence[float], Sequence[float], Sequence[float]],
    y: Axis,
) -> Figure:
    """The best value after each trial, beside what as many random draws reach half of the time.

    ``random``: the two ends of a band and the estimate between them, a value for each trial.
    """
    figure, (low, middle, high) = Figure(), random
    trials = list(range(1, len(best) + 1))

    def stairs(values: Sequence[float], color: str, width: int, **look: Any) -> None:
        line = {"shape": "hv", "color": color, "width": width}
        figure.add("scatter", trials, values, mode="lines", line=line, **look)

    stairs(low, CLEAR, 0, showlegend=False, hoverinfo="skip")
    fill = {"fill": "tonexty", "fillcolor": BAND, "hoverinfo": "skip"}
    stairs(high, CLEAR, 0, name="95% band of the median", **fill)
    stairs(middle, MUTED, 1, name="best of as many random draws, median")
    stairs(best, BEST, 2, name="this search")
    figure.axis("xaxis", "trials, without baselines")
    figure.scale(y=y)
    return figure
