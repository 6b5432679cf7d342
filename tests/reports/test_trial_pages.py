"""The page of a trial: its curve with the best and the hand-tuned one, its error, its command."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from records.run import Run
from reports.experiments import page_of
from reports.trial_pages import OF_A_SEARCH, trial_pages
from tests.conftest import SmallSearch, run
from tests.reports.conftest import build, four, invented, scores, words_of
from tuning.one_training import CONFLICTS


def pages(path: Path, folder: Path) -> list[dict[str, Any]]:
    opened = Run.open(path)
    return [values for _, values in trial_pages(opened, folder, page_of(opened))]


def drawn(folder: Path, number: int) -> dict[str, list[float]]:
    """The first curves on a trial's page by their names in the legend."""
    script = (folder / "trials" / f"{number:04d}-0.js").read_text()
    figure = json.loads(script[script.index("{") : script.rindex("}") + 1])
    return {trace["name"]: trace["y"] for trace in figure["data"]}


def test_each_curve_is_named_by_the_trial_it_shows(
    small_search: SmallSearch, tmp_path: Path
) -> None:
    of = Run.open(small_search.path)
    assert [page["trial"]["number"] for page in pages(small_search.path, tmp_path)] == list(
        range(6)
    )
    for number in range(6):
        beside = {number: f"trial {number}"}
        beside.setdefault(int(of.best or 0), f"best, trial {of.best}")
        for _, known in of.trials.dropna(subset=["baseline"]).iterrows():
            beside.setdefault(known["number"], f"{known['baseline']}, trial {known['number']}")
        curves = drawn(tmp_path, number)
        assert set(curves) == set(beside.values())
        for other, words in beside.items():
            assert curves[words] == [
                float(f"{value:.6g}") for value in of.reports(other)["accuracy"]
            ]


def test_a_page_leads_to_its_neighbours_also_where_a_trial_is_gone(
    small_search: SmallSearch, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(small_search.path, tmp_path / "copy"))
    shutil.rmtree(copy / "trial_0003")
    found = {page["trial"]["number"]: page["neighbours"] for page in pages(copy, tmp_path)}
    assert found == {0: [1], 1: [0, 2], 2: [1, 4], 4: [2, 5], 5: [4]}


def test_a_failure_is_shown_with_the_end_of_its_log(
    small_search: SmallSearch, tmp_path: Path, unsaved: set[str]
) -> None:
    copy = Path(shutil.copytree(small_search.path, tmp_path / "copy"))
    record = json.loads((copy / "trial_0004" / "trial.json").read_text())
    failed = {**record, "ended": "error", "error": "RuntimeError: <b>out</b> of memory"}
    (copy / "trial_0004" / "trial.json").write_text(json.dumps(failed))
    (copy / "trial_0004" / "error.txt").write_text(
        "".join(f"line {number}\n" for number in range(100))
    )
    build(copy, to=tmp_path / "site")
    page = (tmp_path / "site" / "copy" / "trials" / "0004.html").read_text()
    assert "RuntimeError: &lt;b&gt;out&lt;/b&gt; of memory" in page
    assert "line 40\n" in page
    assert "line 39\n" not in page
    assert "line 99" in page


def made(folder: Path, baselines: int = 0) -> list[dict[str, Any]]:
    """The pages of four trials, of which the first ones are hand-tuned."""
    trials = [
        ({**config, **({"baseline": f"hand-tuned {at}"} if at < baselines else {})}, reports)
        for at, (config, reports) in enumerate([*four(), *four()])
    ]
    return pages(invented(folder / "run", trials), folder)


def test_a_curve_is_described_by_what_is_drawn(tmp_path: Path) -> None:
    alts = [page["plots"]["curve"].alt for page in made(tmp_path)]
    assert alts[0] == "The learning curve of best, trial 3; trial 0."
    assert alts[3] == "The learning curve of trial 3."


def test_any_number_of_hand_tuned_trials_is_drawn_and_told_apart(tmp_path: Path) -> None:
    assert len(made(tmp_path, baselines=6)) == 8
    script = (tmp_path / "trials" / "0007-0.js").read_text()
    data = json.loads(script[script.index("{") : script.rindex("}") + 1])["data"]
    assert [trace["name"] for trace in data if "hand-tuned" in trace["name"]] == [
        f"hand-tuned {number}, trial {number}" for number in (0, 1, 2, 4, 5)
    ]  # the best is trial 3
    assert len({json.dumps(trace["line"]) for trace in data}) == len(data)


def test_a_trial_without_a_report_is_not_drawn_by_its_neighbours(
    tmp_path: Path, unsaved: set[str]
) -> None:
    path = invented(tmp_path / "run", [*four(), ({"lr": 0.1}, []), ({"lr": 0.2}, scores(0.9))])
    build(path, to=tmp_path / "site")
    without, one = (
        words_of((tmp_path / "site" / "run" / "trials" / f"{number:04d}.html").read_text())
        for number in (4, 5)
    )
    assert "The trial has not reported yet." in without
    assert "The trial has not reported yet." not in one


def test_every_column_of_the_settings_has_a_name(tmp_path: Path, unsaved: set[str]) -> None:
    build(invented(tmp_path / "run", four()), to=tmp_path / "site")
    for page in (tmp_path / "site").rglob("*.html"):
        assert not re.search(r"<th[^>]*>\s*</th>", page.read_text()), page


def test_the_command_to_train_a_trial_again_has_no_option_of_a_search() -> None:
    assert {*CONFLICTS} <= {*OF_A_SEARCH}


@pytest.mark.slow
def test_the_command_trains_the_trials_settings(
    small_search: SmallSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = pages(small_search.path, tmp_path)[4]
    script, *arguments = shlex.split(page["command"].removeprefix("python "))
    flags = ("--name", "again", "--storage-path", tmp_path)
    assert run(Path(script).name, *arguments, *flags, cwd=tmp_path).returncode == 0
    again = Run.open(tmp_path / "again")
    (row,) = again.trials.to_dict("records")
    for name in ("lr", "max_norm", "seed"):
        assert row[name] == page["trial"][name]
    first = Run.open(small_search.path).reports(4)  # the search may have stopped it early
    assert again.reports(0).loc[: len(first) - 1, "accuracy"].tolist() == first["accuracy"].tolist()
    assert re.search(r"\b4\b", page_of(again).title(again))
