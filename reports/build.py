"""Build the report of one run or several: static pages and pictures that open without a server or a network.

python reports/build.py                    # every run under runs/
python reports/build.py runs/lstm-T20 --output reports/site
"""

import contextlib
import signal
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Annotated

import tyro

from command_line import BadOptions, exit_bad_options, read_arguments

WATCH_EVERY_S = 5

STATE = ("search.json", "trial_*/trial.json", "trial_*/result.json", "*/trial_*/trial.json", "best/*.json")
"""What changes while a search runs."""


class NoRunYet(BadOptions):
    """There is a folder to look in, and no run in it that can be shown."""


@dataclass(frozen=True)
class ReportOptions:
    """Build the report of one run or several: static pages and pictures that open without a server or a network."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]")] = field(default=())
    """Run directories, or folders of them. Default: every run under runs/."""
    output: Path = Path("reports/site")
    """Folder of the pages; index.html is the first."""
    watch: bool = False
    """Build again whenever a run has changed, until Ctrl-C; the pages load themselves anew."""


def build(options: ReportOptions) -> tuple[int, Path]:
    """Build every page; returns how many runs there are, and the index.

    Raises NoRunYet where there is no run, BadOptions where a folder is not there or there is nowhere to write.
    """
    from reports.pages import Site
    from reports.run import NotARun, Run, find_runs

    if not options.output.is_dir() and options.output.exists():
        raise BadOptions(f"--output {options.output} is a file")
    runs: dict[Path, Run] = {}
    companions: dict[Path, Run] = {}
    broken: list[str] = []
    for path in options.runs or (Path("runs"),):
        if not path.is_dir():
            raise BadOptions(f"{path} is not a folder" + ("" if options.runs else ": no search has run here yet"))
        found, refused = find_runs(path.resolve())
        try:
            found = found or [Run.open(path.resolve())]
        except NotARun as error:
            words = "; ".join(refused) or str(error) + ("" if options.runs else ": no search has run here yet")
            raise NoRunYet(words) from None
        runs.update({run.path: run for run in found})
        broken += refused
        companions.update({run.path: run for run in (found if len(found) > 1 else find_runs(found[0].path.parent)[0])})
    reload_s = WATCH_EVERY_S if options.watch else None
    site = Site(list(runs.values()), list(companions.values()), options.output, reload_s, broken)
    try:
        return len(runs), site.write(lambda name: print(f"building {name}", file=sys.stderr))
    except NotARun as error:
        raise NoRunYet(str(error)) from None


def changes(options: ReportOptions) -> dict[Path, float]:
    """When each file that tells how a search stands was last written."""
    folders = [folder for path in options.runs or (Path("runs"),) for folder in (path, *path.glob("*/"))]
    files = [file for folder in folders for pattern in STATE for file in folder.glob(pattern)]
    return {file: file.stat().st_mtime for file in files if file.exists()}


def on_interrupt() -> threading.Event:
    """An event that Ctrl-C sets, beside raising KeyboardInterrupt, which an extension module it is raised in may swallow."""
    interrupted = threading.Event()

    def interrupt(signum: int, frame: FrameType | None) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    return interrupted


def watch(options: ReportOptions) -> None:
    """Build whenever a run has changed, from the first one on that there is, until Ctrl-C."""
    interrupted = on_interrupt()
    before, said = None, ""
    with contextlib.suppress(KeyboardInterrupt):
        while not interrupted.is_set():
            if (now := changes(options)) != before:
                before = now
                try:
                    words = built(*build(options))
                except NoRunYet as error:
                    words = f"waiting: {error}"
                if words != said:
                    print(said := words, flush=True)
            interrupted.wait(WATCH_EVERY_S)


def built(count: int, index: Path) -> str:
    return f"{count} {'run' if count == 1 else 'runs'} in {index}"


def main() -> int:
    try:
        options = read_arguments(ReportOptions)
        from reports.style import apply

        apply()
        if options.watch:
            watch(options)
        else:
            print(built(*build(options)))
    except BadOptions as error:
        exit_bad_options(str(error))
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
