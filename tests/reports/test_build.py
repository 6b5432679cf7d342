"""Where the report may be written, what the program may be given, and runs of which one is odd."""

import json
import math
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from command_line import UsageError, read_arguments
from records.objective import Goal, Objective
from records.run_directory import RunDirectory
from records.store import write_json
from records.trial_directory import TrialRecord
from reports.build import ReportOptions, build, changes, watch
from reports.experiments import lstm
from reports.figures.style import apply
from search_spaces.lstm import SPACES

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "20"))


NO_PICTURES = {name: lambda: None for name in ("curves", "map", "slices", "confirmation")}


def made_run(path: Path, trials: int = 4, length: int = 4) -> Path:
    """A small LSTM run as a search leaves it."""
    run, objective = RunDirectory(path), Objective("mean_accuracy", "max")
    space = SPACES["lstm", "core"]
    session: dict[str, Any] = {
        "command": f"python tune_lstm.py --name {path.name}",
        "how": "finished",
    }
    session |= {"started": 1e9, "ended": 1e9 + 60}
    parameters = {
        name: {"distribution": str(p.distribution), "reason": p.reason, "only_if": p.only_if}
        for name, p in space.parameters.items()
    }
    about = {
        "experiment": "lstm",
        "name": path.name,
        "sessions": [session],
        "options": {"storage_path": "runs", "sampler": "tpe"},
        "versions": {"python": "3"},
        "commit": None,
        "host": "here",
        "space": parameters,
        "objectives": [asdict(objective)],
        "fixed": {"model": "lstm", "input_length": length, "max_steps": 300},
        "rungs": [100],
        "startup_trials": 3,
        "goal": asdict(Goal("test_accuracy", "least", 0.99)),
    }
    write_json(path / "search.json", about)
    measured = {"mean_accuracy": 0.5, "accuracy": 0.6, "loss": 1.0, "timestamp": 1e9}
    batches = {"train_accuracy": [0.5] * 10, "train_loss": [1.0] * 10}
    rows = [{"step": step, **measured, **batches} for step in (100, 200, 300)]
    for number in range(trials):
        config: dict[str, Any] = {"lr": 0.01 * (number + 1), "max_norm": 0.1}
        config |= {"seed": number, "trial": number}
        config |= {"baseline": "hand-tuned"} if number == 0 else {}
        run.trial(number).write(
            TrialRecord(number, config, started=1e9, finished=1e9 + 9, ended="budget")
        )
        for row in rows:
            run.trial(number).append({**row, "mean_accuracy": 0.5 + number / 10})
    best = trials - 1
    confirmation = {"trial": best, "seed": 900_000, "confirms": best, "lr": 0.04, "max_norm": 0.1}
    run.confirmation().trial(0).write(
        TrialRecord(0, confirmation, started=1e9, finished=1e9 + 9, ended="budget")
    )
    run.confirmation().trial(0).append({**rows[-1], "test_accuracy": 1.0, "steps_to_converge": 200})
    candidate = {"trial": best, "confirmed": [{"test_accuracy": 1.0}]}
    write_json(path / "best" / "confirmation.json", {"candidates": [candidate]})
    write_json(path / "best" / "metrics.json", {"trial": best})
    return path


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def report(*runs: Path, output: Path) -> tuple[int, Path]:
    apply()
    return build(ReportOptions(tuple(map(str, runs)), str(output)))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        made_run(tmp_path / "runs" / name, length=4 if name == "a" else 8)
    return tmp_path / "runs"


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take seconds, and one that cannot be drawn is caught in one place with all else."""
    monkeypatch.setattr(lstm.Page, "pictures", lambda *of: NO_PICTURES)


class TestOutput:
    @pytest.mark.parametrize(
        "output", ["runs/a", "runs/a/site", "runs/a/trial_0000/x/y", "runs", "elsewhere", "link"]
    )
    def test_a_report_never_writes_into_a_run(
        self, output: str, runs: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "a").symlink_to(runs / "a")
        (tmp_path / "link").symlink_to(runs / "b")
        before = contents(runs)
        with pytest.raises(UsageError, match="would write into the run"):
            report(runs / "a", output=tmp_path / output)
        assert contents(runs) == before

    def test_a_file_is_refused(self, runs: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine", encoding="utf-8")
        with pytest.raises(UsageError, match="is a file"):
            report(runs, output=tmp_path / "file")
        with pytest.raises(UsageError, match="Not a directory"):
            report(runs, output=tmp_path / "file" / "site")

    @pytest.mark.parametrize(
        "place",
        ["plotly.min.js", "index.html", "a/index.html", "a/trials.csv", "a/trials/0000.html"],
    )
    def test_a_full_disk_is_said(
        self, place: str, runs: Path, tmp_path: Path, without_pictures: None
    ) -> None:
        site = tmp_path / "site"
        (site / place).parent.mkdir(parents=True)
        (site / place).symlink_to("/dev/full")
        with pytest.raises(UsageError, match=r"site cannot be written to: No space left on device"):
            report(runs / "a", output=site)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
    def test_what_permissions_forbid_is_said(
        self, runs: Path, tmp_path: Path, without_pictures: None
    ) -> None:
        unreadable, unwritable = made_run(tmp_path / "unreadable"), tmp_path / "unwritable"
        unwritable.mkdir(mode=0o755)
        for folder in (tmp_path, *list(tmp_path.parents)[:-2]):
            folder.chmod(folder.stat().st_mode | 0o055)
        unreadable.chmod(0)
        # Imports everything first: the files of modules may be readable by root only.
        report(runs / "a", output=tmp_path / "site")
        os.seteuid(65534)
        try:
            with pytest.raises(UsageError, match="site cannot be written to: Permission denied"):
                report(runs / "a", output=unwritable / "site")
            with pytest.raises(
                UsageError, match=r"unreadable/search.json cannot be read: Permission denied"
            ):
                report(unreadable, output=tmp_path / "other")
            with pytest.raises(UsageError, match=r"inside cannot be read: Permission denied"):
                report(unreadable / "inside", output=tmp_path / "other")
        finally:
            os.seteuid(0)


@pytest.mark.parametrize(
    ("options", "words"), [({"output": ""}, "--output is empty"), ({"runs": ("",)}, "RUN is empty")]
)
def test_an_empty_word_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build(ReportOptions(**options))


def test_a_home_is_expanded_also_after_an_equals_sign(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    options = ReportOptions(("~/runs/a",), "~/site")
    assert (options.folders, options.site) == ([runs / "a"], tmp_path / "site")


def break_sessions(search: dict[str, Any]) -> None:
    search["sessions"][0]["started"] = "yesterday"


def break_goal(search: dict[str, Any]) -> None:
    search["goal"]["bound"] = None


def break_space(search: dict[str, Any]) -> None:
    search["space"]["lr"]["distribution"] = "exit()"


def break_versions(search: dict[str, Any]) -> None:
    search["versions"] = None


@pytest.mark.parametrize("damage", [break_sessions, break_goal, break_space, break_versions])
def test_an_odd_run_among_several_is_named_and_spoils_no_other(
    damage: Any,
    runs: Path,
    tmp_path: Path,
    without_pictures: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    search = json.loads((made_run(runs / "odd") / "search.json").read_bytes())
    damage(search)
    write_json(runs / "odd" / "search.json", search)
    count, index = report(runs, output=tmp_path / "site")
    assert count == 2
    assert "odd" in index.read_text(encoding="utf-8")
    assert 'href="comparison.html"' in index.read_text(encoding="utf-8")
    said = [
        line for line in capsys.readouterr().err.splitlines() if not line.startswith("building ")
    ]
    assert len(said) == 1
    assert "odd" in said[0]


def test_the_help_has_no_empty_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_arguments(ReportOptions, arguments=["--help"])
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "Default: every run under runs/." in said
    assert "(default: )" not in said


@pytest.mark.parametrize("accuracy", ["high", [1], {"a": 1}, None, 10**400])
def test_a_run_that_cannot_be_compared_is_shown_by_itself(
    accuracy: Any, runs: Path, tmp_path: Path, without_pictures: None
) -> None:
    row = {"step": 400, "mean_accuracy": 0.9, "accuracy": accuracy, "loss": 1.0, "timestamp": 1e9}
    with (runs / "b" / "trial_0000" / "result.json").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    made_run(runs / "c", length=6)
    count, index = report(runs, output=tmp_path / "site")
    assert count >= 2
    assert 'href="comparison.html"' in index.read_text(encoding="utf-8")


def test_runs_with_odd_names_have_pages_and_links(
    runs: Path, tmp_path: Path, without_pictures: None
) -> None:
    names = ["index.html", "report.js", "a?b#c%20", "with space", "<b>", "[x]*", "ü"]
    names.append(os.fsdecode(b"\xff raw"))
    for name in names:
        shutil.copytree(runs / "a", runs / name)
    count, index = report(runs, output=tmp_path / "site")
    assert count == len(names) + 2
    text = index.read_text(encoding="utf-8")
    links = ("index.html-2", "report.js-2", "a%3Fb%23c%2520", "with%20space", "%3Cb%3E")
    for link in (*links, "%FF%20raw", "%C3%BC"):
        assert f'href="{link}/index.html"' in text


def test_a_run_that_goes_while_it_is_watched_is_waited_for(
    runs: Path,
    tmp_path: Path,
    without_pictures: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ReportOptions((str(runs),), str(tmp_path / "site"), watch=True)
    moves = iter((lambda: shutil.rmtree(runs), lambda: made_run(runs / "again"), None))

    class Clock:
        def is_set(self) -> bool:
            return False

        def wait(self, seconds: float) -> None:
            move = next(moves)
            if move is None:
                raise KeyboardInterrupt
            move()

    monkeypatch.setattr("reports.build.on_interrupt", Clock)
    apply()
    watch(options)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("2 runs in ")
    assert said[1].startswith("waiting: ")
    assert said[2].startswith("1 run in ")
    assert changes(options)
    assert "refresh" not in (tmp_path / "site" / "again" / "index.html").read_text()


NUMBERS = [-1, 0, 1e308, math.nan, math.inf, 10**400]
WORDS = ["", "x", "<script>alert(1)</script>", "\ud800"]
HOSTILE = st.sampled_from([None, True, *WORDS, *NUMBERS, [], [[1]], {}, {"a": 1}])


@given(data=st.data())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_hostile_values_anywhere_are_shown_or_refused_in_one_line(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    run = made_run(folder / "runs" / "mine", trials=3)
    for _ in range(data.draw(st.integers(1, 3))):
        damage(data, data.draw(st.sampled_from(sorted(run.rglob("*.json")))))
    before = contents(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lstm.Page, "pictures", lambda *of: NO_PICTURES)
        try:
            report(run, output=folder / "site")
            page = (folder / "site" / "mine" / "index.html").read_text(encoding="utf-8")
        except UsageError as error:
            page = str(error) if "\n" in str(error) else ""
    assert "<script>alert" not in page
    assert "Traceback" not in page
    assert contents(run) == before
    shutil.rmtree(folder)


def damage(data: st.DataObject, file: Path) -> None:
    """Cut a file, nest it too deep, or replace or remove a value in a random place of it."""
    how = data.draw(st.sampled_from(["cut", "deep", "value", "value", "value", "drop"]))
    whole = file.read_bytes()
    if how == "cut":
        file.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
        return
    if how == "deep":
        file.write_bytes(b"[" * 100_000 + b"]" * 100_000)
        return
    lines = [line for line in whole.splitlines() if line.strip()]
    is_lines = file.name == "result.json"
    try:
        documents = [json.loads(line) for line in (lines if is_lines else [whole])]
    except (ValueError, RecursionError):
        return
    if not documents:
        return
    place = data.draw(st.sampled_from(documents))
    while isinstance(place, dict | list) and place:
        key = data.draw(
            st.sampled_from(list(place) if isinstance(place, dict) else range(len(place)))
        )
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            if how == "drop":
                del place[key]
            else:
                place[key] = data.draw(HOSTILE)
            break
        place = inner
    file.write_text("\n".join(json.dumps(one) for one in documents) + "\n", encoding="utf-8")
