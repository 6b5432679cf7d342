"""What the index and the pages of trials state, computed from the runs' raw files.

Nothing here comes from the project's own code. Each function returns the items of a page's text,
in the order of the text.
"""

import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.support.raw_run import Item, RawRun, Trial
from tests.support.recompute import RESULT, answer, counts
from tests.support.recompute_checks import WHO

OF_A_SEARCH = {
    "--num-samples", "--sampler", "--scheduler", "--set", "--space-file", "--warm-start", "--name",
    "--audit", "--target", "--ablation", "--finalists", "--time-budget", "--confirm", "--seed",
    "--seeds-per-trial", "--resume", "--resume-or-start", "--train",
}  # fmt: skip
"""Options of a search that one training does not take, or whose values its record has."""


def title(run: RawRun) -> str:
    """What was searched."""
    fixed, experiment = run.search.get("fixed", {}), run.search["experiment"]
    if experiment == "lstm" and {"model", "input_length"} <= fixed.keys():
        return f"{fixed['model']}, T = {fixed['input_length']}"
    if experiment == "gan" and "dataset" in fixed:
        return f"GAN, {fixed['dataset']}"
    return str(experiment).replace("_", " ")


def index(runs: Sequence[RawRun]) -> list[Item]:
    """The index: a row for each run, then the answer of each."""
    boxes: list[list[Item]] = [[title(run), run.path.name, *answer(run)] for run in runs]
    items = list[Item]()
    for part in (*map(_row, runs), *boxes):
        items += part
    return items


def _row(run: RawRun) -> list[Item]:
    session = run.search["sessions"][0]
    begun: list[Item] = [
        _minutes(run),
        _moment(session["started"]),
        " ".join(session["command"].split()),
    ]
    items: list[Item] = [run.path.name, title(run), *counts(run)]
    if run.winner is None:
        items += ["none yet", None, None, None]
        return items + begun
    metric, goal = RESULT.get(run.search["experiment"], run.objective["metric"]), run.goal
    seeds = [*run.on_seeds(run.winner).values()]
    values = [one.last[goal["metric"]] for one in seeds if one.last.get(goal["metric"]) is not None]
    worst = (min if goal["at"] == "least" else max)(values) if values else None
    items += [*run.settings(run.winner.config), run.winner.last.get(metric), worst]
    return [*items, sum(map(run.reaches, seeds)), "of", len(seeds), *begun]


def _minutes(run: RawRun) -> float:
    """Minutes of all sessions; one without an end lasts until its last report."""
    sessions, total = run.search["sessions"], 0.0
    times = [row["timestamp"] for one in run.trials for row in one.reports if "timestamp" in row]
    ends = [one["started"] for one in sessions[1:]] + [float("inf")]
    for one, following in zip(sessions, ends, strict=True):
        within = [time for time in times if one["started"] <= time <= following]
        total += (one["ended"] or max(within, default=one["started"])) - one["started"]
    return total / 60


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"


def trial_page(run: RawRun, trial: Trial) -> list[Item]:
    """A trial's page."""
    place = [one.number for one in run.trials].index(trial.number)
    beside = [*run.trials[max(0, place - 1) : place], *run.trials[place + 1 : place + 2]]
    items: list[Item] = [title(run), run.path.name]
    for one in beside:
        items += ["trial", one.number]
    items += ["trial", trial.number]
    items += ["the best"] if run.winner and run.winner.number == trial.number else []
    items += [trial.config["baseline"]] if trial.is_baseline else []
    items += [run.words(replace(trial, error=None))]
    items += ["at step", trial.last["step"]] if trial.last else []
    metric = run.objective["metric"]
    items += [metric.replace("_", " "), trial.last.get(metric), "seed", trial.config["seed"]]
    items += ["started", _moment(trial.started)] if trial.started else []
    items += ["took", trial.minutes, "minutes"] if trial.minutes is not None else []
    folder = run.path / f"trial_{trial.number:04d}"
    again = _command(run, folder / "trial.json")
    return [*items, *_why(trial, folder), *_settings(run, trial), again, *_files(folder)]


def _why(trial: Trial, folder: Path) -> list[Item]:
    """Why a trial failed: the error, and the last lines of its traceback."""
    if not trial.error:
        return []
    file = folder / "error.txt"
    lines = file.read_text("utf-8").splitlines()[-60:] if file.exists() else []
    return ["why it failed", trial.error, *(" ".join(line.split()) for line in lines)]


def _settings(run: RawRun, trial: Trial) -> list[Item]:
    """Every setting, the searched ones first, just as it is in the file."""
    own = {name: value for name, value in trial.config.items() if name not in WHO}
    searched = [name for name in run.space if name in own]
    names = [*searched, *(name for name in own if name not in searched)]
    items: list[Item] = ["searched or fixed"]
    for name in names:
        items += [f"{name} {own[name]} {'searched' if name in run.space else 'fixed'}"]
    return items


def _command(run: RawRun, file: Path) -> str:
    """The first command without the options of a search, to train one trial's settings."""
    _, script, *words = shlex.split(run.search["sessions"][0]["command"])
    kept, goes = list[Any](), True
    for word in words:
        goes = word.split("=")[0] not in OF_A_SEARCH if word.startswith("--") else goes
        kept += [word] if goes else []
    return shlex.join(["python", script, *kept, "--train", os.path.relpath(file)])


def _files(folder: Path) -> list[Item]:
    """Each file in the trial's folder, and its size."""
    items: list[Item] = [os.path.relpath(folder)]
    for file in sorted(one for one in folder.rglob("*") if one.is_file()):
        items += [file.relative_to(folder).as_posix(), file.stat().st_size, "bytes"]
    return items
