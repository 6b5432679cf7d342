"""Make the README's pictures again: the report of a run, the map of its trials, and the Ray dashboard during a search.

python docs/pictures.py runs/lstm-T20          # needs Chromium; starts a small search for the dashboard
"""

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
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"


@dataclass(frozen=True)
class Options:
    """Make the README's pictures again from one run."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run directory whose report is shown."""


def report(run: Path, browser: Browser) -> None:
    """The top of the run's page, and the map of its trials as it is."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, ROOT / "reports" / "build.py", run, "--output", folder], check=True)
        page = browser.new_page(viewport={"width": 1100, "height": 830})
        page.goto((Path(folder) / run.name / "index.html").as_uri())
        page.screenshot(path=PICTURES / "report.png")
        shutil.copy(Path(folder) / run.name / "map.png", PICTURES / "map.png")


def dashboard(browser: Browser) -> None:
    """The dashboard's actors while trials run, some of them on reused actors."""
    with tempfile.TemporaryDirectory() as folder:
        script, options = str(ROOT / "tune_lstm.py"), ["--input-length", "10", "--num-samples", "12"]
        command = [sys.executable, script, *options, "--storage-path", folder]
        search = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
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
        token = subprocess.run([ray, "get-auth-token"], capture_output=True, text=True, check=True).stdout.strip()
        page = browser.new_page(viewport={"width": 1700, "height": 760})
        page.set_extra_http_headers({"Authorization": f"Bearer {token}"})
        page.goto(f"{address}/#/actors")
        page.wait_for_selector("text=LSTMTrial", timeout=30_000)
        page.screenshot(path=PICTURES / "dashboard.png")
        search.send_signal(signal.SIGINT)
        search.communicate(timeout=60)


def main() -> None:
    options = tyro.cli(Options)
    PICTURES.mkdir(exist_ok=True)
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        report(options.run.resolve(), browser)
        dashboard(browser)
        browser.close()


if __name__ == "__main__":
    main()
