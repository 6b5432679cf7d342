"""The pages: an index of the runs and a page for each, HTML from jinja2 with every value from a run escaped.

A page loads nothing from elsewhere and runs no script; its content security policy says so. What is particular to an
experiment, its pictures and its tables, is in a file of its own.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from reports import gan, lstm
from reports.content import SHARES, confirmations, moment, number, rows, share
from reports.run import Run
from reports.style import FATE_WORDS
from tuning.checks import run_checks
from tuning.run_directory import RunDirectory

EXPERIMENTS = {"lstm": lstm, "gan": gan}


def environment() -> Environment:
    pages = Environment(
        loader=PackageLoader("reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    pages.filters.update(number=number, share=share, moment=moment, fate=lambda ended: FATE_WORDS.get(ended, "still running"))
    pages.globals["shares"] = SHARES
    return pages


class Site:
    """The report of several runs, written under ``output``. ``companions`` are runs that may be drawn beside them."""

    def __init__(self, runs: list[Run], companions: list[Run], output: Path) -> None:
        self.runs, self.companions, self.output = runs, companions, output
        self.templates = environment()

    def write(self, progress: Callable[[str], None]) -> Path:
        """Write every page; returns the index."""
        self.output.mkdir(parents=True, exist_ok=True)
        entries = []
        for run in self.runs:
            progress(run.name)
            entries.append(self._write_run(run))
        index = self.output / "index.html"
        self._render("index.html", index, {"entries": entries})
        return index

    def _write_run(self, run: Run) -> dict[str, Any]:
        folder = self.output / run.name
        folder.mkdir(exist_ok=True)
        experiment = EXPERIMENTS[run.search["experiment"]]
        content = experiment.content(run, self.companions, folder)
        entry = {
            "run": run,
            "answer": experiment.run_answer(run),
            "pictures": content.pictures,
            "front_page": content.pictures[content.front_page],
            "fates": Counter(run.trials["ended"].fillna("running")).most_common() if not run.trials.empty else [],
            "trials": rows(run.trials),
            "confirmations": confirmations(run),
            "checks": run_checks(RunDirectory(run.path)),
            "figures": content.figures,
            **content.extra,
        }
        self._render(content.template, folder / "index.html", entry)
        return entry

    def _render(self, template: str, file: Path, content: dict[str, Any]) -> None:
        file.write_text(self.templates.get_template(template).render(content))
