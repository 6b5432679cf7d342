"""Damaged and foreign folders: each gives a page that says what is missing, or is refused in one line."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from reports.pages import Site
from reports.run import NotARun, Run
from reports.style import apply
from tests.conftest import SmallSearch, run
from tuning.checks import run_checks
from tuning.checks.evidence import Evidence
from tuning.run_directory import RunDirectory


@pytest.fixture
def copy(small_search: SmallSearch, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_search.path, tmp_path / "runs" / "copy"))


def cut(file: Path, at: int) -> None:
    file.write_bytes(file.read_bytes()[:at])


@pytest.mark.parametrize(
    "name", ["trial_0003/result.json", "trial_0003/trial.json", "best/confirmation.json", "confirmation/trial_0000/result.json"]
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
        assert len(opened.events) > 0
        assert len(opened.confirmations) >= 1
        answers = run_checks(Evidence(RunDirectory(copy)))
        assert not [one.sentence for one in answers if "broke on this run" in one.sentence]


def test_a_search_json_cut_at_any_byte_is_refused_in_one_line(copy: Path) -> None:
    whole = (copy / "search.json").read_bytes()
    for at in random.Random(0).sample(range(len(whole)), 40):
        (copy / "search.json").write_bytes(whole[:at])
        with pytest.raises(NotARun) as refused:
            Run.open(copy)
        assert "\n" not in str(refused.value)


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
    file.write_text(file.read_text().replace('"mean_accuracy": 0', '"mean_accuracy": "high", "was": 0'))


@pytest.mark.parametrize("damage", [damaged_space, lists_for_rows, every_result_cut, words_for_numbers])
def test_beside_a_whole_run_a_damaged_one_spoils_nothing(
    damage: Callable[[Path], None], copy: Path, small_search: SmallSearch, tmp_path: Path
) -> None:
    damage(copy)
    apply()
    index = Site([Run.open(small_search.path), Run.open(copy)], [], tmp_path / "site").write(lambda name: None)
    text = index.read_text()
    assert "Traceback" not in text
    shown = (tmp_path / "site" / "copy" / "index.html").exists()
    assert shown or "copy cannot be shown (" in text


@pytest.mark.parametrize("damage", [foreign, damaged_space])
def test_alone_it_is_refused_in_one_line(damage: Callable[[Path], None], copy: Path, tmp_path: Path) -> None:
    damage(copy)
    result = run("reports/build.py", copy, "--output", "site", cwd=tmp_path)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert str(copy) in result.stderr.splitlines()[-1] or "cannot be shown" in result.stderr.splitlines()[-1]


def test_without_its_study_and_weights_a_run_opens_read_only(copy: Path, tmp_path: Path) -> None:
    (copy / "optuna.db").unlink()
    for file in copy.rglob("*.safetensors"):
        file.unlink()
    for path in [*copy.rglob("*"), copy]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        apply()
        Site([Run.open(copy)], [], tmp_path / "site").write(lambda name: None)
    finally:
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o755)
    assert "Every trial" in (tmp_path / "site" / "copy" / "index.html").read_text()
