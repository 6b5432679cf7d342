"""A run's interactive figures: what each point stands for, compared with values computed in another
way."""

import itertools
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from records.run import Run
from records.run_directory import RunDirectory
from records.tables import stretches
from records.trial_directory import TrialRecord
from reports.experiments import page_of
from reports.explore import Explorer
from tests.conftest import SmallGANSearch, SmallSearch
from tests.reports.conftest import four, invented, scores

Explored = tuple[Run, dict[str, dict[str, Any]]]


def explore(path: Path, folder: Path) -> Explored:
    """The run, and the content of each of its figures by the name of its script."""
    run = Run.open(path)
    folder.mkdir(exist_ok=True)
    plots = Explorer(run, page_of(run)).write(folder)
    contents = {}
    for plot in plots.values():
        assert plot.alt
        for name in plot.variants:
            call = (folder / f"{name}.js").read_text()
            contents[name.removeprefix("figures/")] = json.loads(
                call.removeprefix(f'report.figure("{name}", ').removesuffix(");\n")
            )
    return run, contents


def test_a_setting_that_does_not_apply_has_no_mark(tmp_path: Path) -> None:
    trials = four()
    del trials[2][0]["width"]
    _, contents = explore(invented(tmp_path / "run", trials), tmp_path / "site")
    (trace,) = contents["coverage-0"]["data"]
    assert trace["y"] == ["lr", "width", "lr", "width", "lr", "lr", "width"]
    assert trace["meta"]["trials"] == [0, 0, 1, 1, 2, 3, 3]


@pytest.fixture(scope="module")
def lstm(small_search: SmallSearch, tmp_path_factory: pytest.TempPathFactory) -> Explored:
    return explore(small_search.path, tmp_path_factory.mktemp("lstm"))


@pytest.fixture
def copy(small_search: SmallSearch, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_search.path, tmp_path / "copy"))


