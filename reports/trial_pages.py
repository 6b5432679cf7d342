"""The page of each trial: its settings, its learning curves with the best and the hand-tuned ones,
its files, and its error if it failed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from records.checkpoint import settings_of
from records.run import Run
from reports.content import rows
from reports.experiments.default import Page
from reports.figures.interactive import curves
from reports.figures.scripts import Plot, write_variants
from reports.figures.style import BEST, OWN, hand_tuned_lines
from reports.figures.traces import digits, thinned

FOLDER = "trials"
POINTS = 300
"""Reports of a curve that a trial's page shows at most."""
ERROR_LINES = 60
OF_A_SEARCH = (
    "--num-samples", "--sampler", "--scheduler", "--set", "--space-file", "--warm-start",
    "--audit", "--target", "--ablation", "--finalists", "--time-budget", "--confirm", "--seed",
    "--seeds-per-trial", "--resume-or-start",
)  # fmt: skip
"""Options that mean nothing for one training, or that the trial's record has."""


def trial_pages(run: Run, folder: Path, page: Page) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The file of each trial's page, and what its template reads."""
    pages, learning = folder / FOLDER, LearningCurves(run, page)
    pages.mkdir(exist_ok=True)
    numbers = run.trials["number"].tolist()
    for place, trial in enumerate(rows(run.trials)):
        number = trial["number"]
        directory = run.path / f"trial_{number:04d}"
        values = {
            "run": run,
            "trial": trial,
            "settings": settings(run, number),
            "plots": learning.plots(number, pages),
            "files": files(directory),
            "error": last_lines(directory / "error.txt"),
            "command": command(run, number),
            "neighbours": numbers[max(0, place - 1) : place] + numbers[place + 1 : place + 2],
        }
        yield pages / f"{number:04d}.html", values


class LearningCurves:
    """Draws a trial's learning curves, with those of the best and of the hand-tuned trials."""

    def __init__(self, run: Run, page: Page) -> None:
        self.axes = {column: page.axis(run, column) for column in page.measured(run)}
        self.cost = page.axis(run, run.time_attr)
        shown = [column for column in (run.time_attr, *self.axes) if column in run.histories]
        self.histories: dict[Any, dict[str, list[Any]]] = {
            number: {column: digits(points[column]) for column in shown}
            for number, points in thinned(run.histories, POINTS).groupby("number")
        }
        known = run.trials.dropna(subset=["baseline"])[["baseline", "number"]]
        named = zip(known.itertuples(index=False), hand_tuned_lines(), strict=False)
        self.others = {
            number: (f"{name}, trial {number}", {"color": color, "dash": dash})
            for (name, number), (color, dash) in named
        }
        if run.best is not None:
            self.others[run.best] = (f"best, trial {run.best}", {"color": BEST})

    def plots(self, number: int, folder: Path) -> dict[str, Plot]:
        """The figure of a trial's page, its scripts written into ``folder``; empty if it has no
        report."""
        if number not in self.histories:
            return {}
        every = {**self.others, number: (f"trial {number}", {"color": OWN})}
        named = {
            label: (line, self.histories[own])
            for own, (label, line) in every.items()
            if own in self.histories
        }
        drawn = [(column, curves(named, self.cost, axis)) for column, axis in self.axes.items()]
        variants = write_variants(f"{number:04d}", drawn, folder)
        alt = f"The learning curve of {'; '.join(named)}."
        return {"curve": Plot("Learning curve", alt, variants)} if variants else {}


def settings(run: Run, number: int) -> dict[str, Any]:
    """All settings of a trial, the varied ones first."""
    record = run.directory.trial(number).read()
    config = settings_of(run.directory.trial(number).config(record)) if record else {}
    varied = {name: config[name] for name in run.parameters if name in config}
    return {**varied, **config}


def command(run: Run, number: int) -> str:
    """The command that trains a trial again, alone and with its seed.

    Empty if its settings changed during training and it is not the best trial.
    """
    parts = (f"trial_{number:04d}", "trial.json")
    if not run.schedules.empty:
        if number != run.best:
            return ""
        parts = ("best", "config.json")
    return run.commands.again(flags=("--train", run.shown_path(*parts)), less=OF_A_SEARCH)


def files(directory: Path) -> list[tuple[str, int]]:
    """Name and bytes of each file in the trial's folder."""
    found = sorted(file for file in directory.rglob("*") if file.is_file())
    return [(str(file.relative_to(directory)), file.stat().st_size) for file in found]


def last_lines(file: Path) -> str:
    """The end of a text file; empty if there is none."""
    try:
        return "\n".join(file.read_text("utf-8", "replace").splitlines()[-ERROR_LINES:])
    except OSError:
        return ""
