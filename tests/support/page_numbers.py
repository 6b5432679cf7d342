"""A page as a tree of elements, and its printed numbers compared with those expected.

It imports nothing of the project: how a page prints a number is written down here once more.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

from tests.support.raw_run import Item, Rough

NUMBER = re.compile(r"(?<![\w.])[<>]?-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]\d+)?%?|—")
"""A number as a page prints it, or the dash for a missing one. The name ``beta1`` has none."""
VOID = {"img", "meta", "input", "br", "link", "source"}
"""HTML's elements without an end tag."""


@dataclass
class Element:
    """An HTML element."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What a reader sees, with single spaces."""
        parts = [one if isinstance(one, str) else f" {one.text} " for one in self.children]
        return " ".join("".join(parts).split())

    def __iter__(self) -> Iterator["Element"]:
        """All elements in this one, in the order of the page."""
        for one in self.children:
            if isinstance(one, Element):
                yield one
                yield from one

    def every(self, tag: str, **attributes: str) -> list["Element"]:
        """The elements with this tag and these attributes."""
        wanted = attributes.items()
        return [one for one in self if one.tag == tag and wanted <= one.attributes.items()]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("page")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        new = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(new)
        if tag not in VOID:
            self.open.append(new)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_page(html: str) -> Element:
    """The tree of a page whose tags are all closed."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.open[0]


def agrees(printed: str, value: Any) -> bool:
    """Whether a number on the page is ``value`` at its printed precision.

    Percentages have the decimals that they have; other numbers at least three digits (a ``Rough``
    one two), or all before the decimal point. 1 and 100% stand for nothing but 1.
    """
    if value is None or isinstance(value, str) or math.isnan(value):
        return printed == ("—" if value is None else value)
    if printed == "—":
        return False
    digits = Decimal(printed.strip("<>%").replace(",", ""))
    exact = 100 * value if printed.endswith("%") else float(value)
    if printed[0] in "<>" or printed == "0%":
        rounded = {"0%": exact == 0, "<1%": 0 < exact < 0.5, ">99%": 99.5 <= exact < 100}
        return rounded.get(printed, False)
    whole = 100 if printed.endswith("%") else 1
    if abs(digits) == whole:
        return exact == digits
    places = -int(digits.as_tuple().exponent)
    if not printed.endswith("%") and exact:
        wanted = 2 if isinstance(value, Rough) else 3
        places = max(0, places, wanted - 1 - math.floor(math.log10(abs(exact))))
    return abs(float(digits) - exact) <= 0.5 * 10.0**-places * (1 + 1e-9)


def differences(text: str, items: Sequence[Item]) -> list[str]:
    """Where a text is not what the items say: a number that differs, or one that no item explains.

    The items are in the order of the text. An item that is a word must stand there as it is.
    """
    found: list[str] = []
    text, at = text.lower(), 0
    for item in items:
        if isinstance(item, str):
            place = text.find(item.lower(), at)
            if place < 0:
                return [*found, f"“{item}” is not in “{text[at:]}”"]
            found += [f"{one} in “{text}” is unexplained" for one in NUMBER.findall(text[at:place])]
            at = place + len(item)
            continue
        printed = NUMBER.search(text, at)
        if printed is None:
            return [*found, f"{item} is not in “{text[at:]}”"]
        if not agrees(printed[0], item):
            found.append(f"{printed[0]} in “{text}” is {item} in the files")
        at = printed.end()
    return found + [f"{one} in “{text}” is unexplained" for one in NUMBER.findall(text[at:])]


def other_texts(text: str) -> Iterator[str]:
    """The text with each of its digits and dashes in turn replaced by another digit."""
    for at, old in enumerate(text):
        if old in "0123456789—":
            new = "7" if old == "—" else str((int(old) + 1) % 10)
            yield text[:at] + new + text[at + 1 :]
