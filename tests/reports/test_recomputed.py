"""The numbers on the pages of real runs, recomputed from the runs' raw files.

``tests.support.recompute`` computes them by their definitions and imports nothing of the project.
Every number in the answer, in the count of outcomes, in the tables of trials, of fresh seeds and of
a GAN's quality, and in the sentences of seven checks must be one of those.
"""

import ast
import itertools
import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution

import records.checks
from records.run import Run
from records.run_directory import RunDirectory
from records.store import write_json
from records.trial_directory import TrialRecord
from records.versus_baseline import versus_baseline
from tests.conftest import ROOT, SmallGANSearch, SmallSearch, run
from tests.reports.conftest import SPACE, invented, page_of_run, scores
from tests.support.page_numbers import Element, agrees, differences, read_page
from tests.support.raw_run import Item, RawRun
from tests.support.recompute import answer, counts, quality, table_of_seeds, table_of_trials, versus
from tests.support.recompute_checks import CHECKS, NOT_APPLICABLE

SUMS = "--p 11 --max-steps 200 --num-samples 3 --confirm 2 --no-dashboard --name sums"
"""The search of examples/modular_addition that its own test makes."""


@dataclass(frozen=True)
class Parts:
    """The parts of a run's page of which every number is compared."""

    answer: Element
    outcomes: Element
    trials: Element
    seeds: Element
    checks: dict[str, Element]
    quality: list[Element]
    """The rows of the table of a GAN's quality; empty on another page."""

    def __iter__(self) -> Iterator[Element]:
        yield from (self.answer, self.outcomes, self.trials, self.seeds)
        yield from (*self.checks.values(), *self.quality)


def parts_of(page: Element) -> Parts:
    """The answer, the count of outcomes, the tables of trials and of fresh seeds, and the sentences
    of checks."""
    boxes = [one for one in page.every("div") if "answer" in one.attributes["class"].split()]
    every, below = [*page], "How the search went"
    (place,) = [at for at, one in enumerate(every) if one.tag == "h2" and one.text == below]
    outcomes = next(one for one in every[place:] if one.tag == "p")
    tables = [
        table
        for label in ("Every trial", "Every fresh seed")
        for table in page.every("div", **{"aria-label": label})
    ]
    details = {code: page.every("details", id=code) for code in CHECKS}
    sentences = {code: check.every("summary")[0] for code, (check,) in details.items()}
    (box,), (trials, seeds) = boxes, tables
    images = page.every("div", **{"aria-label": "Quality of images"})
    rows = [row for table in images for body in table.every("tbody") for row in body.every("tr")]
    return Parts(box, outcomes, trials, seeds, sentences, rows)


def compare(run: RawRun, page: Parts) -> list[str]:
    """Every number of the page's parts that is not as recomputed, a line each."""
    return [
        *differences(page.answer.text, _once(answer, run)),
        *differences(page.outcomes.text, _once(counts, run)),
        *_trials(run, page.trials),
        *_seeds(run, page.seeds),
        *_checks(run, page.checks),
        *_quality(run, page.quality),
    ]


@cache
def _once(recompute: Callable[[RawRun], Any], run: RawRun) -> Any:
    """What ``recompute`` finds in a run's files."""
    return recompute(run)


def _table(region: Element) -> tuple[list[str], list[Element]]:
    """The headings and the rows of a table."""
    (body,) = region.every("tbody")
    return [one.text for one in region.every("th")], body.every("tr")


def _trials(run: RawRun, table: Element) -> list[str]:
    headings, rows = _table(table)
    expected, best = _once(table_of_trials, run), run.winner and run.winner.number
    assert len(rows) == len(expected)
    found = [f"{name} has no column" for name in run.space if name not in headings]
    for element, row in zip(rows, expected, strict=True):
        marked = element.attributes.get("class") == "best"
        if marked != (row["trial"] == best):
            found.append(f"the best is trial {best}, and trial {row['trial']} is marked {marked}")
        found += _exact(element.attributes["data-trial"], row["trial"])
        found += _exact(element.attributes["data-rank"], row["rank"])
        for heading, cell in zip(headings, element.every("td"), strict=True):
            found += _cell(cell, row, heading, {*expected[0]}.union(*expected))
    return found


def _seeds(run: RawRun, table: Element) -> list[str]:
    expected = _once(table_of_seeds, run)
    headings, rows = _table(table)
    assert len(rows) == len(expected)
    found = []
    for element, row in zip(rows, expected, strict=True):
        settings, *cells = element.every("td")
        whole = row["settings"] if ":" in settings.text else row["settings"][:2]
        found += differences(settings.text, whole)
        for heading, cell in zip(headings[1:], cells, strict=True):
            found += _cell(cell, row, heading, {*expected[0]}.union(*expected))
    return found


