"""What the page of each trial shows: its settings, its curve beside the best and the hand-tuned one, its files, its failure."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reports import interactive
from reports.content import address, rows
from reports.explore import COST, LOG, Plot, write_figure
from reports.interactive import Axis
from reports.run import Run
from reports.style import BEST, BY_HAND, OWN
from trainables.checkpoint import settings_of
from tuning.checks.evidence import Evidence

FOLDER = "trials"
POINTS = 300
"""Reports of a curve that a trial's page shows at most."""
ERROR_LINES = 60
OF_A_SEARCH = ("--ablation", "--audit", "--target", "--time-budget", "--warm-start")
"""Options that mean nothing for one trial alone."""


def trial_pages(run: Run, folder: Path, measured: tuple[str, ...]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The file of each trial's page and what its template reads."""
    (folder / FOLDER).mkdir(exist_ok=True)
    known = run.trials.dropna(subset=["known"])[["known", "number"]].head(1)
    others = [(f"best, trial {run.best}", BEST, run.best)]
    others += [(f"{name}, trial {number}", BY_HAND[0], number) for name, number in known.itertuples(index=False)]
    axes = {column: Axis(column, column.replace("_", " "), column in LOG) for column in measured}
    cost = Axis(run.cost, COST.get(run.cost, run.cost))
    drawable = [column for column in (run.cost, *measured) if column in run.histories]
    histories = {
        number: {column: interactive.digits(points[column]) for column in drawable}
        for number, points in interactive.thinned(run.histories, POINTS).groupby("number")
    }
    numbers = run.trials["number"].tolist()
    for place, trial in enumerate(rows(run.trials)):
        name = f"{trial['number']:04d}"
        curves = [(f"trial {trial['number']}", OWN, trial["number"]), *(one for one in others if one[2] != trial["number"])]
        drawn = {label: (color, histories[number]) for label, color, number in curves if number in histories}
        variants = {}
        for column, axis in axes.items():
            figure = interactive.curves(drawn, cost, axis)
            if figure.data:
                variants[column.replace("_", " ")] = f"{name}-{column}"
                write_figure(figure, folder / FOLDER, f"{name}-{column}")
        config = settings(run.evidence, trial["number"])
        directory = run.path / f"trial_{name}"
        yield (
            folder / FOLDER / f"{name}.html",
            {
                "run": run,
                "trial": trial,
                "settings": config,
                "plots": {
                    "curve": Plot("Its curve", f"Trial {trial['number']} beside the best and hand-tuned settings.", variants)
                }
                if variants
                else {},
                "files": files(directory, folder / FOLDER),
                "error": last_lines(directory / "error.txt"),
                "command": command(run.evidence, config),
                "beside": numbers[max(0, place - 1) : place] + numbers[place + 1 : place + 2],
            },
        )


def settings(evidence: Evidence, number: int) -> dict[str, Any]:
    """All settings of a trial, the varied ones first."""
    record = evidence.run.trial(number).read()
    config = settings_of(evidence.run.trial(number).config(record)) if record else {}
    varied = {name: config[name] for name in evidence.parameters if name in config}
    return {**varied, **config}


def command(evidence: Evidence, settings: Mapping[str, Any]) -> str:
    """The command that trains a trial's settings again, alone: a search needs something to vary, so one of them may vary by a
    millionth. Empty where none is a number."""
    mine = {name: value for name, value in settings.items() if name in evidence.parameters}
    free = next((name for name, value in mine.items() if isinstance(value, float) and value > 0), None)
    if free is None:
        return ""
    changes = [f"{name}={value}..{value * (1 + 1e-6)!r}" if name == free else f"{name}={value}" for name, value in mine.items()]
    return evidence.again(*changes, flags=("--num-samples", "1", "--confirm", "0"), less=OF_A_SEARCH)


def files(directory: Path, page: Path) -> list[tuple[str, str, int]]:
    """Name, address from the page, and bytes of each file in the trial's folder."""
    found = sorted(file for file in directory.rglob("*") if file.is_file())
    return [(str(file.relative_to(directory)), address(file, page), file.stat().st_size) for file in found]


def last_lines(file: Path) -> str:
    """The end of a text file; empty where there is none."""
    try:
        return "\n".join(file.read_text("utf-8", "replace").splitlines()[-ERROR_LINES:])
    except OSError:
        return ""
