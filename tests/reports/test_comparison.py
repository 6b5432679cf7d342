"""Runs side by side, and the report that follows a search."""

import json
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from records.run import Run
from records.search_json import OF_EVERY_SEARCH
from records.versus_run import task_of
from tests.conftest import SmallGANSearch, SmallSearch, start
from tests.reports.conftest import build
from tests.reports.test_build import made_run


def test_lengths_stand_in_one_table_with_hand_tuned_values_and_the_courseworks(
    small_search: SmallSearch, tmp_path: Path, unsaved: set[str]
) -> None:
    unsaved.add("lengths")
    for name, length in (("longer", 20), ("shorter", 5)):
        copy = Path(shutil.copytree(small_search.path, tmp_path / "runs" / name))
        search = json.loads((copy / "search.json").read_text())
        search["fixed"]["input_length"] = length
        (copy / "search.json").write_text(json.dumps(search))
    longer = tmp_path / "runs" / "longer"
    build(longer, longer.parent / "shorter", to=tmp_path / "site")
    page = (tmp_path / "site" / "comparison.html").read_text()
    assert 'href="comparison.html"' in (tmp_path / "site" / "index.html").read_text()
    assert page.index("shorter/index.html") < page.index("longer/index.html")
    rows = page.split("<tbody>")[1].split("</tbody>")[0].split("<tr>")[1:]
    assert [row.rstrip().endswith("<td>1</td></tr>") for row in rows] == [True, False]
    assert [row.rstrip().endswith("<td>0.9</td></tr>") for row in rows] == [False, True]
    assert all("hand-tuned, " in row for row in rows)
    assert page.count("<td>2 of 2</td>") == 2
    assert page.count("its best settings have 2 fresh seeds, and a comparison takes 4") == 2
    assert (tmp_path / "site" / "lengths.png").stat().st_size > 10_000
    script = (tmp_path / "site" / "best-0-0.js").read_text()
    figure = json.loads(script[script.index("{") : script.rindex("}") + 1])
    assert 'data-chosen="best-0-0"' in page
    assert [trace["name"] for trace in figure["data"]] == ["shorter", "longer"]
    run = Run.open(longer)
    best = run.reports(int(run.best or 0))
    assert figure["data"][1]["y"] == pytest.approx(best["accuracy"].tolist(), rel=1e-5)


def test_what_every_search_records_is_told_from_what_an_experiment_prepares(
    small_search: SmallSearch, small_gan_search: SmallGANSearch
) -> None:
    lstm, gan = (Run.open(one.path).search for one in (small_search, small_gan_search))
    assert {*lstm} == {*OF_EVERY_SEARCH}
    assert {*gan} - {*OF_EVERY_SEARCH} == {"images", "judges", "cautions"}


def test_a_model_is_part_of_the_answer_and_a_length_of_the_task(
    small_search: SmallSearch, tmp_path: Path, unsaved: set[str]
) -> None:
    run, paths = Run.open(small_search.path), []
    assert {*task_of(run)} == {"experiment", "goal", "input_length", "max_steps", "model"}
    for name in ("lstm", "rnn"):
        copy = Path(shutil.copytree(small_search.path, tmp_path / name))
        search = json.loads((copy / "search.json").read_text())
        search["fixed"]["model"] = search["options"]["model"] = name
        (copy / "search.json").write_text(json.dumps(search))
        more_seeds(copy)
        paths.append(copy)
    build(*paths, to=tmp_path / "site")
    page = (tmp_path / "site" / "comparison.html").read_text()
    pairs = page.split('aria-label="Runs of the same task, in pairs"')[1]
    assert "<td>4 and 4</td>" in pairs
    assert '<td class="word">not shown</td>' in pairs


def more_seeds(run: Path) -> None:
    """Repeat the trainings of a run's best settings on fresh seeds under two other seeds."""
    best = Run.open(run).best
    for folder in sorted((run / "confirmation").glob("trial_*")):
        record = json.loads((folder / "trial.json").read_text())
        if record["config"]["confirms"] == best:
            number = record["number"] + 100
            copy = Path(shutil.copytree(folder, folder.parent / f"trial_{number:04d}"))
            own = {**record["config"], "seed": record["config"]["seed"] + 100, "trial": number}
            (copy / "trial.json").write_text(
                json.dumps({**record, "number": number, "config": own})
            )


def test_one_run_of_a_kind_is_compared_with_nothing(
    small_search: SmallSearch, small_gan_search: SmallGANSearch, tmp_path: Path, unsaved: set[str]
) -> None:
    build(small_search.path, small_gan_search.path, to=tmp_path / "site")
    assert not (tmp_path / "site" / "comparison.html").exists()
    assert "comparison.html" not in (tmp_path / "site" / "index.html").read_text()


@pytest.mark.slow
def test_a_watched_run_is_built_once_it_is_there_and_again_when_it_changes(
    tmp_path: Path,
) -> None:
    made = made_run(tmp_path / "made", trials=2)
    whole = json.loads((made / "search.json").read_text())
    copy = tmp_path / "runs" / "copy"
    copy.mkdir(parents=True)
    begun = {name: whole[name] for name in ("experiment", "name", "sessions", "options")}
    (copy / "search.json").write_text(json.dumps(begun))
    process = start("reports/build.py", "--watch", cwd=tmp_path)
    try:
        assert process.stdout is not None
        assert re.fullmatch(
            "waiting: .*copy is a search that is only being prepared.*\n", process.stdout.readline()
        )
        shutil.copytree(made, copy, dirs_exist_ok=True)
        assert process.stdout.readline() == "1 run in reports/site/index.html\n"
        page = tmp_path / "reports" / "site" / "copy" / "index.html"
        assert '<meta http-equiv="refresh"' in page.read_text()
        assert "still running" not in page.read_text()
        record = json.loads((copy / "trial_0001" / "trial.json").read_text())
        (copy / "trial_0001" / "trial.json").write_text(
            json.dumps({**record, "ended": None, "finished": None})
        )
        deadline = time.monotonic() + 60
        while "1 still running" not in page.read_text() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert "1 still running" in page.read_text()
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert '<meta http-equiv="refresh"' not in page.read_text()
