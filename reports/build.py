"""Build the report of one run or several: static pages and pictures that open without a server or a
network.

python reports/build.py                    # every run under runs/
python reports/build.py runs/NAME --output reports/site
python reports/build.py s3://bucket/runs
"""

import contextlib
import dataclasses
import signal
import sys
import threading
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import tyro

from command_line import UsageError, read_arguments, run_script, user_path
from records.places import checked, copy_of, is_uri

if TYPE_CHECKING:
    from records.run import Run

WATCH_EVERY_S = 5

STATE = (
    "search.json", "trial_*/trial.json", "trial_*/result.json", "*/trial_*/trial.json",
    "best/*.json",
)  # fmt: skip
"""The files that change while a search runs."""
NOT_YET = ": no search has run here yet"


class NoRunYet(UsageError):
    """The folder is there, but no run in it can be shown."""


@dataclass(frozen=True)
class ReportOptions:
    """Build the report of one run or several: static pages and pictures that open without a server
    or a network."""

    runs: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="[RUN ...]", help_behavior_hint=""),
    ] = field(default=())
    """Run directories, or folders of them, also as URIs such as s3://bucket/runs.
    Default: every run under runs/."""
    output: Annotated[str, tyro.conf.arg(metavar="PATH")] = "reports/site"
    """Folder of the pages; open index.html first. It cannot lie in a run directory."""
    watch: bool = False
    """Build again whenever a run changes, until Ctrl-C. Open pages reload themselves."""

    single_file: bool = False
    """Also write each run's page as one file that can be mailed, NAME/NAME-single.html.
    It has no pages of trials, tables or weights."""

    @property
    def folders(self) -> list[Path]:
        """The folders in which runs are looked for: for a URI, its copy on this machine."""
        return [
            copy_of(checked("RUN", run), "reports") if is_uri(run) else Path(user_path("RUN", run))
            for run in self.runs or ("runs",)
        ]

    def fetch(self) -> None:
        """Download what is new at the URIs. Raises UsageError if one cannot be used."""
        for uri in filter(is_uri, self.runs):
            from records.fetch import fetch

            fetch(checked("RUN", uri))

    @property
    def site(self) -> Path:
        """The folder of the pages."""
        return Path(user_path("--output", self.output))


def build(options: ReportOptions) -> tuple[int, Path]:
    """Build every page; returns how many runs are shown, and the index.

    A run that cannot be shown is named on stderr. Raises NoRunYet if there is no run, UsageError if
    a folder is missing or the output cannot be written to.
    """
    from records.run import Run, find_runs
    from records.search_json import NotARun
    from reports.pages import Site

    options.fetch()
    runs: dict[Path, Run] = {}
    companions: dict[Path, Run] = {}
    broken: list[str] = []
    output = options.site
    for path in options.folders:
        found, refused = runs_in(path, options)
        broken += refused
        runs.update({run.path: run for run in found})
        if len(found) == 1:
            found = find_runs(found[0].path.parent)[0]
        companions.update({run.path: run for run in found})
    reload_s = WATCH_EVERY_S if options.watch else None
    shown, beside = list(runs.values()), list(companions.values())
    site = Site(shown, beside, output, reload_s, broken, options.single_file)
    try:
        index = site.write(lambda name: say(f"building {name}"))
    except NotARun as error:
        raise NoRunYet(str(error)) from None
    for words in site.broken:
        say(words)
    return site.shown, index


def runs_in(path: Path, options: ReportOptions) -> "tuple[list[Run], list[str]]":
    """The runs in a folder, or the run that it is, and why others were refused.

    Raises NoRunYet if no other folder was asked for, UsageError if there is no such folder.
    """
    from records.run import Run, find_runs
    from records.search_json import NotARun

    hint = "" if options.runs else NOT_YET
    if not is_folder(path):
        raise UsageError(f"{path} is not a folder{hint}")
    found, refused = find_runs(path.resolve())
    try:
        return found or [Run.open(path.resolve())], refused
    except NotARun as error:
        words = "; ".join(refused) or f"{error}{hint}"
        if len(options.folders) == 1:
            raise NoRunYet(words) from None
        return [], [words]


def is_folder(path: Path) -> bool:
    """Whether ``path`` is a folder. Raises UsageError if it cannot be read."""
    try:
        return path.is_dir()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def say(words: str) -> None:
    """One line on stderr."""
    print(" ".join(words.split()), file=sys.stderr)


def changes(options: ReportOptions) -> dict[Path, float]:
    """When each of the files ``STATE`` was last written."""
    with contextlib.suppress(UsageError):  # a build says it
        options.fetch()
    folders = [folder for path in options.folders for folder in (path, *path.glob("*/"))]
    written = {}
    for file in (file for folder in folders for pattern in STATE for file in folder.glob(pattern)):
        with contextlib.suppress(OSError):  # a running search may remove it
            written[file] = file.stat().st_mtime
    return written


def on_interrupt() -> threading.Event:
    """An event that Ctrl-C sets.

    Ctrl-C also raises KeyboardInterrupt, but an extension module may swallow that.
    """
    interrupted = threading.Event()

    def interrupt(signum: int, frame: FrameType | None) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    return interrupted


def watch(options: ReportOptions) -> None:
    """Build whenever a run has changed, until Ctrl-C. Waits while there is no run.

    Raises UsageError if the first build is refused for another reason.
    """
    interrupted = on_interrupt()
    before, said = None, ""
    with contextlib.suppress(KeyboardInterrupt):
        while not interrupted.is_set():
            if (now := changes(options)) != before:
                try:
                    words = built(*build(options))
                except UsageError as error:
                    if before is None and not isinstance(error, NoRunYet):
                        raise
                    words = f"waiting: {error}"
                before = now
                if words != said:
                    print(said := words, flush=True)
            interrupted.wait(WATCH_EVERY_S)
    if said:
        say("building once more, so that open pages no longer reload")
        with contextlib.suppress(KeyboardInterrupt, UsageError):
            build(dataclasses.replace(options, watch=False))


def built(count: int, index: Path) -> str:
    return f"{count} {'run' if count == 1 else 'runs'} in {index}"


def main() -> None:
    options = read_arguments(ReportOptions)
    from reports.figures.style import apply

    apply()
    warnings.simplefilter("ignore")  # of values that are not a number: the pages show them
    if options.watch:
        watch(options)
    else:
        print(built(*build(options)))


if __name__ == "__main__":
    run_script(main)
