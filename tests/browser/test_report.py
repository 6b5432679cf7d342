"""The report's pages in a real browser: everything loads, nothing leaves the page, and a phone can
show them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from docs.pictures import CHROMIUM
from tests.conftest import SmallGANSearch, SmallSearch, run
from tests.reports.conftest import build, four, invented

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium (apt-get install chromium)"
)


@pytest.fixture(scope="module")
def site(
    small_search: SmallSearch,
    small_gan_search: SmallGANSearch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    output = tmp_path_factory.mktemp("site")
    runs = (small_search.path, small_gan_search.path)
    assert (
        run("reports/build.py", *runs, "--single-file", "--output", output, cwd=output).returncode
        == 0
    )
    return output


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu"]
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=flags)


@pytest.fixture(
    scope="module",
    params=[(1280, 900, "light"), (390, 844, "dark")],
    ids=["wide, light", "phone, dark"],
)
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    width, height, scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    yield page
    page.close()


def look_at_all(page: Page) -> int:
    """Scroll to every interactive figure and wait until it is drawn; returns how many there are."""
    count = page.locator(".plot").count()
    for place in range(count):
        page.locator(".plot").nth(place).scroll_into_view_if_needed()
        page.wait_for_selector(f"#{page.locator('.plot').nth(place).get_attribute('id')}.drawn")
    return count


@pytest.fixture
def small(page: Page, site: Path) -> Page:
    """The page of the small LSTM search, with every figure drawn and every trial shown."""
    address = (site / "small" / "index.html").as_uri()
    if page.url == address:
        page.click("button[type=reset]")
    else:
        page.goto(address)
        look_at_all(page)
    return page


def points(page: Page, figure: str) -> int:
    """How many points a figure shows, in its traces that show trials."""
    script = f"""document.getElementById('plot-{figure}').data
        .filter(trace => trace.meta && trace.mode === 'markers')
        .map(trace => trace.y.filter(value => value !== null).length)
        .reduce((one, two) => one + two, 0)"""
    return int(page.evaluate(script))


@pytest.mark.parametrize(
    ("name", "pictures", "figures"),
    [
        ("index.html", 2, 0),
        ("digits/index.html", 8, 7),
        ("small/trials/0003.html", 0, 1),
        ("small/index.html", 2, 7),
        ("small/small-single.html", 2, 7),
    ],
)
def test_loads_whole_and_alone(
    name: str, pictures: int, figures: int, page: Page, site: Path
) -> None:
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda one: requests.append(one.url))
    page.goto((site / name).as_uri())
    assert look_at_all(page) >= figures
    assert complaints == []
    assert all(url.startswith(site.as_uri()) for url in requests)
    drawn = page.eval_on_selector_all("img", "all => all.map(one => [one.naturalWidth, one.alt])")
    assert len(drawn) == pictures
    assert all(width > 150 and alt for width, alt in drawn)
    assert all(
        page.eval_on_selector_all(".plot", "all => all.map(one => one.getAttribute('aria-label'))")
    )
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize(
    "name",
    ["index.html", "digits/index.html", "small/index.html", "small/trials/0003.html"],
)
def test_keeps_no_reader_out(name: str, page: Page, site: Path) -> None:
    page.goto((site / name).as_uri())
    look_at_all(page)
    assert found_by_axe(page) == []


def found_by_axe(page: Page) -> list[tuple[str, list[str]]]:
    """What breaks axe-core's rules, which follow WCAG 2: https://github.com/dequelabs/axe-core"""
    violations = Axe().run(page).response["violations"]
    return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in violations]


def test_no_button_of_a_figure_sends_anything_anywhere(small: Page) -> None:
    buttons = small.locator(".modebar-btn")
    titles = [str(one.get_attribute("data-title")) for one in buttons.all()]
    assert "Download plot as a PNG" in titles
    assert not [title for title in titles if re.search("share|cloud|edit", title, re.IGNORECASE)]


