"""A run's page, built in the tests' own process, without the files of its pictures if they do not
matter."""

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution, FloatDistribution, distribution_to_json

from records.run import Run
from records.run_directory import RunDirectory
from records.store import write_json
from records.trial_directory import TrialRecord
from reports.figures.style import apply
from reports.pages import Site
from tests.conftest import OneSearch, SmallGANSearch, SmallSearch

SPACE = {"lr": FloatDistribution(1e-4, 1, log=True), "width": FloatDistribution(0, 64)}
SUMS = "--p 11 --max-steps 200 --num-samples 3 --confirm 2 --no-dashboard"
"""The search of examples/modular_addition that its own test makes."""

Reports = Sequence[Mapping[str, Any]]
Trials = Sequence[tuple[Mapping[str, Any], Reports]]


def invented(
    path: Path,
    trials: Trials,
    space: Mapping[str, BaseDistribution] = SPACE,
    ended: str | None = "budget",
    fresh_seeds: Sequence[Reports] = (),
    metric: str = "score",
    **about: Any,
) -> Path:
    """A run of an experiment that nobody here knows: each trial's settings and reports.

    ``fresh_seeds``: the reports of the best trial, which is the last one, on each.
    """
    run, parts = RunDirectory(path), {"reason": ".", "only_if": None}
    session = {"command": "python tune.py", "started": 1e9, "ended": 1e9 + 60, "how": "finished"}
    search = {
        "experiment": "juggling", "name": path.name, "sessions": [session], "commit": None,
        "options": {"storage_path": "runs", "sampler": "tpe"}, "host": "here", "versions": {},
        "space": {name: {"distribution": distribution_to_json(d), **parts}
                  for name, d in space.items()},
        "objectives": [{"metric": metric, "mode": "max"}], "fixed": {"max_steps": 300},
        "goal": {"metric": metric, "at": "least", "bound": 0.9},
    }  # fmt: skip
    write_json(path / "search.json", {**search, **about})
    best = len(trials) - 1
    again = [({**trials[-1][0], "confirms": best}, reports) for reports in fresh_seeds]
    for folder, made in ((run, trials), (run.confirmation(), again)):
        for number, (config, reports) in enumerate(made):
            begun, whole = 1e9 + 10 * number, {"seed": number, **config}
            ends = None if ended is None else begun + 9
            folder.trial(number).write(TrialRecord(number, whole, begun, ends, ended))
            for place, row in enumerate(reports):
                times = {"timestamp": begun + place, "time_this_iter_s": 1.0}
                folder.trial(number).append({"step": 100 * (place + 1), **times, **row})
    return path


def scores(*values: float | None) -> list[dict[str, Any]]:
    """The reports of a trial that measures its score."""
    return [{"score": value} for value in values]


def four(*more: Mapping[str, Any]) -> list[tuple[dict[str, Any], Reports]]:
    """Four trials of ``SPACE`` with three reports each; ``more``: what each report has besides."""
    extra = [*more, {}, {}, {}][:3]
    return [
        (
            {"lr": 10.0**-number, "width": 8.0 * number},
            [{**row, **extra[at]} for at, row in enumerate(scores(0.1, 0.2, 0.3 + number / 10))],
        )
        for number in range(4)
    ]


def words_of(page: str) -> str:
    """What a reader sees of a page."""
    text = html.unescape(re.sub(r"<[^>]+>", " ", page[page.index("<body") :]))
    return re.sub(r"\s+", " ", text)


def build(*paths: Path, to: Path) -> Path:
    """Build the site of these runs in the folder ``to``; returns its index.

    A process for it would load torch and pandas anew.
    """
    apply()
    return Site([Run.open(path) for path in paths], [], to).write(lambda name: None)


def page_of_run(path: Path, folder: Path) -> str:
    """The page of a run whose site is built in ``folder``/site."""
    build(path, to=folder / "site")
    return (folder / "site" / path.name / "index.html").read_text(encoding="utf-8")


@pytest.fixture
def unsaved(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Pictures are drawn and not written, which takes most of a build's time.

    Returns the names of pictures that are written nevertheless, for a test to add to.
    """
    written, save = set[str](), Figure.savefig

    def savefig(figure: Figure, file: Path, **options: Any) -> None:
        if file.stem.removesuffix("-narrow") in written:
            save(figure, file, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return written


def sums(common: Path) -> Path:
    """The directory of a small search of the example."""
    search = OneSearch(common / "sums", "sums", "examples/modular_addition/tune.py", *SUMS.split())
    assert search.result.returncode == 0, search.result.stderr
    return search.path


@pytest.fixture(
    params=["small_search", "small_gan_search", pytest.param("sums", marks=pytest.mark.slow)]
)
def real_run(request: pytest.FixtureRequest, common: Path) -> Path:
    """The directory of a real run: of an LSTM, a GAN and the example's transformer."""
    if request.param == "sums":
        return sums(common)
    found: SmallSearch | SmallGANSearch = request.getfixturevalue(request.param)
    return found.path
