"""The page of an experiment that has none of its own."""

import json
import re
from pathlib import Path

from records.run import Run
from reports.experiments import page_of
from reports.experiments.default import Page
from tests.reports.conftest import page_of_run
from tests.reports.test_build import made_run


def foreign(path: Path) -> Path:
    """A run of an experiment that nobody here knows, with metrics and an outcome of its own."""
    made_run(path)
    search = json.loads((path / "search.json").read_text())
    search |= {"experiment": "juggling", "fixed": {"balls": 5}}
    dropped = {"name": "dropped", "kind": "stopped", "words": "a ball was dropped"}
    search["outcomes"] = [{**dropped, "mark": "v", "color": "#000000"}]
    (path / "search.json").write_text(json.dumps(search))
    for file in path.rglob("result.json"):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        renamed = [
            {**line, "height": 10.0 ** (line["step"] / 50), "catches": 3 * line["step"]}
            for line in lines
        ]
        file.write_text("".join(json.dumps(line) + "\n" for line in renamed))
    record = json.loads((path / "trial_0002" / "trial.json").read_text())
    (path / "trial_0002" / "trial.json").write_text(json.dumps({**record, "ended": "dropped"}))
    return path


def test_it_shows_curves_slices_fresh_seeds_and_trials_of_whatever_was_measured(
    tmp_path: Path,
) -> None:
    page = page_of_run(foreign(tmp_path / "runs" / "mine"), tmp_path)
    for picture in ("curves", "slices", "confirmation"):
        assert f'src="{picture}.png"' in page
    for words in ("juggling", "<th>height</th>", "<th>catches</th>"):
        assert words in page
    assert "1 a ball was dropped" in page
    for column in ("height", "catches", "accuracy", "loss"):
        trial = (tmp_path / "site" / "mine" / "trials" / "0001.html").read_text()
        (file,) = re.findall(f'<option value="([^"]*)">{column}</option>', trial)
        assert (tmp_path / "site" / "mine" / "trials" / f"{file}.js").exists()


def test_scales_follow_the_values(tmp_path: Path) -> None:
    run = Run.open(foreign(tmp_path / "mine"))
    page = page_of(run)
    assert type(page) is Page
    assert page.measured(run)[0] == "mean_accuracy"
    logarithmic = [page.axis(run, column).log for column in ("height", "catches", "accuracy")]
    assert logarithmic == [True, False, False]


def test_an_experiments_name_is_never_taken_for_another_module(tmp_path: Path) -> None:
    for name in ("default", "lstm_figures", "gan_pictures", "os.path", "../evil", ""):
        made = made_run(tmp_path / (name.replace("/", "_") or "none"))
        search = json.loads((made / "search.json").read_text())
        assert type(page_of(Run(tmp_path, {**search, "experiment": name}))) is Page