def test_a_mark_opens_its_trial(page: Page, site: Path) -> None:
    page.goto((site / "small" / "index.html").as_uri())
    look_at_all(page)
    page.locator("#plot-history .scatterlayer .point").first.click(force=True)
    page.wait_for_url("**/trials/*.html")


def test_the_best_one_percent_has_a_trial_and_a_range_needs_a_setting(small: Page) -> None:
    small.locator("[name=best]").fill("1")
    small.wait_for_selector("#filtered:has-text('1 of 6 trials')")
    assert small.locator("[name=low]").is_disabled()
    small.select_option("[name=setting]", "lr")
    small.wait_for_selector("[name=low]:enabled")


def test_a_page_that_reloads_itself_keeps_its_filter(page: Page, site: Path) -> None:
    text = (site / "small" / "index.html").read_text("utf-8")
    watched = site / "small" / "watched.html"  # as --watch writes it
    watched.write_text(text.replace("<title>", '<meta http-equiv="refresh" content="600"><title>'))
    page.goto(watched.as_uri())
    page.fill("[name=words]", "hand-tuned, T=15")
    page.wait_for_selector("#filtered:has-text('1 of ')")
    page.reload()
    page.wait_for_selector("#filtered:has-text('1 of ')")
    assert page.input_value("[name=words]") == "hand-tuned, T=15"


def test_a_link_to_a_folded_check_shows_it(page: Page, site: Path) -> None:
    page.goto((site / "small" / "index.html").as_uri() + "#STOP01")
    page.wait_for_selector("#STOP01[open]", state="visible")
    assert page.locator("#STOP01 p").first.is_visible()


def test_a_printed_page_has_its_figures(page: Page, site: Path) -> None:
    page.goto((site / "small" / "index.html").as_uri())
    for one in page.locator(".plot").all():  # without scrolling to it
        page.wait_for_selector(f"#{one.get_attribute('id')}.drawn")
    page.emulate_media(media="print")
    assert not page.locator("#filter").is_visible()
    assert page.locator(".on-paper").is_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    drawn = page.locator("#plot-history .main-svg").first
    box = drawn.bounding_box()
    assert box is not None
    assert box["width"] == 320  # two beside each other on A4
    title = page.locator("#plot-history .ytitle").first
    assert title.evaluate("one => getComputedStyle(one).fill") == "rgb(34, 34, 34)"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    assert not page.locator(".on-paper").is_visible()


def test_a_narrow_window_has_pictures_of_its_own(page: Page, site: Path) -> None:
    for name in ("small/index.html", "digits/index.html", "small/small-single.html"):
        page.goto((site / name).as_uri())
        shown = "all => all.map(one => one.naturalHeight / one.naturalWidth)"
        tallest = max(page.eval_on_selector_all("picture img", shown))
        assert (tallest > 1.4) == page.evaluate("innerWidth < 640")


def test_the_best_is_bright_on_a_dark_page(small: Page) -> None:
    dark = small.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    best = small.locator("#plot-history .scatterlayer .trace .js-line").first
    color = best.evaluate("one => getComputedStyle(one).stroke")
    assert color == ("rgb(45, 159, 232)" if dark else "rgb(0, 114, 178)")


def test_one_filter_holds_for_the_table_and_every_figure(small: Page) -> None:
    assert points(small, "history") == 6 + 1 + 3  # the best and the baselines are ringed
    small.select_option("[name=outcome]", "stopped early")
    small.wait_for_selector("#filtered:has-text(' of ')")
    shown = small.locator("#trials tbody tr:visible").count()
    assert 0 < shown < 6
    small.wait_for_timeout(500)
    assert [points(small, figure) for figure in ("history", "slices")] == [shown, shown]
    small.click("button[type=reset]")
    small.wait_for_selector("#filtered:has-text('all ')")
    small.fill("[name=words]", "hand-tuned, T=15")
    small.wait_for_selector("#filtered:has-text('1 of ')")
    assert small.locator("#trials tbody tr:visible").count() == 1


