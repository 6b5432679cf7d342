"""Damaged and foreign folders: each gives a page that says what is missing, or is refused in one
line."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from records.checks import run_checks
from records.run import Run
from records.run_directory import FORMAT
from records.search_json import NotARun
from records.tables import events
from reports.build import ReportOptions
from reports.build import build as build_report
from tests.conftest import SmallSearch, run
from tests.reports.conftest import build


@pytest.fixture
def copy(small_search: SmallSearch, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_search.path, tmp_path / "runs" / "copy"))


@pytest.fixture(autouse=True)
def no_files_of_pictures(unsaved: set[str]) -> None:
    """What is damaged is read while pictures are drawn, not while they are written."""


def cut(file: Path, at: int) -> None:
    file.write_bytes(file.read_bytes()[:at])


@pytest.mark.parametrize(
    "name",
    [
        "trial_0003/result.json",
        "trial_0003/trial.json",
        "best/confirmation.json",
        "confirmation/trial_0000/result.json",
    ],
)
def test_a_file_cut_at_any_byte_leaves_tables_and_checks_of_the_rest(name: str, copy: Path) -> None:
    whole = (copy / name).read_bytes()
    stream = random.Random(name)
    for at in [0, 1, len(whole) - 1, *(stream.randrange(len(whole)) for _ in range(25))]:
        (copy / name).write_bytes(whole[:at])
        opened = Run.open(copy)
        assert set(opened.trials["number"]) >= {0, 1, 2, 4, 5}
        assert opened.best is not None
        assert len(opened.histories) > 0
        assert len(events(opened)) > 0
        assert len(opened.confirmations) >= 1
        answers = run_checks(Run(copy))
        assert not [one.sentence for one in answers if "broke on this run" in one.sentence]


def test_a_search_json_cut_at_any_byte_is_refused_in_one_line(copy: Path) -> None:
    whole = (copy / "search.json").read_bytes()
    for at in random.Random(0).sample(range(len(whole)), 40):
        (copy / "search.json").write_bytes(whole[:at])
        with pytest.raises(NotARun) as refused:
            Run.open(copy)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        *[(older, True) for older in (None, *range(FORMAT + 1))],
        *[(unknown, False) for unknown in (FORMAT + 1, "next", [1])],
    ],
)
def test_older_formats_are_shown_and_newer_ones_refused(
    number: object, shown: bool, copy: Path
) -> None:
    search = json.loads((copy / "search.json").read_text(encoding="utf-8"))
    search = {name: value for name, value in search.items() if name != "format"} | (
        {"format": number} if number is not None else {}
    )
    (copy / "search.json").write_text(json.dumps(search), encoding="utf-8")
    if shown:
        assert len(Run.open(copy).trials) == 6
    else:
        with pytest.raises(NotARun, match="was written by a newer version"):
            Run.open(copy)


def foreign(folder: Path) -> None:
    """Another program's search.json."""
    (folder / "search.json").write_text(json.dumps({"query": "cats", "results": [1, 2, 3]}))


def damaged_space(folder: Path) -> None:
    search = json.loads((folder / "search.json").read_text())
    search["space"] = {"lr": {"distribution": "Uniform(0, 1)", "reason": ""}}
    (folder / "search.json").write_text(json.dumps(search))


def lists_for_rows(folder: Path) -> None:
    (folder / "trial_0000" / "result.json").write_text("[1, 2]\n3\nnull\n")


