"""Pages of runs with odd metrics, settings, spaces and reports, as a reader sees them."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from records.run import Run
from reports.experiments import page_of
from reports.explore import Explorer
from tests.reports.conftest import build, four, invented, page_of_run, scores, words_of
from tests.reports.test_build import made_run
from tests.reports.test_explore import explore


def made_page(path: Path, folder: Path) -> str:
    """What a reader sees of the page of a run, all of whose pages and figures are there."""
    page = page_of_run(path, folder)
    site = folder / "site" / path.name
    for one in site.rglob("*.html"):
        figures = re.findall(r'(?:data-chosen|option value)="([^"]+)"', one.read_text())
        assert all((one.parent / f"{file}.js").exists() for file in figures if "-" in file)
    return words_of(page)


NAMES = ("val/f1", "f1#macro", "../evil", "x" * 300, 'a"b<i>', "точность", "$x_1$", "in words")


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_may_have_any_name(name: str, tmp_path: Path, unsaved: set[str]) -> None:
    beside = made_page(invented(tmp_path / "beside", four(*[{name: 0.5}] * 3)), tmp_path)
    trials = [({"lr": 0.1, "width": 1.0}, [{name: 0.5}, {name: 0.6}])] * 2
    alone = made_page(invented(tmp_path / "alone", trials, metric=name), tmp_path)
    for page in (beside, alone):
        assert name.replace("_", " ").split()[0] in page
        assert "Note:" not in page
    assert not (tmp_path / "evil.js").exists()


@pytest.mark.parametrize("name", ["ended", "error", "number", "seed", "minutes", "rank", "lr"])
def test_a_run_whose_objective_has_the_name_of_something_else_has_its_page(
    name: str, tmp_path: Path, unsaved: set[str]
) -> None:
    trials = [
        ({"lr": 0.1 + at, "width": 1.0}, [{name: 0.5}, {name: 0.61 + at / 100}]) for at in (0, 1)
    ]
    page = made_page(invented(tmp_path / "run", trials, metric=name), tmp_path)
    assert "0.62" in page or name == "ended"


def test_one_report_a_trial_is_a_report(tmp_path: Path, unsaved: set[str]) -> None:
    trials = [({"lr": 0.1, "width": 1.0}, scores(0.5)), ({"lr": 0.2, "width": 2.0}, scores(0.6))]
    page = made_page(invented(tmp_path / "run", trials), tmp_path)
    assert "score 0.6 at step 100" in page
    assert "it takes two reports" in page
    assert "reported yet" not in page


def test_one_trial_is_not_several(tmp_path: Path, unsaved: set[str]) -> None:
    trial = ({"lr": 0.1, "width": 1.0}, scores(0.5, 0.95))
    page = made_page(invented(tmp_path / "run", [trial], fresh_seeds=[trial[1]]), tmp_path)
    assert "1 trial: 1 used the whole budget." in page
    assert "Confirmed: 1 of 1 fresh seed reaches score 0.9" in page
    assert not re.search(r"\b1 (trials|runs|fresh seeds)\b", page)


def test_trials_that_used_their_budget_without_a_result_are_not_denied(
    tmp_path: Path, unsaved: set[str]
) -> None:
    trials = [({"lr": 0.1, "width": float(at)}, [{"other": 0.5}]) for at in range(12)]
    page = made_page(invented(tmp_path / "run", trials), tmp_path)
    words = "12 trials completed the training, but none reported a finite score."
    assert page.count(words) >= 3
    assert not re.search(r"\b0 (of 12 )?trials (used|completed)", page)


def test_weights_are_named_where_there_are_any(tmp_path: Path, unsaved: set[str]) -> None:
    path = invented(tmp_path / "run", four())
    assert "best/model.safetensors" not in page_of_run(path, tmp_path)
    (path / "best").mkdir()
    (path / "best" / "model.safetensors").write_bytes(b"")
    page = made_page(path, tmp_path)
    assert re.search(r"Their weights: \S*run/best/model\.safetensors ", page)


MIXED: dict[str, list[Any]] = {
    "words": ["a", 1, 2.5],
    "lists": [[1], None, 2],
    "bools": [True, None, False],
    "huge": [10**30] * 3,
}


@pytest.mark.parametrize("name", MIXED)
def test_values_of_several_types_are_exported(name: str, tmp_path: Path, unsaved: set[str]) -> None:
    path = invented(tmp_path / "run", four(*({name: value} for value in MIXED[name])))
    assert "Note:" not in made_page(path, tmp_path)
    table = pd.read_parquet(tmp_path / "site" / "run" / "histories.parquet")
    assert len(table) == 12
    assert table["score"].tolist()[:2] == [0.1, 0.2]


@pytest.mark.parametrize(
    "space",
    [
        {},
        {"lr": FloatDistribution(0.1, 0.1), "width": FloatDistribution(0, 64)},
        {"lr": CategoricalDistribution(("auto", 0.5, None)), "width": FloatDistribution(0, 64)},
    ],
)
def test_a_space_of_any_kind_has_its_page(
    space: dict[str, BaseDistribution], tmp_path: Path, unsaved: set[str]
) -> None:
    distribution = space.get("lr")
    choices = getattr(distribution, "choices", (0.1,))
    trials = [
        ({"lr": choices[at % len(choices)], "width": 5.0 * at} if space else {}, reports)
        for at, (_, reports) in enumerate([*four(), *four(), *four()])
    ]
    page = made_page(invented(tmp_path / "run", trials, space), tmp_path)
    assert "Note:" not in page
    assert "broke on this run" not in page
    assert ("used the whole budget None " in page) == (None in choices)


def test_a_picture_or_table_that_breaks_is_a_note_on_the_page(
    tmp_path: Path, unsaved: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*of: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("reports.figures.printed.parameter_slices", broken)
    monkeypatch.setattr("reports.pages.checkpoints", broken)
    page = page_of_run(invented(tmp_path / "run", four()), tmp_path)
    for what in (
        "the picture “slices” cannot be drawn",
        "the table “checkpoints” cannot be written",
    ):
        assert f"Note: {what} (ZeroDivisionError: by zero)" in page
    assert 'src="curves.png"' in page
    assert (tmp_path / "site" / "run" / "histories.parquet").exists()


def test_what_scrolls_is_reached_by_the_keyboard(tmp_path: Path, unsaved: set[str]) -> None:
    page_of_run(invented(tmp_path / "run", four(), fresh_seeds=[scores(0.5)]), tmp_path)
    for page in (tmp_path / "site").rglob("*.html"):
        boxes = re.findall('<div class="scroll[^>]*>', page.read_text())
        assert boxes
        assert all('tabindex="0"' in box and 'aria-label="' in box for box in boxes)


def test_runs_of_an_experiment_with_any_name_are_compared(
    tmp_path: Path, unsaved: set[str]
) -> None:
    more = [{"val/f1": 0.5}] * 3
    runs = [invented(tmp_path / name, four(*more), experiment="../my/exp") for name in ("a", "b")]
    site = build(*runs, to=tmp_path / "out" / "site").parent
    page = (site / "comparison.html").read_text(encoding="utf-8")
    files = re.findall(r'<option value="([^"]+)">([^<]+)<', page)
    assert [words for _, words in files] == ["score", "val/f1"]
    assert all((site / f"{file}.js").exists() for file, _ in files)


def test_a_run_that_only_has_the_name_of_an_experiment_has_the_default_page(
    tmp_path: Path, unsaved: set[str]
) -> None:
    taken = [invented(tmp_path / name, four(), experiment=name) for name in ("lstm", "gan")]
    own = [made_run(tmp_path / f"length-{length}", length=length) for length in (4, 8)]
    index = build(*taken, *own, to=tmp_path / "site")
    for name in ("lstm", "gan"):
        page = (tmp_path / "site" / name / "index.html").read_text(encoding="utf-8")
        assert 'src="curves.png"' in page
    assert 'href="comparison.html"' in index.read_text(encoding="utf-8")
    assert 'class="issue"' not in index.read_text(encoding="utf-8")


@pytest.mark.parametrize("trials", [[], [({"lr": 0.1, "width": 1.0}, [])]])
def test_before_the_first_report_nothing_is_said_to_be_broken(
    trials: list[Any], tmp_path: Path
) -> None:
    run, _ = explore(invented(tmp_path / "run", trials, ended=None), tmp_path / "site")
    assert run.notes == []


def test_two_metrics_that_read_alike_are_both_offered(tmp_path: Path) -> None:
    made = invented(tmp_path / "run", four(*[{"val acc": 0.1, "val_acc": 0.2}] * 3))
    run = Run.open(made)
    folder = tmp_path / "site"
    folder.mkdir()
    variants = Explorer(run, page_of(run)).write(folder)["curves-of-all"].variants
    assert list(variants.values()) == ["score", "val acc", "val_acc"]
    assert len({(folder / f"{file}.js").read_text() for file in variants}) == 3


def test_a_setting_may_have_the_name_of_what_a_page_computes(tmp_path: Path) -> None:
    space = {"minutes": FloatDistribution(0, 9), "rank": FloatDistribution(0, 9)}
    trials = [({"minutes": 7.0 + at, "rank": 4.0}, scores(0.1, 0.2)) for at in range(2)]
    run, contents = explore(invented(tmp_path / "run", trials, space), tmp_path / "site")
    assert not run.notes
    assert contents["slices-0"]["data"][0]["x"] == [7.0, 8.0]