def _checks(run: RawRun, sentences: dict[str, Element]) -> list[str]:
    found = []
    for code, check in CHECKS.items():
        status, items = _once(check, run)
        sentence = sentences[code]
        shown = [one.text for one in sentence.every("b")] or [NOT_APPLICABLE]
        found += [] if shown == [status] else [f"{code} {shown[0]} is {status} by the files"]
        found += differences(sentence.text, [code, *items])
    return found


def _quality(run: RawRun, rows: list[Element]) -> list[str]:
    expected = _once(quality, run) if run.search["experiment"] == "gan" else []
    assert len(rows) == len(expected)
    pairs = zip(rows, expected, strict=True)
    return [line for row, items in pairs for line in differences(row.text, items)]


def _cell(cell: Element, row: dict[str, Any], heading: str, known: set[str]) -> list[str]:
    """What is wrong in a cell: what it shows, and what it is sorted by."""
    if heading not in known:
        return [f"the column “{heading}” is unexplained"]
    value, exact = row.get(heading), cell.attributes.get("data-value")
    found = [] if exact is None else _exact(exact, value)
    if not (cell.text == str(value) if isinstance(value, str) else agrees(cell.text, value)):
        found.append(f"{heading} {cell.text} is {value} in the files")
    return found


def _exact(attribute: str, value: Item) -> list[str]:
    """What is wrong in an attribute that has a whole number, or one in full precision."""
    if value is None or isinstance(value, str):
        same = attribute == (value or "")
    else:
        same = attribute != "" and math.isclose(float(attribute), value, rel_tol=1e-9)
    return [] if same else [f"the attribute {attribute} is {value} in the files"]


def sums(folder: Path) -> Path:
    """The directory of a small search of the example."""
    result = run("examples/modular_addition/tune.py", *SUMS.split(), cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder / "runs" / "sums"


@pytest.fixture(
    params=["small_search", "small_gan_search", pytest.param("sums", marks=pytest.mark.slow)]
)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The directory of a real run: of an LSTM, a GAN and the example's transformer."""
    if request.param == "sums":
        return sums(tmp_path)
    found: SmallSearch | SmallGANSearch = request.getfixturevalue(request.param)
    return found.path


def test_every_number_of_a_page_follows_from_the_runs_raw_files(
    path: Path, tmp_path: Path, unsaved: set[str]
) -> None:
    page, files = parts_of(read_page(page_of_run(path, tmp_path))), RawRun(path)
    assert compare(files, page) == []
    assert unseen_changes(files, page) == []


def unseen_changes(run: RawRun, page: Parts) -> list[str]:
    """The places where the page's parts may have another digit, one at a time, or a digit instead
    of a dash, without ``compare`` seeing it."""
    unseen = []
    for element in (one for part in page for one in (part, *part)):
        for place, text in enumerate(element.children):
            if isinstance(text, str):
                for other in _other_texts(text):
                    element.children[place] = other
                    if not compare(run, page):
                        unseen.append(f"{other} instead of {text}")
                element.children[place] = text
    return unseen


def _other_texts(text: str) -> Iterator[str]:
    """The text with each of its digits and dashes in turn replaced by another digit."""
    for at, old in enumerate(text):
        if old in "0123456789—":
            new = "7" if old == "—" else str((int(old) + 1) % 10)
            yield text[:at] + new + text[at + 1 :]


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("trial_0000/trial.json", {"finished": 9e9}),
        ("trial_0000/trial.json", {"ended": "diverged"}),
        ("trial_0003/result.json", {"loss": 3.0}),
        ("confirmation/trial_0001/result.json", {"test_accuracy": 0.98}),
        ("confirmation/trial_0003/result.json", {"steps_to_converge": 250}),
        ("confirmation/trial_0002/result.json", {"mean_accuracy": 0.5}),
        ("best/config.json", {"lr": 0.0321}),
        ("search.json", {"goal": {"metric": "test_accuracy", "at": "least", "bound": 0.5}}),
    ],
)
def test_a_page_that_is_older_than_a_raw_value_is_found_out(
    file: str, change: dict[str, Any], small_search: SmallSearch, tmp_path: Path, unsaved: set[str]
) -> None:
    copy = Path(shutil.copytree(small_search.path, tmp_path / "small"))
    page = parts_of(read_page(page_of_run(copy, tmp_path / "report")))
    assert compare(RawRun(copy), page) == []
    lines = (copy / file).read_text("utf-8").splitlines() if file.endswith("result.json") else []
    text = lines[-1] if lines else (copy / file).read_text("utf-8")
    changed = json.dumps({**json.loads(text), **change})
    (copy / file).write_text("\n".join([*lines[:-1], changed]), "utf-8")
    assert compare(RawRun(copy), page) != []


