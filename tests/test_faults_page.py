"""Every test that docs/faults.md names exists."""

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs/faults.md").read_text(encoding="utf-8")
NAMED = sorted({*re.findall(r"`(tests/[\w/]+\.py(?:::\w+)*)`", PAGE)})


@pytest.mark.parametrize("name", NAMED)
def test_every_test_that_the_page_names_exists(name: str) -> None:
    file, *parts = name.split("::")
    assert Path(ROOT / file).is_file()
    body = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    for part in parts:
        named = (one for one in body if isinstance(one, ast.FunctionDef | ast.ClassDef))
        found = [one for one in named if one.name == part]
        assert found, f"{file} has no {part}"
        body = found[0].body


def test_the_page_names_tests() -> None:
    assert len(NAMED) > 50
