"""Make the README's pictures again from an LSTM run, a GAN run or both; for an LSTM run the Ray
dashboard's picture too.

python docs/pictures.py runs/lstm-T20 runs/gan-mnist      # needs Chromium; starts a small search
for the dashboard
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
PICTURES = ROOT / "docs" / "pictures"


FROM_GAN_PAGE = (
    "samples.png",
    "interpolation.png",
    "neighbours.png",
    "history.png",
    "slices.png",
    "training.gif",
    "walk.gif",
)


@dataclass(frozen=True)
class Options:
    """Make the README's pictures again from the runs named."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run directories whose reports are shown: the LSTM's, the GAN's or both."""


def report(run: Path, browser: Browser) -> str:
    """The top of the run's page, and pictures from it as they are. Returns the run's experiment."""
    experiment = str(json.loads((run / "search.json").read_bytes())["experiment"])
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, ROOT / "reports" / "build.py", run, "--output", folder], check=True
        )
        site = Path(folder) / run.name
        page = browser.new_page(viewport={"width": 1100, "height": 830})
        page.goto((site / "index.html").as_uri())
        page.screenshot(
            path=PICTURES / ("report.png" if experiment == "lstm" else "gan-report.png")
        )
        if experiment == "lstm":
            shutil.copy(site / "map.png", PICTURES / "map.png")
            interactive(page)
        else:
            for name in FROM_GAN_PAGE:
                shutil.copy(site / name, PICTURES / f"gan-{name}")
    return experiment


def interactive(page: Page) -> None:
    """The filter and the figures of how the search went."""
    for name in ("history", "curves-of-all", "timeline"):
        page.locator(f"#plot-{name}").scroll_into_view_if_needed()
        page.wait_for_selector(f"#plot-{name}.drawn")
    page.evaluate("scrollTo(0, 0)")
    top, end = (
        page.locator(one).evaluate("one => one.offsetTop") for one in ("#filter", "#plot-rungs")
    )
    page.screenshot(
        path=PICTURES / "report-search.png",
        full_page=True,
        clip={"x": 0, "y": top - 10, "width": 1100, "height": end - top - 40},
    )


def dashboard(browser: Browser) -> None:
    """The dashboard's actors while trials run, some of them on reused actors."""
    with tempfile.TemporaryDirectory() as folder:
        script, options = (
            str(ROOT / "tune_lstm.py"),
            ["--input-length", "10", "--num-samples", "12"],
        )
        command = [sys.executable, script, *options, "--storage-path", folder]
        search = subprocess.Popen(
            command, stderr=subprocess.PIPE, encoding="utf-8", errors="replace", cwd=ROOT
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
        token = (
            subprocess.run([ray, "get-auth-token"], capture_output=True, check=True)
            .stdout.decode()
            .strip()
        )
        page = browser.new_page(viewport={"width": 1700, "height": 760})
        page.set_extra_http_headers({"Authorization": f"Bearer {token}"})
        page.goto(f"{address}/#/actors")
        page.wait_for_selector("text=LSTMTrial", timeout=30_000)
        page.screenshot(path=PICTURES / "dashboard.png")
        search.send_signal(signal.SIGINT)
        search.communicate(timeout=60)


def main() -> None:
    options = read_arguments(Options)
    PICTURES.mkdir(exist_ok=True)
    chromium = (
        os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        experiments = {report(run.expanduser().resolve(), browser) for run in options.runs}
        if "lstm" in experiments:
            dashboard(browser)
        browser.close()


if __name__ == "__main__":
    run_script(main)
