"""How long the report of a large run takes, how much memory, and how large its page is.

    python -m benchmarks.report runs/lstm-T20 --trials 1000 --rows 1000

The large run is made from a real one: its trials are repeated under new numbers, and their reports
are stretched to ``--rows`` each. Then ``reports/build.py`` runs as a user runs it, in a process of
its own.
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

from benchmarks.common import megabytes
from command_line import UsageError, read_arguments, run_script

BUILD = Path(__file__).parent.parent / "reports" / "build.py"


@dataclass(frozen=True)
class Options:
    """Measure the time, the memory and the size of a large run's report."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run directory from which the large run is made."""
    trials: int = 1000
    """Trials of the large run."""
    rows: int = 1000
    """Reports of each trial."""


def blow_up(run: Path, large: Path, trials: int, rows: int) -> None:
    """Write the run directory ``large``: ``trials`` trials of ``rows`` reports, from ``run``."""
    own = [path for path in sorted(run.glob("trial_*")) if (path / "result.json").exists()]
    if not own:
        raise UsageError(f"{run} has no trial with a result.json: name the folder of a run")
    large.mkdir(parents=True)
    shutil.copy2(run / "search.json", large)
    for number in range(trials):
        source, folder = own[number % len(own)], large / f"trial_{number:04d}"
        folder.mkdir()
        record: dict[str, Any] = json.loads((source / "trial.json").read_bytes())
        config = {**record["config"], "trial": number}
        stream = random.Random(number)
        for name in ("lr", "max_norm"):
            if name in config:
                config[name] *= stream.uniform(0.8, 1.2)
        if number >= len(own):
            config.pop("baseline", None)
        record = {**record, "number": number, "config": config}
        (folder / "trial.json").write_text(json.dumps(record), encoding="utf-8")
        lines = (source / "result.json").read_text(encoding="utf-8").splitlines()
        reports = [json.loads(lines[place * len(lines) // rows]) for place in range(rows)]
        ended = json.loads(lines[-1]).get("ended")
        with (folder / "result.json").open("w", encoding="utf-8") as file:
            for place, row in enumerate(reports, start=1):
                row |= {"step": 10 * place, "ended": ended if place == rows else None}
                print(json.dumps(row), file=file)


def main() -> None:
    options = read_arguments(Options)
    with tempfile.TemporaryDirectory() as folder:
        large, site = Path(folder) / "runs" / "large", Path(folder) / "site"
        blow_up(options.run.expanduser().resolve(), large, options.trials, options.rows)
        begin = time.perf_counter()
        subprocess.run([sys.executable, BUILD, large, "--output", site], check=True, cwd=folder)
        seconds = time.perf_counter() - begin
        page = (site / "large" / "index.html").stat().st_size / 1e6
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(
            f"{options.trials:,} trials with {options.rows:,} reports each: {seconds:.1f} s, "
            f"{peak:,.0f} MB at most, index.html {page:.1f} MB, "
            f"the whole site {megabytes(site):.0f} MB"
        )


if __name__ == "__main__":
    run_script(main)
