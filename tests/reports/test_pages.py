import html
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from records.checks import run_checks
from records.run import Run
from reports.build import ReportOptions, build
from reports.content import number
from tests.conftest import SmallSearch, run
from tests.reports.conftest import page_of_run


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        (float("nan"), "—"),
        (0.0123456, "0.0123"),
        (12300, "12,300"),
        (0.5, "0.5"),
        (10.0, "10"),
        ("tpe", "tpe"),
    ],
)
def test_numbers_have_sensible_digits(value: object, text: str) -> None:
    assert number(value) == text


def test_an_accuracy_never_rounds_up_to_all() -> None:
    assert number(0.99999) == "0.99999"
    assert number(1.0) == "1"
    assert number(0.57) == number(np.float32(0.57)) == "0.57"


class TestBuild:
    """python reports/build.py on real and on damaged runs."""

    def test_every_run_under_runs_by_default(self, small_search: SmallSearch) -> None:
        result = run("reports/build.py", cwd=small_search.folder)
        assert result.returncode == 0, result.stderr
        assert result.stdout == "1 run in reports/site/index.html\n"
        site = small_search.folder / "reports" / "site"
        page = (site / "small" / "index.html").read_text()
        for picture in ("curves", "map", "confirmation"):
            assert (site / "small" / f"{picture}.png").stat().st_size > 10_000
            assert f'src="{picture}.png"' in page
        every_trial = page.split("<h2>Every trial</h2>")[1].split("<tbody>")[1].split("</tbody>")[0]
        assert every_trial.count("<tr") == 6
        assert "nan" not in every_trial
        assert "hand-tuned, T=15" in every_trial
        assert 'href="small/index.html"' in (site / "index.html").read_text()

    def test_every_check_is_on_the_page_with_how_and_why(
        self, small_search: SmallSearch, tmp_path: Path, unsaved: set[str]
    ) -> None:
        page = page_of_run(small_search.path, tmp_path)
        for check in run_checks(Run(small_search.path)):
            (part,) = re.findall(
                f'<details class="check" id="{check.code}".*?</details>', page, re.DOTALL
            )
            text = html.unescape(part)
            assert check.sentence in text
            assert f"How it was found: {check.detected}" in text
            assert f"Why it matters: {check.matters}" in text
            assert (f"<code>{check.do}" in text) == (check.do is not None)
        assert "reaches test_accuracy 0.99 on" in page

    def test_the_run_directory_is_left_as_it_was(
        self, small_search: SmallSearch, tmp_path: Path, unsaved: set[str]
    ) -> None:
        # a copy, because other tests may use the run at the same time
        copy = Path(shutil.copytree(small_search.path, tmp_path / "copy"))
        before = {file: file.stat().st_mtime_ns for file in copy.rglob("*")}
        assert build(ReportOptions((str(copy),), str(tmp_path / "site")))[0] == 1
        assert {file: file.stat().st_mtime_ns for file in copy.rglob("*")} == before

    def test_the_other_model_at_the_same_length_is_drawn_in_the_same_figure(
        self, small_search: SmallSearch, tmp_path: Path, unsaved: set[str]
    ) -> None:
        shutil.copytree(small_search.path, tmp_path / "runs" / "lstm")
        rnn = Path(shutil.copytree(small_search.path, tmp_path / "runs" / "rnn"))
        search = json.loads((rnn / "search.json").read_text())
        search["fixed"]["model"] = "rnn"
        (rnn / "search.json").write_text(json.dumps(search))
        build(ReportOptions((str(tmp_path / "runs" / "lstm"),), str(tmp_path / "site")))
        page = (tmp_path / "site" / "lstm" / "index.html").read_text()
        assert "The RNN is the best trial of <code>rnn</code>" in page
        assert "RNN, best: lr=" in page

    def test_names_from_a_run_are_shown_as_text(
        self,
        small_search: SmallSearch,
        tmp_path: Path,
        unsaved: set[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        shutil.copytree(small_search.path, tmp_path / "runs" / "<script>alert(1)<")
        file = tmp_path / "runs" / "<script>alert(1)<" / "trial_0000" / "trial.json"
        record = json.loads(file.read_text())
        record["config"]["baseline"] = "<img src=x onerror=alert(1)>"
        file.write_text(json.dumps(record))
        assert build(ReportOptions())[0] == 1
        for page in (tmp_path / "reports" / "site").rglob("*.html"):
            text = page.read_text()
            assert "<script>" not in text
            assert all(
                source.endswith("report.js")
                for source in re.findall(r"<script src=\"([^\"]*)\"", text)
            )
            assert "<img src=x" not in text

    @pytest.mark.parametrize(
        "missing", ["best", "confirmation", "optuna.db", "trial_000*", "trial_000*/result.json"]
    )
    def test_a_run_with_parts_missing_still_gives_a_page(
        self, missing: str, small_search: SmallSearch, tmp_path: Path, unsaved: set[str]
    ) -> None:
        copy = Path(shutil.copytree(small_search.path, tmp_path / "runs" / "copy"))
        for path in copy.glob(missing):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        page_of_run(copy, tmp_path)

    def test_a_search_under_way_gives_a_page(
        self, small_search: SmallSearch, tmp_path: Path, unsaved: set[str]
    ) -> None:
        copy = Path(shutil.copytree(small_search.path, tmp_path / "runs" / "copy"))
        shutil.rmtree(copy / "best")
        shutil.rmtree(copy / "confirmation")
        for file in copy.glob("trial_*/trial.json"):
            file.write_text(
                json.dumps({**json.loads(file.read_text()), "ended": None, "finished": None})
            )
        page = page_of_run(copy, tmp_path)
        assert "There is no winner: 0 trials completed the training." in page
        assert "6 still running" in page

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((), "runs is not a folder: no search has run here yet"),
            (("nowhere",), "nowhere is not a folder"),
            ((".",), "is not a run: it has no search.json"),
            (("--colour", "blue"), "--colour"),
        ],
    )
    def test_what_is_no_run_is_refused_in_one_line(
        self, arguments: tuple[str, ...], message: str, tmp_path: Path
    ) -> None:
        result = run("reports/build.py", *arguments, cwd=tmp_path)
        assert result.returncode == 2
        (line,) = result.stderr.splitlines()
        assert message in line
        assert not (tmp_path / "reports").exists()
