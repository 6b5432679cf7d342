"""What the page of each trial shows: its settings, its curve beside the best and the hand-tuned one, its files, its failure."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from records.checkpoint import settings_of
from records.run import Run
from reports.content import address, rows
from reports.experiments.default import Page
from reports.explore import Plot, write_figure
from reports.figures import interactive
from reports.figures.style import BEST, HAND_TUNED, OWN

FOLDER = "trials"
POINTS = 300
"""Reports of a curve that a trial's page shows at most."""
ERROR_LINES = 60
OF_A_SEARCH = (
    "--num-samples", "--sampler", "--scheduler", "--set", "--space-file", "--warm-start", "--audit", "--target", "--ablation",
    "--time-budget", "--confirm", "--seed",
)  # fmt: skip
"""Options that mean nothing for one training, or that the trial's record has."""


def trial_pages(run: Run, folder: Path, page: Page) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The file of each trial's page and what its template reads."""
    (folder / FOLDER).mkdir(exist_ok=True)
    known = run.trials.dropna(subset=["baseline"])[["baseline", "number"]].head(1)
    others = [(f"best, trial {run.best}", BEST, run.best)]
    others += [
        (f"{name}, trial {number}", HAND_TUNED[0], number)
        for name, number in known.itertuples(index=False)
    ]
    measured = page.measured(run)
    axes = {column: page.axis(run, column) for column in measured}
    cost = page.axis(run, run.time_attr)
    drawable = [column for column in (run.time_attr, *measured) if column in run.histories]
    histories = {
        number: {column: interactive.digits(points[column]) for column in drawable}
        for number, points in interactive.thinned(run.histories, POINTS).groupby("number")
    }
    numbers = run.trials["number"].tolist()
    for place, trial in enumerate(rows(run.trials)):
        name = f"{trial['number']:04d}"
        curves = [
            (f"trial {trial['number']}", OWN, trial["number"]),
            *(one for one in others if one[2] != trial["number"]),
        ]
        drawn = {
            label: (color, histories[number])
            for label, color, number in curves
            if number in histories
        }
        variants = {}
        for column, axis in axes.items():
            figure = interactive.curves(drawn, cost, axis)
            if figure.data:
                variants[column.replace("_", " ")] = f"{name}-{column}"
                write_figure(figure, folder / FOLDER, f"{name}-{column}")
        config = settings(run, trial["number"])
        directory = run.path / f"trial_{name}"
        yield (
            folder / FOLDER / f"{name}.html",
            {
                "run": run,
                "trial": trial,
                "settings": config,
                "plots": {
                    "curve": Plot(
                        "Its curve",
                        f"Trial {trial['number']} beside the best and hand-tuned settings.",
                        variants,
                    )
                }
                if variants
                else {},
                "files": files(directory, folder / FOLDER),
                "error": last_lines(directory / "error.txt"),
                "command": command(run, trial["number"]),
                "beside": numbers[max(0, place - 1) : place] + numbers[place + 1 : place + 2],
            },
        )


def settings(run: Run, number: int) -> dict[str, Any]:
    """All settings of a trial, the varied ones first."""
    record = run.directory.trial(number).read()
    config = settings_of(run.directory.trial(number).config(record)) if record else {}
    varied = {name: config[name] for name in run.parameters if name in config}
    return {**varied, **config}


def command(run: Run, number: int) -> str:
    """The command that trains a trial again, alone and with its seed. Empty if its settings changed on the way."""
    parts = (f"trial_{number:04d}", "trial.json")
    if not run.schedules.empty:
        if number != run.best:
            return ""
        parts = ("best", "config.json")
    return run.commands.again(flags=("--train", run.shown_path(*parts)), less=OF_A_SEARCH)


def files(directory: Path, page: Path) -> list[tuple[str, str, int]]:
    """Name, address from the page, and bytes of each file in the trial's folder."""
    found = sorted(file for file in directory.rglob("*") if file.is_file())
    return [
        (str(file.relative_to(directory)), address(file, page), file.stat().st_size)
        for file in found
    ]


def last_lines(file: Path) -> str:
    """The end of a text file; empty where there is none."""
    try:
        return "\n".join(file.read_text("utf-8", "replace").splitlines()[-ERROR_LINES:])
    except OSError:
        return ""
