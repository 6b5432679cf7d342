"""The report's pages in a real browser: everything loads, nothing leaves the page, a phone can read it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.conftest import SmallGANSearch, SmallSearch, run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")


@pytest.fixture(scope="module")
def site(small_search: SmallSearch, small_gan_search: SmallGANSearch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("site")
    runs = (small_search.path, small_gan_search.path)
    assert run("reports/build.py", *runs, "--output", output, cwd=output).returncode == 0
    return output


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["wide", "phone"])
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    width, height = request.param
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser.new_page(viewport={"width": width, "height": height})
        browser.close()


@pytest.mark.parametrize(("name", "count"), [("index.html", 2), ("small/index.html", 3), ("digits/index.html", 9)])
def test_loads_whole_and_alone(name: str, count: int, page: Page, site: Path) -> None:
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda one: requests.append(one.url))
    page.goto((site / name).as_uri())
    assert complaints == []
    assert all(url.startswith(site.as_uri()) for url in requests)
    pictures = page.eval_on_selector_all("img", "all => all.map(one => [one.naturalWidth, one.alt])")
    assert len(pictures) == count
    assert all(width > 150 and alt for width, alt in pictures)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_way_from_the_index_to_a_trial(page: Page, site: Path) -> None:
    page.goto((site / "index.html").as_uri())
    page.click("table a >> nth=0")
    assert page.inner_text("h1") == "LSTM, T = 4 small"
    assert page.locator("h2", has_text="Every trial").count() == 1
    assert page.locator("table").last.locator("tbody tr").count() == 6