def traces(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [trace for trace in content["data"] if "meta" in trace]


def test_every_point_says_whose_it_is(lstm: Explored) -> None:
    run, contents = lstm
    numbers = set(run.trials["number"])
    for content in contents.values():
        for trace in traces(content):
            assert len(trace["meta"]["trials"]) == len(trace["x"]) == len(trace["y"])
            assert set(trace["meta"]["trials"]) <= numbers


def test_baselines_and_the_best_are_ringed_wherever_trials_are(lstm: Explored) -> None:
    run, contents = lstm
    known = {*run.trials.loc[run.trials["baseline"].notna(), "number"]}
    assert len(known) == 3
    for name in ("history-0", "history-1", "slices-0", "slices-1", "rank-0", "rungs-0"):
        ringed = {trace.get("name"): {*trace["meta"]["trials"]} for trace in traces(contents[name])}
        assert ringed["baseline (3)"] == known
        assert ringed["best"] == {run.best}
    drawn = [one for one in traces(contents["curves-of-all-0"]) if one["name"] == "baseline (3)"]
    assert {*drawn[0]["meta"]["trials"]} == known


def test_a_plane_is_not_shown_again_setting_by_setting(lstm: Explored, tmp_path: Path) -> None:
    _, contents = lstm
    assert {"rank-0"} <= contents.keys()
    assert not {"parallel-0", "coverage-0"} & contents.keys()
    _, of_three = explore(invented(tmp_path / "run", four()), tmp_path / "site")
    assert {"parallel-0", "coverage-0"} <= of_three.keys()


def test_a_point_lies_where_its_trial_does(lstm: Explored) -> None:
    run, contents = lstm
    trials = run.trials.set_index("number")
    names = [name for name in contents if name.startswith("slices")]
    assert len(names) == 2
    for name, column in zip(sorted(names), ("lr", "max_norm"), strict=True):
        found = {
            number: (x, y)
            for trace in traces(contents[name])
            for number, x, y in zip(trace["meta"]["trials"], trace["x"], trace["y"], strict=True)
        }
        assert set(found) == set(trials.index)
        for number, (x, y) in found.items():
            assert x == pytest.approx(trials.loc[number, column], rel=1e-5)
            assert y == pytest.approx(trials.loc[number, "mean_accuracy"], rel=1e-5)


def test_the_best_so_far_never_falls_and_counts_whole_trials_only(
    lstm: Explored,
) -> None:
    run, contents = lstm
    (line,) = [trace for trace in contents["history-0"]["data"] if trace["name"] == "best so far"]
    whole = run.trials[run.trials["ended"].isin(["converged", "budget"])].sort_values("number")
    best, expected = -math.inf, []
    for value in whole["mean_accuracy"]:
        best = max(best, value)
        expected.append(best)
    assert line["y"] == pytest.approx(expected, rel=1e-5)
    assert line["x"] == whole["number"].tolist()


def test_a_trial_that_was_stopped_stands_on_the_rung_where_it_was(
    lstm: Explored,
) -> None:
    run, contents = lstm
    stopped = next(
        trace for trace in traces(contents["rungs-0"]) if trace["name"].startswith("was stopped")
    )
    assert set(stopped["meta"]["trials"]) == set(
        run.trials.loc[run.trials["ended"] == "stopped early", "number"]
    )
    assert set(stopped["x"]) == {"500"}


def test_a_gan_is_drawn_on_a_logarithmic_scale_that_small_is_good_on(
    small_gan_search: SmallGANSearch, tmp_path: Path
) -> None:
    run, contents = explore(small_gan_search.path, tmp_path / "gan")
    assert contents["history-0"]["layout"]["yaxis"]["type"] == "log"
    (line,) = [
        trace for trace in contents["history-0"]["data"] if trace["name"] == "best so far"
    ] or [{"y": []}]
    assert line["y"] == sorted(line["y"], reverse=True)
    assert not run.notes


def test_words_from_a_run_are_no_markup(copy: Path, tmp_path: Path) -> None:
    file = copy / "trial_0003" / "trial.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "ended": "<img src=x>"}))
    _, contents = explore(copy, tmp_path / "site")
    assert "<img" not in json.dumps(
        [trace.get("text") for content in contents.values() for trace in content["data"]]
    )


def test_the_tables_beside_the_page_are_the_runs(small_search: SmallSearch, tmp_path: Path) -> None:
    from reports.pages import export

    run = Run.open(small_search.path)
    export(run, tmp_path)
    trials = pd.read_csv(tmp_path / "trials.csv")
    assert trials["number"].tolist() == list(range(6))
    histories = pd.read_parquet(tmp_path / "histories.parquet")
    for number in trials["number"]:
        lines = (small_search.path / f"trial_{number:04d}" / "result.json").read_text().splitlines()
        assert (histories["number"] == number).sum() == len(lines)
        assert (
            histories[histories["number"] == number]["accuracy"].iloc[-1]
            == json.loads(lines[-1])["accuracy"]
        )
    events = pd.read_csv(tmp_path / "events.csv")
    assert events["time"].is_monotonic_increasing
    assert (events["what"] == "trial began").sum() == 6
    assert "best/model.safetensors" in set(pd.read_csv(tmp_path / "checkpoints.csv")["file"])


def test_no_two_trials_are_drawn_at_work_in_one_place_at_one_time(
    lstm: Explored,
) -> None:
    _, contents = lstm
    bars = sorted(
        (slot, begin, begin + length)
        for trace in contents["timeline-0"]["data"]
        for slot, begin, length in zip(trace["y"], trace["base"], trace["x"], strict=True)
    )
    slack = 1.1 / 60  # reports are timed to the second
    assert all(
        one[0] != next_one[0] or one[2] <= next_one[1] + slack
        for one, next_one in itertools.pairwise(bars)
    )
    assert max(slot for slot, _, _ in bars) <= 2


def test_a_trial_that_waited_is_drawn_as_two_bars(small_search: SmallSearch, copy: Path) -> None:
    file = copy / "trial_0000" / "result.json"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows[len(rows) // 2 :]:
        row["timestamp"] += 100
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    before, after = stretches(Run.open(small_search.path)), stretches(Run.open(copy))
    assert (after["number"] == 0).sum() == (before["number"] == 0).sum() + 1
    waited = after[after["number"] == 0]
    assert waited["begin"].iloc[-1] - waited["end"].iloc[-2] == pytest.approx(100, abs=3)


def test_the_front_holds_the_trials_that_none_beats_in_both(copy: Path, tmp_path: Path) -> None:
    search = json.loads((copy / "search.json").read_text())
    search["objectives"] = [
        {"metric": "mean_accuracy", "mode": "max"},
        {"metric": "loss", "mode": "min"},
    ]
    (copy / "search.json").write_text(json.dumps(search))
    run, contents = explore(copy, tmp_path / "site")
    whole = run.trials[run.trials["ended"].isin(["converged", "budget"])]
    front = {
        one["number"]
        for _, one in whole.iterrows()
        if not (
            (whole["mean_accuracy"] > one["mean_accuracy"]) & (whole["loss"] < one["loss"])
        ).any()
    }
    (drawn,) = [
        trace for trace in traces(contents["pareto-0"]) if trace["name"].startswith("on the front")
    ]
    assert set(drawn["meta"]["trials"]) == front


def test_a_trial_that_was_stopped_early_ranks_below_every_whole_one(
    copy: Path, tmp_path: Path
) -> None:
    for number in range(5):
        file = copy / f"trial_{number:04d}" / "trial.json"
        ended = "budget" if number else "stopped early"
        file.write_text(json.dumps({**json.loads(file.read_text()), "ended": ended}))
    run, contents = explore(copy, tmp_path / "site")
    points = traces(contents["rank-0"])[0]
    ranks = dict(zip(points["meta"]["trials"], points["marker"]["color"], strict=True))
    whole = run.trials[run.trials["ended"].isin(["converged", "budget"])]
    in_order = whole.sort_values(run.metric, ascending=run.minimizes, kind="stable")["number"]
    assert sorted(in_order, key=lambda number: ranks[number]) == in_order.tolist()
    assert [ranks[number] for number in in_order] == [*range(1, len(whole) + 1)]
    assert min(ranks[number] for number in ranks.keys() - {*in_order}) > len(whole)


def test_the_winner_stands_beside_all_its_fresh_seeds(
    lstm: Explored,
) -> None:
    run, contents = lstm
    searched, selected, seeds, mean, beside = contents["curse-0"]["data"]
    assert selected["y"] == pytest.approx(
        run.trials.loc[run.trials["number"] == run.best, run.metric].tolist(), rel=1e-5
    )
    assert sorted(seeds["y"]) == pytest.approx(sorted(run.confirmed[run.metric]), rel=1e-5)
    assert mean["y"] == pytest.approx([run.confirmed[run.metric].mean()], rel=1e-5)
    others = run.confirmations[run.confirmations["confirms"] != run.best]
    assert sorted(beside["y"]) == pytest.approx(sorted(others[run.metric]), rel=1e-5)
    assert set(searched["meta"]["trials"]) <= set(run.trials["number"])


def test_a_trial_let_run_on_is_drawn_from_where_it_would_have_been_stopped(
    copy: Path, tmp_path: Path
) -> None:
    whole = Run.open(copy).trials
    number = int(whole.loc[whole["ended"].isin(["converged", "budget"]), "number"].iloc[0])
    file = copy / f"trial_{number:04d}" / "trial.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "audited": 500}))
    run, contents = explore(copy, tmp_path / "site")
    line = next(
        trace for trace in contents["audit-0"]["data"] if trace["name"] == f"trial {number}"
    )
    history = run.histories[run.histories["number"] == number].set_index("step")[run.metric]
    assert line["y"] == pytest.approx([history[500], history.iloc[-1]], rel=1e-5)


def test_a_trial_without_the_metric_at_a_rung_is_not_given_a_later_one(tmp_path: Path) -> None:
    reports = scores(0.1, None, 0.9)
    made = invented(tmp_path / "run", [({"lr": 0.1}, reports), ({"lr": 0.2}, scores(0.3, 0.4))])
    search = json.loads((made / "search.json").read_text())
    (made / "search.json").write_text(json.dumps({**search, "rungs": [100, 200]}))
    _, contents = explore(made, tmp_path / "site")
    drawn = {
        (number, rung): value
        for trace in traces(contents["rungs-0"])
        for number, rung, value in zip(trace["meta"]["trials"], trace["x"], trace["y"], strict=True)
    }
    assert drawn == {(0, "100"): 0.1, (1, "100"): 0.3, (1, "200"): 0.4}


def test_a_trial_ends_in_the_same_words_in_the_legend_and_at_its_point(tmp_path: Path) -> None:
    _, contents = explore(invented(tmp_path / "run", four()), tmp_path / "site")
    trace = contents["history-0"]["data"][0]
    assert trace["name"] == "used the whole budget (4)"
    assert trace["text"][0].startswith("trial 0: used the whole budget<br>")
    running = invented(tmp_path / "running", four(), ended=None)
    _, contents = explore(running, tmp_path / "site")
    assert contents["history-0"]["data"][0]["text"][0].startswith("trial 0: still running<br>")


def test_an_outcome_with_any_mark_of_matplotlib_is_drawn(tmp_path: Path) -> None:
    starred = {"name": "starred", "kind": "complete", "words": "a star", "mark": "*"}
    made = invented(tmp_path / "run", four(), ended="starred", outcomes=[starred])
    run, contents = explore(made, tmp_path / "site")
    assert not run.notes
    assert contents["history-0"]["data"][0]["name"] == "a star (4)"


def test_a_change_that_broke_the_training_leaves_a_gap_in_the_path(tmp_path: Path) -> None:
    made = invented(tmp_path / "run", four())
    for number, (changed, value) in enumerate([((), 0.1), ("lr", None), ("width", 0.6)]):
        trial = RunDirectory(made).ablation(3).trial(number)
        ended = "budget" if value else "diverged"
        config = {"seed": 1, "ablation": number, "changed": changed}
        trial.write(TrialRecord(number, config, ended=ended))
        trial.append({"step": 300, "score": value})
    run, contents = explore(made, tmp_path / "site")
    assert contents["path-0"]["data"][0]["y"] == [0.1, None, 0.6]
    assert not run.notes
