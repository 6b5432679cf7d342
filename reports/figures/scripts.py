"""Interactive figures as scripts, each of which a page loads when the reader scrolls to it.

A page opened from a disk may not fetch data. So a figure's data come as a script that hands them to
``static/report.js``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from reports.figures.traces import Figure


@dataclass(frozen=True)
class Plot:
    """An interactive figure on a page.

    Attributes:
        alt: What it shows, for those who cannot see it.
        variants: By the words of the choice between them, each script's path without its ending.
        filtered: Whether its points are trials, which the page's filter hides and shows.
    """

    title: str
    alt: str
    variants: dict[str, str]
    filtered: bool = True


def write_variants(figures: Mapping[str, tuple[str, Figure]], folder: Path) -> dict[str, str]:
    """Write figures as scripts under ``folder``.

    ``figures``: by the script's path without its ending, the words of the choice and the figure.
    Returns the path of each figure that is not empty, by its words.
    """
    variants = {}
    for name, (words, figure) in figures.items():
        if figure.data:
            variants[words] = name
            content = {"data": figure.data, "layout": figure.layout}
            text = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY).decode()
            script = f"report.figure({json.dumps(name)}, {text});\n"
            (folder / f"{name}.js").write_text(script, encoding="utf-8")
    return variants
