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
    band = [*zip(trials, low, strict=True), *reversed([*zip(trials, high, strict=True)])]
    look: dict[str, Any] = {"mode": "lines", "line": {"shape": "hv", "color": MUTED, "width": 1}}
    figure.add(
        "scatter", [x for x, _ in band], [value for _, value in band], mode="lines",
        name="its 95% band", fill="toself", fillcolor=BAND, line={"color": CLEAR},
        hoverinfo="skip",
    )  # fmt: skip
    figure.add("scatter", trials, middle, name="random draws, half of the time", **look)
    look["line"] = {"shape": "hv", "color": BEST, "width": 2}
    figure.add("scatter", trials, best, name="this search", **look)
    figure.axis("xaxis", "trials, without baselines")
    figure.scale(y=y)
    return figure
