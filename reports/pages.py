"""The pages: an index of the runs, a page for each and one for each of its trials, HTML from jinja2 with every value escaped.

A page loads nothing from elsewhere, and no script but the site's own; its content security policy says so. What is particular
to an experiment, its pictures and its tables, is in a file of its own.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from reports import gan, lstm
from reports.comparison import compare
from reports.content import SHARES, address, confirmations, moment, number, rows, share
from reports.explore import Explorer
from reports.run import NotARun, Run
from reports.style import FATE_WORDS
from reports.trial_pages import command, settings, trial_pages
from tuning.checks import run_checks

EXPERIMENTS = {"lstm": lstm, "gan": gan}
SCRIPT = Path(__file__).parent / "static" / "report.js"


def environment() -> Environment:
    pages = Environment(
        loader=PackageLoader("reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    pages.filters.update(number=number, share=share, moment=moment, fate=lambda ended: FATE_WORDS.get(ended, "still running"))
    pages.globals["shares"] = SHARES
    return pages


class Site:
    """The report of several runs, written under ``output``.

    ``companions`` are runs that may be drawn beside them. A page loads itself anew every ``reload_s`` seconds, if at all.
    ``broken``: what the index says of folders that could not be opened, a line each.
    """

    def __init__(
        self,
        runs: list[Run],
        companions: list[Run],
        output: Path,
        reload_s: int | None = None,
        broken: Sequence[str] = (),
    ) -> None:
        self.runs, self.companions, self.output, self.broken = runs, companions, output, broken
        self.folders = folders(runs)
        self.templates = environment()
        self.templates.globals["reload_s"] = reload_s
        self.templates.globals["page_of"] = lambda run: quote(self.folders[run.path])

    def write(self, progress: Callable[[str], None]) -> Path:
        """Write every page; returns the index. Raises NotARun where there is nothing to show."""
        self.output.mkdir(parents=True, exist_ok=True)
        (self.output / "plotly.min.js").write_text(get_plotlyjs())
        shutil.copy2(SCRIPT, self.output)
        entries, broken = [], list(self.broken)
        for run in self.runs:
            progress(run.name)
            try:
                entries.append(self._write_run(run))
            except Exception as error:  # files that were cut off or changed by hand hold whatever they happen to hold
                broken.append(f"{run.name} cannot be shown ({type(error).__name__}: {error})")
        if not entries:
            raise NotARun("; ".join(broken))
        compared = compare([entry["run"] for entry in entries], self.folders, self.output)
        if compared:
            drawn = {entry["run"].path: entry["front_page"] for entry in entries}
            content = {**compared, "picture_of_lengths": compared["picture"], "pictures_of": drawn}
            self._render("comparison.html", self.output / "comparison.html", content)
        index = self.output / "index.html"
        self._render("index.html", index, {"entries": entries, "compared": compared is not None, "broken": broken})
        return index

    def _write_run(self, run: Run) -> dict[str, Any]:
        folder = self.output / self.folders[run.path]
        folder.mkdir(exist_ok=True)
        experiment = EXPERIMENTS[run.search["experiment"]]
        content = experiment.content(run, self.companions, folder)
        entry = {
            "run": run,
            "answer": experiment.run_answer(run),
            "pictures": content.pictures,
            "front_page": content.pictures[content.front_page],
            "plots": Explorer(run, folder, experiment.MEASURED).write(),
            "fates": Counter(run.trials["ended"].fillna("running")).most_common() if not run.trials.empty else [],
            "trials": rows(ranked(run)),
            "confirmations": confirmations(run),
            "checks": run_checks(run.evidence),
            "figures": content.figures,
            "again_command": "" if run.best is None else command(run.evidence, settings(run.evidence, run.best)),
            "weights": weights(run, folder),
            "minutes": run.minutes,
            **content.extra,
        }
        export(run, folder)
        self._render(content.template, folder / "index.html", entry)
        for page, values in trial_pages(run, folder, experiment.MEASURED):
            self._render("trial.html", page, values)
        return entry

    def _render(self, template: str, file: Path, content: dict[str, Any]) -> None:
        file.write_text(self.templates.get_template(template).render(content))


def folders(runs: list[Run]) -> dict[Path, str]:
    """The folder of each run's page, by the run's path: its name, numbered where two runs in different places have the same."""
    taken: dict[Path, str] = {}
    for run in runs:
        names = [run.name, *(f"{run.name}-{place}" for place in range(2, len(runs) + 2))]
        taken[run.path] = next(name for name in names if name not in taken.values())
    return taken


def weights(run: Run, folder: Path) -> str:
    """The address, from the run's page, of the winner's weights; empty where there are none."""
    file = run.path / "best" / "model.safetensors"
    return address(file, folder) if file.exists() else ""


def ranked(run: Run) -> pd.DataFrame:
    """The run's trials with their ``rank``, the share of trials that are no worse, and the ``minutes`` they took."""
    trials = run.trials
    rank = trials[run.objective].astype(float).rank(ascending=run.minimizes, method="max", pct=True)
    return trials.assign(rank=rank, minutes=(trials["finished"] - trials["started"]) / 60)


def export(run: Run, folder: Path) -> None:
    """The run's tables beside its page: reports by the hundred thousand as Parquet, the others as CSV."""
    run.trials.to_csv(folder / "trials.csv", index=False)
    run.confirmations.to_csv(folder / "confirmations.csv", index=False)
    run.checkpoints.to_csv(folder / "checkpoints.csv", index=False)
    run.events.to_csv(folder / "events.csv", index=False)
    run.histories.to_parquet(folder / "histories.parquet", index=False)
