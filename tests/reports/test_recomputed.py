"""The numbers on the pages of real runs, recomputed from the runs' raw files.

``tests.support.recompute`` computes them by their definitions and imports nothing of the project.
Every number in the answer, in the count of outcomes, in the tables of trials, of fresh seeds and of
a GAN's quality, and in the sentences of all checks must be one of those.
"""

import ast
import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, SmallSearch
from tests.reports.conftest import page_of_run
from tests.support.page_numbers import Element, agrees, differences, other_texts, read_page
from tests.support.raw_run import Item, RawRun
from tests.support.recompute import answer, counts, quality, table_of_seeds, table_of_trials
from tests.support.recompute_checks import CHECKS as OF_TRIALS
from tests.support.recompute_checks import NOT_APPLICABLE
from tests.support.recompute_trained import TRAINED
from tests.support.recompute_what import WHAT

CHECKS = {**OF_TRIALS, **WHAT, **TRAINED}
SHARED = ("page_numbers", "raw_run")
LIBRARIES = ("numpy", "scipy", "optuna", "sklearn")
"""What the judge may import, beside Python's own and its own modules."""


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


def test_every_number_of_a_page_follows_from_the_runs_raw_files(
    real_run: Path, tmp_path: Path, unsaved: set[str]
) -> None:
    page, files = parts_of(read_page(page_of_run(real_run, tmp_path))), RawRun(real_run)
    assert compare(files, page) == []
    assert unseen_changes(files, page) == []


def unseen_changes(run: RawRun, page: Parts) -> list[str]:
    """The places where the page's parts may have another digit, one at a time, or a digit instead
    of a dash, without ``compare`` seeing it."""
    unseen = []
    for element in (one for part in page for one in (part, *part)):
        for place, text in enumerate(element.children):
            if isinstance(text, str):
                for other in other_texts(text):
                    element.children[place] = other
                    if not compare(run, page):
                        unseen.append(f"{other} instead of {text}")
                element.children[place] = text
    return unseen


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
    judges = sorted((ROOT / "tests" / "support").glob("recompute*.py"))
    for file in (*judges, *(ROOT / "tests" / "support" / f"{n}.py" for n in SHARED)):
        tree = ast.parse(file.read_text("utf-8"))
        froms = [str(one.module) for one in ast.walk(tree) if isinstance(one, ast.ImportFrom)]
        plain = [one.names[0].name for one in ast.walk(tree) if isinstance(one, ast.Import)]
        others = {one for one in froms + plain if not one.startswith("tests.support.")}
        assert {one.split(".")[0] for one in others} <= {*sys.stdlib_module_names, *LIBRARIES}
