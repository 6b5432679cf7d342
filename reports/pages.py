"""The pages: an index of the runs, a page for each run and one for each of its trials.

They are HTML from jinja2 with every value escaped. A page loads nothing from elsewhere and no
script but the site's own; its content security policy says so. What is particular to an
experiment is in ``experiments``.
"""

import errno
import json
import os
import shlex
import shutil
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from command_line import UsageError
from records.checks import run_checks
from records.checks.check import counted, no_winner
from records.outcome import outcome_of
from records.run import Run, readable
from records.search_json import NotARun
from records.tables import checkpoints, events, minutes
from reports.comparison import compare, compared
from reports.content import attempt, confirmations, moment, number, rows
from reports.experiments import page_of
from reports.explore import Explorer
from reports.paper import write_paper
from reports.single_file import SingleFile
from reports.trial_pages import command, trial_pages

SCRIPT = Path(__file__).parent / "static" / "report.js"
OWN_FILES = (".html", ".js", ".png", ".svg")
"""Endings of the site's files: a run's folder may not take the place of one."""
RANK, MINUTES = "fraction no worse", "minutes taken"
"""Columns of a run's page: a setting may have any plainer name."""
OUT_OF_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def environment() -> Environment:
    """The templates, with the filters that they use."""
    pages = Environment(
        loader=ChoiceLoader([PackageLoader("reports"), PackageLoader("reports", "experiments")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters.update(
        number=number,
        moment=moment,
        outcome=lambda ended: outcome_of(ended).words,
        counted=counted,
        no_winner=no_winner,
        python=lambda text: json.dumps(text, ensure_ascii=False),
        capitalized=lambda text: text[:1].upper() + text[1:],
        shell=lambda word: shlex.quote(str(word)),
    )
    return pages


class Site:
    """The report of several runs, written under ``output``.

    Args:
        companions: Runs whose curves may be drawn on the pages of ``runs``.
        reload_s: Seconds after which an open page loads itself anew; None: never.
        broken: What the index says of folders that could not be opened, a line each.
        single_file: Whether each run's page is also written as one file.
    """

    def __init__(
        self,
        runs: list[Run],
        companions: list[Run],
        output: Path,
        reload_s: int | None = None,
        broken: Sequence[str] = (),
        single_file: bool = False,
    ) -> None:
        self.runs, self.companions, self.output = runs, companions, output
        self.broken = list(broken)
        self.shown, self.single_file = 0, single_file
        self.folders = folders(runs)
        self.templates = environment()
        self.templates.globals.update(reload_s=reload_s, single=None)
        self.templates.globals["page_of"] = lambda run: quote(os.fsencode(self.folders[run.path]))

    def write(self, progress: Callable[[str], None]) -> Path:
        """Write every page; returns the index.

        If a run cannot be shown or compared, ``broken`` says why, and the others are shown.

        Raises NotARun if there is nothing to show, UsageError if ``output`` cannot be written to
        or lies in a run.
        """
        try:
            self._keep_out_of_runs()
            self.output.mkdir(parents=True, exist_ok=True)
            (self.output / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
            shutil.copy2(SCRIPT, self.output)
            entries = [entry for run in self.runs if (entry := self._entry(run, progress))]
            if not entries:
                raise NotARun("; ".join(self.broken))
            self.shown = len(entries)
            has_comparison = self._write_comparison(entries)
            index = self._index(entries, has_comparison)
            (self.output / "index.html").write_text(index, "utf-8", "replace")
        except OSError as error:
            reason = error.strerror or error
            raise UsageError(f"--output {self.output} cannot be written to: {reason}") from None
        return self.output / "index.html"

    def _keep_out_of_runs(self) -> None:
        """Raises UsageError if the output, or the folder of a page in it, is a file or lies in a
        run: a report never writes into a run."""
        for page in (self.output, *(self.output / folder for folder in self.folders.values())):
            for place in (page.resolve(), *page.resolve().parents):
                if (place / "search.json").exists():
                    words = f"would write into the run {place}: choose another folder"
                    raise UsageError(f"--output {self.output} {words}")
        if self.output.exists() and not self.output.is_dir():
            raise UsageError(f"--output {self.output} is a file: choose a folder")

    def _entry(self, run: Run, progress: Callable[[str], None]) -> dict[str, Any] | None:
        """Write the pages of a run; returns what the index shows of it.

        None if the run cannot be shown, because its files were cut off or edited. Raises
        OSError if the output cannot be written to.
        """
        progress(run.name)
        try:
            entry = self._write_run(run)
            self._index([entry], False)
        except Exception as error:
            self._note(f"{run.name} cannot be shown", error)
            return None
        try:
            entry["compared"] = compared(run)
        except Exception as error:
            self._note(f"{run.name} cannot be compared with others", error)
        return entry

    def _write_comparison(self, entries: list[dict[str, Any]]) -> bool:
        """Write the page that compares the runs; False if no experiment has two of them."""
        try:
            comparable = [one for entry in entries if (one := entry.get("compared"))]
            names = {path: readable(folder) for path, folder in self.folders.items()}
            groups = compare(comparable, names, self.output)
            if not groups:
                return False
            drawn = {entry["run"].path: entry["front_page"] for entry in entries}
            plots = {name: plot for group in groups for name, plot in group.plots.items()}
            content = {"groups": groups, "plots": plots, "pictures_of": drawn}
            self._render("comparison.html", self.output / "comparison.html", content)
        except Exception as error:
            self._note("the runs cannot be compared", error)
            return False
        return True

    def _index(self, entries: list[dict[str, Any]], has_comparison: bool) -> str:
        content = {"entries": entries, "compared": has_comparison, "broken": self.broken}
        return self.templates.get_template("index.html").render(content)

    def _note(self, what: str, error: Exception) -> None:
        """Keep a line for the index. Raises ``error`` if the output cannot be written to."""
        if isinstance(error, OSError):
            file = error.filename
            written = isinstance(file, str | Path) and Path(file).is_relative_to(self.output)
            if written or error.errno in OUT_OF_SPACE:
                raise error
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        self.broken.append(f"{what} ({textwrap.shorten(reason, 300)})")

    def _write_run(self, run: Run) -> dict[str, Any]:
        folder = self.output / self.folders[run.path]
        folder.mkdir(exist_ok=True)
        page = page_of(run)
        pictures = {
            name: attempt(run, f"the picture “{name}” cannot be drawn", draw)
            for name, draw in page.pictures(run, self.companions, folder).items()
        }
        entry = {
            "run": run,
            "title": page.title(run),
            "answer": page.answer(run),
            "pictures": pictures,
            "front_page": pictures[page.front_page],
            "plots": Explorer(run, page).write(folder),
            "outcomes": Counter(run.trials["ended"].fillna("running")).most_common(),
            "trials": rows(ranked(run)),
            "confirmations": confirmations(run),
            "checks": run_checks(run),
            "columns": page.columns(run),
            "again_command": "" if run.best is None else command(run, run.best),
            "weights": weights(run),
            "minutes": minutes(run),
            **page.extra(run, self.companions),
        }
        export(run, folder)
        refusal = "the table for a paper cannot be written"
        entry["paper"] = attempt(run, refusal, lambda: write_paper(run, page, folder))
        self._render(page.template, folder / "index.html", entry)
        if self.single_file:
            figures = (file for plot in entry["plots"].values() for file in plot.variants)
            single = SingleFile(self.output, folder, figures)
            whole = folder / f"{folder.name}-single.html"
            self._render(page.template, whole, {**entry, "single": single, "reload_s": None})
        for file, values in trial_pages(run, folder, page):
            self._render("trial.html", file, {**values, "title": page.title(run)})
        return entry

    def _render(self, template: str, file: Path, content: dict[str, Any]) -> None:
        file.write_text(self.templates.get_template(template).render(content), "utf-8", "replace")


def folders(runs: list[Run]) -> dict[Path, str]:
    """The folder of each run's page, by the run's path: the run's name.

    It is numbered if another run has the same name, or if a file of the site could have it.
    """
    taken: dict[Path, str] = {}
    for run in runs:
        name = run.path.name
        names = [name, *(f"{name}-{place}" for place in range(2, len(runs) + 3))]
        first = 1 if name.endswith(OWN_FILES) else 0
        taken[run.path] = next(one for one in names[first:] if one not in taken.values())
    return taken


def weights(run: Run) -> str:
    """The path of the winner's weights; empty if there are none."""
    place = ("best", "model.safetensors")
    return run.shown_path(*place) if run.path.joinpath(*place).exists() else ""


def ranked(run: Run) -> pd.DataFrame:
    """The run's trials with the ``MINUTES`` that they took and their ``RANK``: the fraction of
    trials that are no worse. A trial that was stopped early is worse than a whole one."""
    trials = run.trials
    rank = trials["number"].map(run.ranks) / len(run.ranks)
    return trials.assign(**{RANK: rank, MINUTES: (trials["finished"] - trials["started"]) / 60})


def export(run: Run, folder: Path) -> None:
    """Write the run's tables: every report as Parquet, as there may be many, the others as CSV.

    A table that cannot be written is named in the run's notes.
    """

    def as_csv(name: str, table: Callable[[], pd.DataFrame]) -> None:
        file = folder / f"{name}.csv"
        table().to_csv(file, index=False, encoding="utf-8", errors="replace")

    def as_parquet() -> None:
        mixed = run.histories.select_dtypes(object)
        text = mixed.map(str, na_action="ignore")  # pyarrow takes no column of several types
        with (folder / "histories.parquet").open("wb") as file:  # pyarrow's paths must be UTF-8
            run.histories.assign(**text).to_parquet(file, index=False)

    writers: dict[str, Callable[[], None]] = {
        "trials": partial(as_csv, "trials", lambda: run.trials),
        "confirmations": partial(as_csv, "confirmations", lambda: run.confirmations),
        "checkpoints": partial(as_csv, "checkpoints", lambda: checkpoints(run)),
        "events": partial(as_csv, "events", lambda: events(run)),
        "histories": as_parquet,
    }
    for name, write in writers.items():
        attempt(run, f"the table “{name}” cannot be written", write)