def test_the_table_sorts_by_any_column_either_way(small: Page) -> None:
    rates = """[...document.querySelectorAll('#trials tbody tr')]
        .map(row => Number(row.cells[2].dataset.value))"""
    small.click("#trials th[data-name=lr] button")
    rising = small.evaluate(rates)
    assert rising == sorted(rising)
    small.click("#trials th[data-name=lr] button")
    assert small.evaluate(rates) == sorted(rising, reverse=True)
    assert small.get_attribute("#trials th[data-name=lr]", "aria-sort") == "descending"


def test_two_trials_are_shown_side_by_side_where_they_differ(small: Page) -> None:
    small.select_option("#two [name=one]", "0")
    small.select_option("#two [name=other]", "1")
    shown = [row.split("\t") for row in small.inner_text("#difference tbody").splitlines()]
    heads = small.locator("#trials thead th").all_inner_texts()
    one, other = (
        small.locator(f"#trials tr[data-trial='{number}'] td").all_inner_texts()
        for number in (0, 1)
    )
    columns = zip(heads, one, other, strict=True)
    assert (
        shown == [[head.split("\n")[0].rstrip(" ▲▼"), a, b] for head, a, b in columns if a != b][1:]
    )
    assert ["max_norm", "10", "0.1"] in shown
    small.select_option("#two [name=other]", "0")
    assert small.inner_text("#difference") == "They do not differ in any column of the table."


def test_another_setting_can_be_chosen_from_the_keyboard(small: Page) -> None:
    small.focus("select[data-for=plot-slices]")
    small.keyboard.press("ArrowDown")
    small.wait_for_selector("#plot-slices .xtitle:has-text('max_norm')")


def test_the_way_from_the_index_to_a_trial(page: Page, site: Path) -> None:
    page.goto((site / "index.html").as_uri())
    page.click("table a >> nth=0")
    assert page.inner_text("h1") == "LSTM, T = 4 small"
    assert page.locator("#trials tbody tr").count() == 6
    page.click("#trials a >> nth=4")
    assert page.inner_text("h1") == "Trial 4"
    assert "--train " in page.inner_text("pre")


def test_numbers_sort_by_value_however_they_are_written(page: Page, site: Path) -> None:
    shown = ["9.89%", "1,900", "100.00%", "—", "99.50%"]
    rows = "".join(f"<tr><td>{one}</td></tr>" for one in shown)
    table = (
        f"<table class=sortable><thead><tr><th>value</th></tr></thead><tbody>{rows}</tbody></table>"
    )
    (site / "table.html").write_text(f"<meta charset=utf-8>{table}<script src=report.js></script>")
    page.goto((site / "table.html").as_uri())
    page.click("th button")
    assert page.locator("td").all_inner_texts() == ["9.89%", "99.50%", "100.00%", "1,900", "—"]


@pytest.fixture(scope="module")
def odd_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with a failed trial and a metric with an odd name."""
    folder = tmp_path_factory.mktemp("odd")
    made = invented(folder / "run", [*four(*[{"f1#?/macro": 0.5}] * 3), ({"lr": 0.1}, [])])
    record = made / "trial_0004" / "trial.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "ended": "error"}))
    build(made, to=folder / "site")
    return folder / "site" / "run" / "index.html"


@pytest.fixture
def odd(browser: Browser, odd_site: Path) -> Iterator[Page]:
    page = browser.new_page()
    page.goto(odd_site.as_uri())
    yield page
    page.close()


def test_a_failed_trial_is_not_among_the_best(odd: Page) -> None:
    odd.locator("[name=best]").fill("50")
    odd.wait_for_selector("#filtered:has-text('2 of 5 trials')")
    shown = odd.locator("#trials tbody tr:visible")
    assert [one.get_attribute("data-trial") for one in shown.all()] == ["2", "3"]


def test_a_metric_with_an_odd_name_is_drawn(odd: Page) -> None:
    odd.select_option("select[data-for=plot-curves-of-all]", "f1#?/macro")
    odd.locator("#plot-curves-of-all").scroll_into_view_if_needed()
    odd.wait_for_selector("#plot-curves-of-all .ytitle:has-text('f1#?/macro')")