def every_result_cut(folder: Path) -> None:
    for file in folder.glob("trial_*/result.json"):
        cut(file, file.stat().st_size // 2)


def words_for_numbers(folder: Path) -> None:
    file = folder / "trial_0000" / "result.json"
    file.write_text(
        file.read_text().replace('"mean_accuracy": 0', '"mean_accuracy": "high", "was": 0')
    )


@pytest.mark.parametrize("damage", [lists_for_rows, every_result_cut, words_for_numbers])
def test_beside_a_whole_run_a_damaged_one_spoils_nothing(
    damage: Callable[[Path], None], copy: Path, small_search: SmallSearch, tmp_path: Path
) -> None:
    damage(copy)
    text = build(small_search.path, copy, to=tmp_path / "site").read_text()
    assert "Traceback" not in text
    shown = (tmp_path / "site" / "copy" / "index.html").exists()
    assert shown or "copy cannot be shown (" in text


@pytest.mark.parametrize("damage", [foreign, damaged_space])
def test_alone_it_is_refused_in_one_line(
    damage: Callable[[Path], None], copy: Path, tmp_path: Path
) -> None:
    damage(copy)
    result = run("reports/build.py", copy, "--output", "site", cwd=tmp_path)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert (
        str(copy) in result.stderr.splitlines()[-1]
        or "cannot be shown" in result.stderr.splitlines()[-1]
    )


def test_without_its_study_and_weights_a_run_opens_read_only(copy: Path, tmp_path: Path) -> None:
    (copy / "optuna.db").unlink()
    for file in copy.rglob("*.safetensors"):
        file.unlink()
    for path in [*copy.rglob("*"), copy]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        build(copy, to=tmp_path / "site")
    finally:
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o755)
    assert "Every trial" in (tmp_path / "site" / "copy" / "index.html").read_text()


def test_a_damaged_run_among_others_is_named_on_the_index(
    copy: Path, small_search: SmallSearch, tmp_path: Path
) -> None:
    shutil.copytree(small_search.path, copy.parent / "whole")
    cut(copy / "search.json", 40)
    count, index = build_report(ReportOptions((str(copy.parent),), str(tmp_path / "site")))
    assert count == 1
    text = index.read_text()
    assert "copy/search.json is not one that this project wrote, or it is cut off" in text
    assert (tmp_path / "site" / "whole" / "index.html").exists()


def test_two_runs_of_one_name_have_a_page_each(small_search: SmallSearch, tmp_path: Path) -> None:
    places = [
        Path(shutil.copytree(small_search.path, tmp_path / where / "same"))
        for where in ("here", "there")
    ]
    text = build(*places, to=tmp_path / "site").read_text()
    for page in ("same", "same-2"):
        assert f'href="{page}/index.html"' in text
        assert (tmp_path / "site" / page / "index.html").exists()


def no_checkpoints(folder: Path) -> None:
    for file in folder.rglob("checkpoint_*"):
        shutil.rmtree(file)


def no_trials(folder: Path) -> None:
    for file in folder.glob("trial_*"):
        shutil.rmtree(file)


def only_search_json(folder: Path) -> None:
    for file in folder.iterdir():
        if file.name != "search.json":
            shutil.rmtree(file) if file.is_dir() else file.unlink()


def unknown_files(folder: Path) -> None:
    (folder / "trial_0001" / "notes <b>.txt").write_text("mine")
    (folder / "trial_unknown").mkdir()
    (folder / "trial_unknown" / "trial.json").write_text("[]")
    (folder / "ablation").write_text("a file where a folder is looked for")


@pytest.mark.parametrize("damage", [no_checkpoints, no_trials, only_search_json, unknown_files])
def test_a_run_that_misses_something_has_its_page(
    damage: Callable[[Path], None], copy: Path, tmp_path: Path
) -> None:
    damage(copy)
    build(copy, to=tmp_path / "site")
    assert "How to run it again" in (tmp_path / "site" / "copy" / "index.html").read_text()


def test_an_empty_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run("reports/build.py", "empty", "--output", "site", cwd=tmp_path)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "name", ["trial_0003/result.json", "trial_0002/trial.json", "best/metrics.json"]
)
def test_a_run_cut_anywhere_has_its_page(name: str, copy: Path, tmp_path: Path) -> None:
    whole = (copy / name).read_bytes()
    (copy / name).write_bytes(whole[: random.Random(name).randrange(len(whole))])
    build(copy, to=tmp_path / "site")
    assert "How to run it again" in (tmp_path / "site" / "copy" / "index.html").read_text()
