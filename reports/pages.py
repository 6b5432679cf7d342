"""The pages: an index of the runs, a page for each and one for each of its trials, HTML from jinja2
with every value escaped.

A page loads nothing from elsewhere, and no script but the site's own; its content security policy
says so. What is particular to an experiment, its pictures and its tables, is in a file of its own.
"""

import errno
import json
import os
import shlex
import shutil
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from command_line import UsageError
from records.checks import run_checks
from records.outcome import outcome_of
from records.run import Run, readable
from records.search_json import NotARun
from records.tables import checkpoints, events, minutes
from reports.comparison import compare, compared
from reports.content import address, confirmations, moment, number, rows, share
from reports.experiments import page_of
from reports.explore import Explorer
from reports.trial_pages import command, trial_pages

SCRIPT = Path(__file__).parent / "static" / "report.js"
OWN_FILES = (".html", ".js", ".png", ".svg")
"""Endings of the site's files, which no run's folder may take the place of."""
OUT_OF_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def environment() -> Environment:
    pages = Environment(
        loader=ChoiceLoader([PackageLoader("reports"), PackageLoader("reports", "experiments")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters.update(
        number=number, share=share, moment=moment, outcome=lambda ended: outcome_of(ended).words
    )
    pages.filters.update(
        python=lambda text: json.dumps(text, ensure_ascii=False),
        shell=lambda word: shlex.quote(str(word)),
    )
    return pages


class Site:
    """The report of several runs, written under ``output``.

    ``companions`` are runs that may be drawn beside them. A page loads itself anew every
    ``reload_s`` seconds, if at all. ``broken``: what the index says of folders that could not be
    opened, a line each.
    """

    def __init__(
        self,
        runs: list[Run],
        companions: list[Run],
        output: Path,
        reload_s: int | None = None,
        broken: Sequence[str] = (),
    ) -> None:
        self.runs, self.companions, self.output, self.broken = (
            runs,
            companions,
            output,
            list(broken),
        )
        self.shown = 0
        self.folders = folders(runs)
        self.templates = environment()
        self.templates.globals["reload_s"] = reload_s
        self.templates.globals["page_of"] = lambda run: quote(os.fsencode(self.folders[run.path]))

    def write(self, progress: Callable[[str], None]) -> Path:
        """Write every page; returns the index. Each run stands by itself: of one that cannot be
        shown or compared, ``broken`` says why, a line each.

        Raises NotARun if there is nothing to show, UsageError if ``output`` cannot be written to or
        lies in a run.
        """
        self._keep_out_of_runs()
        try:
            self.output.mkdir(parents=True, exist_ok=True)
            (self.output / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
            shutil.copy2(SCRIPT, self.output)
            entries = [entry for run in self.runs if (entry := self._entry(run, progress))]
            if not entries:
                raise NotARun("; ".join(self.broken))
            self.shown = len(entries)
            has_comparison = self._write_comparison(entries)
            (self.output / "index.html").write_text(
                self._index(entries, has_comparison), "utf-8", "replace"
            )
        except OSError as error:
            raise UsageError(
                f"--output {self.output} cannot be written to: {error.strerror or error}"
            ) from None
        return self.output / "index.html"

    def _keep_out_of_runs(self) -> None:
        """A report never writes into a run, neither by the folder that it is given nor by one that a page is to have."""
        try:
            for page in (self.output, *(self.output / folder for folder in self.folders.values())):
                run = next(
                    (
                        one
                        for one in (page.resolve(), *page.resolve().parents)
                        if (one / "search.json").exists()
                    ),
                    None,
                )
                if run:
                    raise UsageError(
                        f"--output {self.output} would write into the run {run}: choose another folder"
                    )
            if self.output.exists() and not self.output.is_dir():
                raise UsageError(f"--output {self.output} is a file")
        except OSError as error:
            raise UsageError(
                f"--output {self.output} cannot be written to: {error.strerror}"
            ) from None

    def _entry(self, run: Run, progress: Callable[[str], None]) -> dict[str, Any] | None:
        """What the index shows of a run once its pages are written; None if files that were cut off
        or changed by hand, and hold whatever they happen to hold, allow none. Raises OSError if it
        is the output that cannot be written to."""
        progress(run.name)
        try:
            entry = self._write_run(run)
            self._index([entry], False)
        except Exception as error:
            if self._is_of_output(error):
                raise
            self._note(f"{run.name} cannot be shown", error)
            return None
        try:
            entry["compared"] = compared(run)
        except Exception as error:
            self._note(f"{run.name} cannot be compared with others", error)
        return entry

    def _write_comparison(self, entries: list[dict[str, Any]]) -> bool:
        """Write the page that compares the runs; False if there are not two of a kind."""
        try:
            comparable = [one for entry in entries if (one := entry.get("compared"))]
            names = {path: readable(folder) for path, folder in self.folders.items()}
            groups = compare(comparable, names, self.output)
            if not groups:
                return False
            drawn = {entry["run"].path: entry["front_page"] for entry in entries}
            plots = {name: plot for group in groups for name, plot in group.plots.items()}
            self._render(
                "comparison.html",
                self.output / "comparison.html",
                {"groups": groups, "plots": plots, "pictures_of": drawn},
            )
        except Exception as error:
            if self._is_of_output(error):
                raise
            self._note("the runs cannot be compared", error)
            return False
        return True

    def _index(self, entries: list[dict[str, Any]], has_comparison: bool) -> str:
        content = {"entries": entries, "compared": has_comparison, "broken": self.broken}
        return self.templates.get_template("index.html").render(content)

    def _is_of_output(self, error: Exception) -> bool:
        """Whether an error is trouble with the folder that is written to, and not with a run."""
        if not isinstance(error, OSError):
            return False
        written = isinstance(error.filename, str | Path) and Path(error.filename).is_relative_to(
            self.output
        )
        return written or error.errno in OUT_OF_SPACE

    def _note(self, what: str, error: Exception) -> None:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        self.broken.append(f"{what} ({textwrap.shorten(reason, 300)})")

    def _write_run(self, run: Run) -> dict[str, Any]:
        folder = self.output / self.folders[run.path]
        folder.mkdir(exist_ok=True)
        page = page_of(run)
        pictures = page.pictures(run, self.companions, folder)
        entry = {
            "run": run,
            "title": page.title(run),
            "answer": page.answer(run),
            "pictures": pictures,
            "front_page": pictures[page.front_page],
            "plots": Explorer(run, folder, page).write(),
            "outcomes": Counter(run.trials["ended"].fillna("running")).most_common()
            if not run.trials.empty
            else [],
            "trials": rows(ranked(run)),
            "confirmations": confirmations(run),
            "checks": run_checks(run),
            "columns": page.columns(run),
            "percentages": page.percentages,
            "again_command": "" if run.best is None else command(run, run.best),
            "weights": weights(run, folder),
            "minutes": minutes(run),
            **page.extra(run, self.companions),
        }
        export(run, folder)
        self._render(page.template, folder / "index.html", entry)
        for file, values in trial_pages(run, folder, page):
            self._render("trial.html", file, {**values, "title": page.title(run)})
        return entry

    def _render(self, template: str, file: Path, content: dict[str, Any]) -> None:
        file.write_text(self.templates.get_template(template).render(content), "utf-8", "replace")


def folders(runs: list[Run]) -> dict[Path, str]:
    """The folder of each run's page, by the run's path: its name, numbered where two runs in
    different places have the same, or where it could be a file of the site."""
    taken: dict[Path, str] = {}
    for run in runs:
        name = run.path.name
        names = [name, *(f"{name}-{place}" for place in range(2, len(runs) + 3))]
        if name.endswith(OWN_FILES):
            names = names[1:]
        taken[run.path] = next(name for name in names if name not in taken.values())
    return taken


def weights(run: Run, folder: Path) -> str:
    """The address, from the run's page, of the winner's weights; empty where there are none."""
    file = run.path / "best" / "model.safetensors"
    return address(file, folder) if file.exists() else ""


def ranked(run: Run) -> pd.DataFrame:
    """The run's trials with their ``rank``, the share of trials that are no worse, and the ``minutes`` they took."""
    trials = run.trials
    rank = trials[run.metric].astype(float).rank(ascending=run.minimizes, method="max", pct=True)
    return trials.assign(rank=rank, minutes=(trials["finished"] - trials["started"]) / 60)


def export(run: Run, folder: Path) -> None:
    """The run's tables beside its page: reports by the hundred thousand as Parquet, the others as CSV."""
    run.trials.to_csv(folder / "trials.csv", index=False, encoding="utf-8", errors="replace")
    run.confirmations.to_csv(
        folder / "confirmations.csv", index=False, encoding="utf-8", errors="replace"
    )
    checkpoints(run).to_csv(
        folder / "checkpoints.csv", index=False, encoding="utf-8", errors="replace"
    )
    events(run).to_csv(folder / "events.csv", index=False, encoding="utf-8", errors="replace")
    with (folder / "histories.parquet").open(
        "wb"
    ) as file:  # pyarrow takes no path that is not UTF-8
        run.histories.to_parquet(file, index=False)
