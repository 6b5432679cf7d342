"""The house style of every figure: one place for colours, sizes and marks.

The colours are Okabe and Ito's, which colour-blind readers tell apart
(https://jfly.uni-koeln.de/color/). Each outcome also has its own mark, so that a figure can be read
without colour.
"""

from collections.abc import Iterator
from itertools import cycle, product
from typing import Any, cast

import matplotlib as mpl

INK, MUTED, GRID = "#222222", "#767676", "#e3e3e3"
BEST, OTHER_MODEL, OWN = "#0072b2", "#cc79a7", "#009e73"
HAND_TUNED = ("#e69f00", "#d55e00", "#7a5c00")
DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
"""Matplotlib's line styles by plotly's names."""
SERIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a5c00", "#767676")
"""Colours for things that have none of their own, such as runs side by side."""


def hand_tuned_lines() -> Iterator[tuple[str, str]]:
    """A colour and plotly's name of a dash for each of any number of hand-tuned trials."""
    return ((color, dash) for dash, color in cycle(product(DASHES, HAND_TUNED)))


RC = {
    "figure.facecolor": "white",
    "figure.dpi": 150,
    "savefig.bbox": "tight",
    "svg.hashsalt": "report",  # the same file for the same figure
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
}


def apply() -> None:
    """Make matplotlib draw in the house style, without a screen."""
    mpl.use("Agg")
    mpl.rcParams.update(cast(Any, RC))
