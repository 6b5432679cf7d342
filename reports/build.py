"""Build the report of one run or several: static pages and pictures that open without a server or a network.

python reports/build.py                    # every run under runs/
python reports/build.py runs/lstm-T20 --output reports/site
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from command_line import BadOptions, exit_bad_options, read_arguments


@dataclass(frozen=True)
class ReportOptions:
    """Build the report of one run or several: static pages and pictures that open without a server or a network."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]")] = field(default=())
    """Run directories, or folders of them. Default: every run under runs/."""
    output: Path = Path("reports/site")
    """Folder of the pages; index.html is the first."""


def main() -> int:
    try:
        options = read_arguments(ReportOptions)
        from reports.pages import Site
        from reports.run import NotARun, Run, find_runs
        from reports.style import apply

        apply()
        runs, companions = [], {}
        for path in options.runs or (Path("runs"),):
            if not path.is_dir():
                raise BadOptions(f"{path} is not a folder" + ("" if options.runs else ": no search has run here yet"))
            found = find_runs(path)
            try:
                runs += found or [Run.open(path.resolve())]
            except NotARun as error:
                raise BadOptions(str(error) + ("" if options.runs else ": no search has run here yet")) from None
            companions.update({run.path: run for run in (found or find_runs(path.resolve().parent))})
        if not options.output.is_dir() and options.output.exists():
            raise BadOptions(f"--output {options.output} is a file")
        site = Site(runs, list(companions.values()), options.output)
        index = site.write(lambda name: print(f"building {name}", file=sys.stderr))
    except BadOptions as error:
        exit_bad_options(str(error))
    print(f"{len(runs)} {'run' if len(runs) == 1 else 'runs'} in {index}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
