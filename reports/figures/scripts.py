"""Interactive figures as scripts, each of which a page loads when the reader scrolls to it.

A page opened from a disk may not fetch data. So a figure's data come as a script that hands them to
``static/report.js``.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

from reports.figures.traces import Figure

Variant = tuple[str, Figure]
"""The words of a choice, and the figure that it shows."""
Drawn = tuple[str, str, list[Variant]]
"""A title, an alternative text, and the figures to choose between."""


@dataclass(frozen=True)
class Plot:
    """An interactive figure on a page.

    Attributes:
        alt: What it shows, for those who cannot see it.
        variants: By each script's path without its ending, the words of the choice between them.
        filtered: Whether its points are trials, which the page's filter hides and shows.
    """

    title: str
    alt: str
    variants: dict[str, str]
    filtered: bool = True


def write_variants(name: str, figures: Iterable[Variant], folder: Path) -> dict[str, str]:
    """Write figures as scripts under ``folder``, numbered after ``name``.

    A metric's name is in no file's name, since it may have any letters and any length. Returns
    ``Plot.variants``: the figures that are not empty.
    """
    variants = {}
    for place, (words, figure) in enumerate(figures):
        if figure.data:
            variants[file := f"{name}-{place}"] = words
            content = {"data": figure.data, "layout": figure.layout}
            text = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY).decode()
            script = f"report.figure({json.dumps(file)}, {text});\n"
            (folder / f"{file}.js").write_text(script, encoding="utf-8")
    return variants
