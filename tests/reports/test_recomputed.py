"""The numbers on the pages of real runs, recomputed from the runs' raw files.

``tests.support.recompute`` computes them by their definitions and imports nothing of the project.
Every number in the answer, in the tables of trials and of fresh seeds, in the count of outcomes and
in the sentences of seven checks must be one of those.
"""

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SmallGANSearch, SmallSearch, run
from tests.reports.conftest import page_of_run
from tests.support.page_numbers import NUMBER, Element, agrees, differences, read_page
from tests.support.raw_run import Item, RawRun
from tests.support.recompute import answer, counts, table_of_seeds, table_of_trials

SUMS = "--p 11 --max-steps 200 --num-samples 3 --confirm 2 --no-dashboard --name sums"
"""The search of examples/modular_addition that its own test makes."""


def compare(run: RawRun, page: Element) -> list[str]:
    """Every number of the page's parts that is not as recomputed, a line each."""
    box, outcomes, _, _ = _parts(page)
    return [
        *differences(box.text, answer(run)),
        *differences(outcomes.text, counts(run)),
        *_trials(run, page),
        *_seeds(run, page),
    ]


def _parts(page: Element) -> tuple[Element, Element, Element, Element]:
    """The answer, the sentence that counts the trials, and the tables of trials and of seeds."""
    (box,) = [one for one in page.every("div") if "answer" in one.attributes["class"].split()]
    every, words = [*page], "How the search went"
    (place,) = [at for at, one in enumerate(every) if one.tag == "h2" and one.text == words]
    outcomes = next(one for one in every[place:] if one.tag == "p")
    (trials,) = page.every("div", **{"aria-label": "Every trial"})
    (seeds,) = page.every("div", **{"aria-label": "Every fresh seed"})
    return box, outcomes, trials, seeds


def _table(region: Element) -> tuple[list[str], list[Element]]:
    """The headings and the rows of a table."""
    (body,) = region.every("tbody")
    return [one.text for one in region.every("th")], body.every("tr")


def _trials(run: RawRun, page: Element) -> list[str]:
    headings, rows = _table(_parts(page)[2])
    expected = table_of_trials(run)
    assert {*run.space} <= {*headings}
    assert len(rows) == len(expected)
    found = []
    for element, row in zip(rows, expected, strict=True):
        is_best = run.winner is not None and row["trial"] == run.winner.number
        assert (element.attributes.get("class") == "best") == is_best
        assert element.attributes["data-trial"] == str(row["trial"])
        found += _exact(element.attributes["data-rank"], row["rank"])
        for heading, cell in zip(headings, element.every("td"), strict=True):
            found += _cell(cell, row, heading, {*expected[0]}.union(*expected))
    return found


def _seeds(run: RawRun, page: Element) -> list[str]:
    expected = table_of_seeds(run)
    headings, rows = _table(_parts(page)[3])
    assert len(rows) == len(expected)
    found = []
    for element, row in zip(rows, expected, strict=True):
        settings, *cells = element.every("td")
        whole = row["settings"] if ":" in settings.text else row["settings"][:2]
        found += differences(settings.text, whole)
        for heading, cell in zip(headings[1:], cells, strict=True):
            found += _cell(cell, row, heading, {*expected[0]}.union(*expected))
    return found


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
    page, files = read_page(page_of_run(path, tmp_path)), RawRun(path)
    assert compare(files, page) == []
    assert unseen_changes(files, page) == []


def unseen_changes(run: RawRun, page: Element) -> list[str]:
    """The numbers of the page's parts that may change without ``compare`` seeing it.

    Each number in turn is made one unit larger in its last digit, or smaller if that is a 9.
    """
    unseen = []
    for part in _parts(page):
        for element in (part, *part):
            for place, text in enumerate(element.children):
                for number in NUMBER.finditer(text) if isinstance(text, str) else ():
                    element.children[place] = _with_another(text, number)
                    if not compare(run, page):
                        unseen.append(f"{number[0]} in “{text}”")
                element.children[place] = text
    return unseen


def _with_another(text: str, number: re.Match[str]) -> str:
    """The text with another number in this place."""
    mantissa = number[0].rstrip("%").split("e")[0]
    last = number.start() + len(mantissa) - 1
    other = "7" if text[last] == "—" else str(int(text[last]) + (-1 if text[last] == "9" else 1))
    return text[:last] + other + text[last + 1 :]


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
    page = read_page(page_of_run(copy, tmp_path / "report"))
    assert compare(RawRun(copy), page) == []
    lines = (copy / file).read_text("utf-8").splitlines() if file.endswith("result.json") else []
    text = lines[-1] if lines else (copy / file).read_text("utf-8")
    changed = json.dumps({**json.loads(text), **change})
    (copy / file).write_text("\n".join([*lines[:-1], changed]), "utf-8")
    assert compare(RawRun(copy), page) != []
