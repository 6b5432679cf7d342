"""Make the README's pictures again, from an LSTM run, a GAN run or both.

    python docs/pictures.py runs/lstm-T20 runs/gan-mnist

Needs Chromium, by one of its usual names or as CHROMIUM=/path. For an LSTM run it also starts a
small search, to show the Ray dashboard.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from playwright.sync_api import Browser, Page, sync_playwright

from command_line import read_arguments, run_script

ROOT = Path(__file__).parent.parent
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
"""The program that draws pages; None if there is none, or only playwright's own."""
FROM_GAN_PAGE = (
    "samples.png", "interpolation.png", "neighbours.png", "history.png", "slices.png",
    "training.gif", "walk.gif",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Make the README's pictures again from the runs named."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run directories whose reports are shown: the LSTM's, the GAN's or both."""
    output: Path = ROOT / "docs" / "pictures"
    """Folder of the pictures."""


def report(run: Path, browser: Browser, output: Path) -> str:
    """Picture the top of the run's page and copy pictures from it; returns the run's experiment."""
    experiment = str(json.loads((run / "search.json").read_bytes())["experiment"])
    with tempfile.TemporaryDirectory() as folder:
        build = str(ROOT / "reports" / "build.py")
        subprocess.run([sys.executable, build, str(run), "--output", folder], check=True)
        site = Path(folder) / run.name
        page = browser.new_page(viewport={"width": 1100, "height": 830})
        page.goto((site / "index.html").as_uri())
        if experiment == "lstm":
            page.screenshot(path=output / "report.png")
            shutil.copy(site / "map.png", output)
            interactive(page, output)
        else:
            page.screenshot(path=output / "gan-report.png")
            for name in FROM_GAN_PAGE:
                shutil.copy(site / name, output / f"gan-{name}")
    return experiment


def interactive(page: Page, output: Path) -> None:
    """Picture the filter and the figures of the search's course."""
    for name in ("history", "curves-of-all", "timeline"):
        page.locator(f"#plot-{name}").scroll_into_view_if_needed()
        page.wait_for_selector(f"#plot-{name}.drawn")
    page.evaluate("scrollTo(0, 0)")
    top, end = (
        page.locator(one).evaluate("one => one.offsetTop") for one in ("#filter", "#plot-rungs")
    )
    page.screenshot(
        path=output / "report-search.png",
        full_page=True,
        clip={"x": 0, "y": top - 10, "width": 1100, "height": end - top - 40},
    )


def dashboard(browser: Browser, output: Path) -> None:
    """Picture the dashboard's actors while trials run, some of them on reused actors."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--input-length", "10", "--num-samples", "12", "--storage-path", folder]
        search = subprocess.Popen(
            [sys.executable, ROOT / "tune_lstm.py", *options],
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            cwd=ROOT,
        )
        assert search.stderr is not None
        address, finished = "", 0
        for line in search.stderr:
            if match := re.match(r"dashboard  (\S+)", line):
                address = match[1]
            finished += line.startswith("trial ")
            if finished == 4:  # both actors serve their second trial or a later one
                break
        time.sleep(6)  # the dashboard asks for its actors every few seconds
        ray = Path(sys.executable).parent / "ray"
        token = subprocess.check_output([ray, "get-auth-token"], text=True).strip()
        page = browser.new_page(viewport={"width": 1700, "height": 760})
        page.set_extra_http_headers({"Authorization": f"Bearer {token}"})
        page.goto(f"{address}/#/actors")
        page.wait_for_selector("text=LSTMTrial", timeout=30_000)
        page.screenshot(path=output / "dashboard.png")
        search.send_signal(signal.SIGINT)
        search.communicate(timeout=60)


def main() -> None:
    options = read_arguments(Options)
    output = options.output.expanduser()
    output.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        runs = [run.expanduser().resolve() for run in options.runs]
        if "lstm" in {report(run, browser, output) for run in runs}:
            dashboard(browser, output)
        browser.close()


if __name__ == "__main__":
    run_script(main)
