"""The pages that compare runs, in a real browser, wide and light, on a phone and dark."""

from pathlib import Path

import pytest
from playwright.sync_api import Page

from docs.pictures import CHROMIUM
from tests.browser.test_report import browser as browser
from tests.browser.test_report import found_by_axe, look_at_all
from tests.browser.test_report import page as page
from tests.reports.conftest import build, four, invented, scores

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def comparing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site that compares runs: two of the same task, one of another, one without fresh seeds."""
    folder = tmp_path_factory.mktemp("comparing")
    runs = [
        invented(
            folder / name,
            four(),
            fresh_seeds=[scores(0.1, centre + seed / 100) for seed in range(seeds)],
            fixed={"max_steps": 300, "size": size},
            options={"size": size},
        )
        for name, centre, seeds, size in (
            ("juggling_2026-01-31_12-00-00", 0.9, 5, 5), ("other", 0.7, 5, 5),
            ("larger", 0.8, 5, 6), ("begun", 0.0, 0, 5),
        )
    ]  # fmt: skip
    return build(*runs, to=folder / "site").parent


@pytest.mark.parametrize("name", ["index.html", "comparison.html"])
def test_a_comparison_keeps_no_reader_out_and_fits(name: str, page: Page, comparing: Path) -> None:
    page.goto((comparing / name).as_uri())
    assert look_at_all(page) == (name == "comparison.html")
    assert page.locator("a[href='comparison.html'], .scroll").count() >= 2
    assert found_by_axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_first_column_of_a_comparison_stays_in_sight(page: Page, comparing: Path) -> None:
    page.goto((comparing / "comparison.html").as_uri())
    table = page.locator("[aria-label='Runs of the same task, in pairs']")
    table.evaluate("box => box.scrollLeft = box.scrollWidth")
    first, last = (
        table.locator(f"tbody td:{end}-child").bounding_box() for end in ("first", "last")
    )
    assert first is not None
    assert last is not None
    assert 0 <= first["x"] < last["x"]
    assert last["x"] + last["width"] <= page.evaluate("window.innerWidth")


def test_a_column_of_a_comparison_sorts(page: Page, comparing: Path) -> None:
    page.goto((comparing / "comparison.html").as_uri())
    table = page.locator("[aria-label='The best settings on fresh seeds']")
    table.locator("th:has-text('mean') button").first.click()
    assert table.locator("tbody td:nth-child(6)").all_inner_texts() == ["0.72", "0.82", "0.92", "—"]
