"""How long the report of a large run takes, how much memory, and how large its page is.

python benchmarks/report.py runs/lstm-T20 [--trials 1000] [--rows 1000]

A real run is blown up: its trials are repeated under new numbers, their reports stretched to
``--rows`` each. What is measured is ``reports/build.py`` as a user runs it, in a process of its
own.
"""

import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from command_line import read_arguments, run_script

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Options:
    """How long the report of a large run takes, how much memory, and how large its page is."""

    run: Annotated[Path, tyro.conf.Positional]
    """A run directory to blow up."""
    trials: int = 1000
    """Trials of the large run."""
    rows: int = 1000
    """Reports of each."""


def blow_up(run: Path, large: Path, trials: int, rows: int) -> None:
    """Write ``large``: the run's own files, and ``trials`` trials of ``rows`` reports made from its own."""
    large.mkdir(parents=True)
    shutil.copy2(run / "search.json", large)
    own = [path for path in sorted(run.glob("trial_*")) if (path / "result.json").exists()]
    for number in range(trials):
        source, folder = own[number % len(own)], large / f"trial_{number:04d}"
        folder.mkdir()
        record: dict[str, Any] = json.loads((source / "trial.json").read_bytes())
        stream = random.Random(number)
        config = {
            name: value * stream.uniform(0.8, 1.2) if name in ("lr", "max_norm") else value
            for name, value in record["config"].items()
        }
        config["trial"] = number
        if number >= len(own):
            config.pop("baseline", None)
        (folder / "trial.json").write_text(
            json.dumps({**record, "number": number, "config": config}), encoding="utf-8"
        )
        reports = [
            json.loads(line)
            for line in (source / "result.json").read_text(encoding="utf-8").splitlines()
        ]
        stretched = [
            {**reports[place * len(reports) // rows], "step": 10 * (place + 1)}
            for place in range(rows)
        ]
        stretched = [{**row, "ended": None} for row in stretched[:-1]] + [
            {**stretched[-1], "ended": reports[-1].get("ended")}
        ]
        (folder / "result.json").write_text(
            "".join(json.dumps(row) + "\n" for row in stretched), encoding="utf-8"
        )


def main() -> None:
    options = read_arguments(Options)
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "runs" / "large"
        blow_up(options.run.expanduser().resolve(), large, options.trials, options.rows)
        begin = time.perf_counter()
        command = [
            sys.executable,
            str(ROOT / "reports" / "build.py"),
            str(large),
            "--output",
            f"{folder}/site",
        ]
        subprocess.run(command, check=True, cwd=folder)
        seconds = time.perf_counter() - begin
        page = (Path(folder) / "site" / "large" / "index.html").stat().st_size
        site = sum(
            file.stat().st_size for file in (Path(folder) / "site").rglob("*") if file.is_file()
        )
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(
            f"{options.trials:,} trials with {options.rows:,} reports each: {seconds:.1f} s, {peak:,.0f} MB at most,"
            f" index.html {page / 1e6:.1f} MB, the whole site {site / 1e6:.0f} MB"
        )


if __name__ == "__main__":
    run_script(main)