def test_the_judge_knows_nothing_of_the_project() -> None:
    for name in ("page_numbers", "raw_run", "recompute", "recompute_checks"):
        tree = ast.parse((ROOT / "tests" / "support" / f"{name}.py").read_text("utf-8"))
        froms = [str(one.module) for one in ast.walk(tree) if isinstance(one, ast.ImportFrom)]
        plain = [one.names[0].name for one in ast.walk(tree) if isinstance(one, ast.Import)]
        others = {one for one in froms + plain if not one.startswith("tests.support.")}
        assert {one.split(".")[0] for one in others} <= {*sys.stdlib_module_names, "numpy", "scipy"}


def larger(path: Path, seed: int, effect: float) -> RawRun:
    """An invented run of 40 trials, of which three fail, with a baseline and three other finalists
    on five fresh seeds.

    With the ``seed`` 2, each trial has three seeds.

    ``effect``: how much the score rises with ``lr``, up to the end of its range, and in how much of
    its range the sampler draws no more. The score is noise otherwise.
    """
    draw, startup = np.random.default_rng(seed), 30 if seed == 3 else 16
    space = {**SPACE, "kind": CategoricalDistribution(("a", "b", "rare"))}
    trials: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    for number in range(40):
        place = draw.random() ** (1 / (1 + effect * (number >= startup)))
        kind = str(draw.choice(["a", "b", "rare"], p=[0.5, 0.45, 0.05]))
        config = {"lr": 1e-4 ** (1 - place), "width": 64 * draw.random(), "kind": kind}
        baseline = {"baseline": "known, 1st"} if number == 4 else {}
        score = 0.3 + effect * place / 10 + draw.normal() / 20
        reports = scores(score, score + 0.1, score + 0.2)
        if seed == 2:  # each trial trains three seeds, of which the worst counts
            values = sorted(score + draw.normal(size=3) / 20)
            reports[-1] = {"score": values[0], "seeds": [*map(dict, scores(*values))]}
        trials.append(({**config, **baseline}, reports))
    about: dict[str, Any] = {
        "options": {"sampler": "tpe", "storage_path": "runs", "confirm": 5},
        "goal": {"metric": "score", "at": "least", "bound": 0.5},
        "rungs": [200],
        "startup_trials": startup,
    }
    directory, broken = RunDirectory(invented(path, trials, space, **about)), (7, 22, 31)
    for number in broken[:seed]:
        config = {**trials[number][0], "seed": number}
        ended, error = ("diverged", None) if number == 7 else ("error", "2 GiB were not there")
        directory.trial(number).write(TrialRecord(number, config, 1e9, 1e9 + 9, ended, error))
    tried = [one.number for one in RawRun(path).complete if not one.is_baseline][:3]
    places = itertools.product(range(900_000, 900_005), [*tried, 4])
    for number, (fresh_seed, confirms) in enumerate(places):
        trial = directory.confirmation().trial(number)
        config = {**trials[confirms][0], "seed": fresh_seed, "confirms": confirms}
        trial.write(TrialRecord(number, config, 1e9, 1e9 + 9, "budget"))
        score = 0.45 + effect * (confirms != 4) / 20 + draw.normal() / (200 if seed else 20)
        trial.append({"step": 300, **scores(score)[0]})
    run = RawRun(path)
    write_json(path / "best" / "metrics.json", {"trial": run.winner.number if run.winner else None})
    return run


@pytest.mark.parametrize("effect", [0, 1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_checks_and_the_comparison_with_the_baseline_are_as_recomputed_in_larger_runs(
    seed: int, effect: float, tmp_path: Path
) -> None:
    raw = larger(tmp_path / "large", seed, effect)
    run = Run(tmp_path / "large")
    for code, recomputed in CHECKS.items():
        check, (status, items) = records.checks.CHECKS[code](run), recomputed(raw)
        assert check.status == status
        assert differences(check.sentence, items) == []
    compared = versus_baseline(run)
    assert raw.winner is not None
    assert compared is not None
    name = f"are a baseline: {raw.winner.config['baseline']}. " if raw.winner.is_baseline else ""
    needed = f" --confirm {compared.seeds_needed}" if compared.seeds_needed else ""
    assert differences(f"{name}{compared.words}{needed}", versus(raw, raw.winner)) == []
