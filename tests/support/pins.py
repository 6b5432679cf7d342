"""The versions that requirements.txt and requirements-dev.txt pin."""

import re

from tests.conftest import ROOT

PINS: dict[str, str] = {
    name: version
    for file in ("requirements.txt", "requirements-dev.txt")
    for name, version in re.findall(
        r"^([\w.-]+)(?:\[[\w,]+\])?==(\S+)$", (ROOT / file).read_text("utf-8"), re.MULTILINE
    )
}
"""A package's version, by its name."""


def pins_in(text: str) -> dict[str, str]:
    """What a text pins, in the same form: ``name==version`` or ``name[extra]==version``."""
    return dict(re.findall(r"([A-Za-z][\w.-]*)(?:\[[\w,]+\])?==([\w.]+)", text))
