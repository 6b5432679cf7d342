"""One small search through the real command, looked at from every side a user has."""

import json
import os
from pathlib import Path

import optuna
import pytest
import torch
from optuna.trial import TrialState
from safetensors.torch import load_file

from records.trial_directory import TrialDirectory
from tests.conftest import ROOT, SMALL, SmallSearch, run, start
from tests.support.processes import wait_for
from trainables.lstm.model import LSTM, load_model
from trainables.lstm.palindromes import draw_batch
from tuning.seeds import ABLATION_SEEDS


def test_ends_well_and_says_once_that_there_is_no_gpu(small_search: SmallSearch) -> None:
    assert small_search.result.returncode == 0, small_search.result.stderr
    if not torch.cuda.is_available():
        assert small_search.result.stderr.count("no GPU") == 1


def test_the_plan_comes_first_and_every_trial_has_a_line(small_search: SmallSearch) -> None:
    lines = small_search.result.stderr.splitlines()
    assert lines[0].startswith("6 trials · TPE (seed 0) + ASHA at steps 500 · ")
    assert any(line.startswith("dashboard  http://127.0.0.1:") for line in lines)
    assert sum(line.startswith("trial ") for line in lines) == 6
    assert not any("Traceback" in line or "WARNING" in line for line in lines)


def test_the_verdict_ends_with_the_run_and_the_next_command(small_search: SmallSearch) -> None:
    lines = small_search.result.stdout.splitlines()
    assert lines[-2] == "run        runs/small"
    report = os.path.relpath(ROOT / "reports" / "build.py", small_search.folder)
    assert lines[-1] == f"next       python {report} runs/small"
    words = [line.split()[0] for line in lines]
    assert {"best", "selected", "confirmed", "better", "finalist"} <= set(words)
    assert sum(word == "baseline" for word in words) == 3


def test_every_trial_is_on_disk_with_its_end(small_search: SmallSearch) -> None:
    records = [
        json.loads(file.read_text())
        for file in sorted(small_search.path.glob("trial_*/trial.json"))
    ]
    assert [record["number"] for record in records] == list(range(6))
    assert all(record["ended"] in ("converged", "budget", "stopped early") for record in records)
    assert all(record["finished"] >= record["started"] for record in records)
    assert [record["config"].get("baseline") for record in records[:3]] == [
        "hand-tuned, defaults", "hand-tuned, T=15", "hand-tuned, T=20",
    ]  # fmt: skip
    assert all(record["ended"] != "stopped early" for record in records[:3])
    assert len({record["config"]["seed"] for record in records}) == 6


def test_the_study_tells_the_same_story(small_search: SmallSearch) -> None:
    study = optuna.load_study(
        study_name="small", storage=f"sqlite:///{small_search.path / 'optuna.db'}"
    )
    states = {
        "converged": TrialState.COMPLETE,
        "budget": TrialState.COMPLETE,
        "stopped early": TrialState.PRUNED,
    }
    assert len(study.trials) == 6
    for trial in study.trials:
        directory = small_search.path / trial.user_attrs["directory"]
        record = json.loads((directory / "trial.json").read_text())
        rows = [json.loads(line) for line in (directory / "result.json").read_text().splitlines()]
        assert trial.state == states[record["ended"]]
        assert trial.user_attrs["ended"] == record["ended"]
        assert trial.user_attrs["seed"] == record["config"]["seed"]
        assert trial.params == {name: record["config"][name] for name in ("lr", "max_norm")}
        assert trial.value == rows[-1]["mean_accuracy"]
        assert trial.intermediate_values == {row["step"]: row["mean_accuracy"] for row in rows}


def test_the_winner_can_be_loaded_and_remembers(small_search: SmallSearch) -> None:
    best = small_search.path / "best"
    model = LSTM()
    model.load_state_dict(load_file(best / "model.safetensors"))
    metrics = json.loads((best / "metrics.json").read_text())
    x, target = draw_batch(10_000, 4, torch.Generator().manual_seed(123))
    accuracy = (model(x).argmax(1) == target).float().mean().item()
    assert accuracy == pytest.approx(metrics["accuracy"], abs=0.02)


def test_every_fresh_seed_is_kept_and_none_was_searched_on(small_search: SmallSearch) -> None:
    confirmation = json.loads((small_search.path / "best" / "confirmation.json").read_text())
    searched = {
        json.loads(file.read_text())["config"]["seed"]
        for file in small_search.path.glob("trial_*/trial.json")
    }
    field = confirmation["candidates"]
    assert sorted("baseline" in one["config"] for one in field) == [False, True]
    seeds = [[row["seed"] for row in one["confirmed"]] for one in field]
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 2
    assert not set(seeds[0]) & searched
    assert all("test_accuracy" in row for one in field for row in one["confirmed"])


def test_search_json_says_how_to_make_it_again(small_search: SmallSearch) -> None:
    search = json.loads((small_search.path / "search.json").read_text())
    (session,) = search["sessions"]
    assert session["how"] == "finished"
    assert session["ended"] > session["started"]
    assert "--num-samples 6" in session["command"]
    assert search["options"]["input_length"] == 4
    assert set(search["versions"]) == {"python", "torch", "ray", "optuna", "numpy"}


def test_weights_of_only_the_best_few_and_of_baselines_stay_on_disk(
    small_search: SmallSearch,
) -> None:
    weights = small_search.path.glob("trial_*/checkpoint_*/model.safetensors")
    records = [json.loads((file.parent.parent / "trial.json").read_text()) for file in weights]
    baselines = {one["number"] for one in records if "baseline" in one["config"]}
    assert baselines == {0, 1, 2}
    assert len({one["number"] for one in records} - baselines) <= 3


@pytest.mark.slow
def test_a_finished_run_takes_more_trials_and_other_flags(tmp_path: Path) -> None:
    """One run in three sessions, through the flags that no other test uses; its space file is gone
    after the first."""
    space_file = tmp_path / "space.toml"
    space_file.write_text("lr = {low = 3e-3, high = 5e-2, log = true}\nmax_norm = [0.1, 1]\n")
    first = run(
        "tune_lstm.py", *SMALL[:2], "--max-steps", 200, "--confirm", 0, "--num-samples", 2,
        "--name", "more", "--quiet",
        "--no-dashboard", "--scheduler", "hyperband", "--sampler", "qmc", "--max-concurrent", 1,
        "--storage-path", "here",
        "--optuna-storage", f"sqlite:///{tmp_path}/studies.db", "--seed", 8,  # hand-tuned loses
        "--space-file", "space.toml", "--set", "max_norm=0.01", "hidden_dim=64,128", cwd=tmp_path,
    )  # fmt: skip
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    assert first.stdout.splitlines()[0].startswith("2 trials: ")
    folder = tmp_path / "here" / "more"
    assert not (folder / "optuna.db").exists()
    space_file.unlink()
    before = {file: file.read_bytes() for file in folder.glob("trial_*/*.json")}

    more = ("--num-samples", 5, "--quiet", "--no-dashboard", "--ablation")
    second = run("tune_lstm.py", "--resume", "--storage-path", "here", *more, cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert second.stdout.splitlines()[0].startswith("5 trials: ")
    assert all(file.read_bytes() == content for file, content in before.items())
    study = optuna.load_study(study_name="more", storage=f"sqlite:///{tmp_path}/studies.db")
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 5
    assert [trial.user_attrs["seed"] for trial in study.trials] == [
        8_000_000 + number for number in range(5)
    ]

    configs = [
        json.loads(file.read_text())["config"] for file in sorted(folder.glob("trial_*/trial.json"))
    ]
    assert [set(trial.params) for trial in study.trials] == [{"lr", "hidden_dim"}] * 5
    assert all(3e-3 <= config["lr"] <= 5e-2 and config["max_norm"] == 0.01 for config in configs)
    assert {config["hidden_dim"] for config in configs} <= {64, 128}
    search = json.loads((folder / "search.json").read_text())
    assert search["options"]["set"] == ["hidden_dim=64,128", "lr=0.003..0.05:log", "max_norm=0.01"]
    assert list(search["space"]) == ["lr", "hidden_dim"]
    assert search["fixed"]["max_norm"] == 0.01
    assert search["baselines"] == {"hand-tuned, T=20": {"lr": 0.005, "hidden_dim": 128}}

    best = json.loads((folder / "best" / "config.json").read_text())
    path = [
        json.loads(file.read_text())
        for file in sorted(folder.glob("ablation/*/trial_*/trial.json"))
    ]
    assert path[0]["config"]["changed"] == []
    ends = [[path[place]["config"][name] for name in ("lr", "hidden_dim")] for place in (0, -1)]
    assert ends == [[0.005, 128], [best["lr"], best["hidden_dim"]]]
    assert all(record["ended"] for record in path)
    assert len({record["config"]["seed"] for record in path}) == ABLATION_SEEDS

    other = run(
        "tune_lstm.py", "--resume", "--storage-path", "here", "--input-length", 9, cwd=tmp_path
    )
    assert other.returncode == 2
    assert other.stderr.strip().endswith(
        "run more was started with --input-length 4; it cannot go on with 9"
    )


@pytest.mark.slow
def test_trials_of_several_seeds_are_searched_killed_resumed_and_confirmed(tmp_path: Path) -> None:
    command = (
        "tune_lstm.py", "--input-length", 4, "--max-steps", 700, "--num-samples", 6, "--confirm", 2,
        "--finalists", 1, "--seeds-per-trial", 3, "--no-dashboard", "--name", "several",
    )  # fmt: skip
    folder = tmp_path / "runs" / "several"
    process = start(*command, cwd=tmp_path)
    wait_for(lambda: len(list(folder.glob("trial_*/checkpoint_*/state.pt"))) > 0, process)
    process.kill()
    process.communicate()
    again = run("tune_lstm.py", "--resume", "--name", "several", "--ablation", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stderr.startswith("6 trials of 3 seeds, of which the worst counts")
    assert "(in the search, the worst of 3 seeds)" in again.stdout
    seeds, numbers = set(), 0
    for file in folder.glob("trial_*/trial.json"):
        rows = TrialDirectory(file.parent).rows()
        worst = min(rows[-1]["seeds"], key=lambda one: float(one["mean_accuracy"]))
        assert rows[-1]["mean_accuracy"] == worst["mean_accuracy"]
        first = json.loads(file.read_text())["config"]["seed"]
        last = [one["seed"] for one in rows[-1]["seeds"]]
        assert last == [first] or last == [first, first + 1, first + 2]
        seeds |= {first, first + 1, first + 2}
        numbers += 1
    assert (numbers, len(seeds)) == (6, 18)
    for file in folder.glob("*/**/trial_*/trial.json"):  # fresh seeds and ablation
        assert "seeds_per_trial" not in json.loads(file.read_text())["config"]
    metrics = json.loads((folder / "best" / "metrics.json").read_text())
    trial = json.loads((folder / f"trial_{metrics['trial']:04d}" / "trial.json").read_text())
    assert metrics["seed"] == trial["config"]["seed"]
    model = load_model(folder / "best")
    x, target = draw_batch(2000, 4, torch.Generator().manual_seed(1))
    assert (model(x).argmax(1) == target).float().mean() > 0.9
    report = run("reports/build.py", cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    assert (
        "between seeds of the same settings"
        in (tmp_path / "reports/site/several/index.html").read_text()
    )

    other = run("tune_lstm.py", "--resume", "--seeds-per-trial", 2, cwd=tmp_path)
    assert other.returncode == 2
    assert "started with --seeds-per-trial 3; it cannot go on with 2" in other.stderr


@pytest.mark.slow
def test_a_time_budget_ends_the_search_and_still_confirms(tmp_path: Path) -> None:
    result = run(
        "tune_lstm.py", "--input-length", 4, "--max-steps", 100, "--num-samples", 400, "--confirm",
        1, "--no-dashboard",
        "--time-budget", "20s", "--name", "short", "--scheduler", "none", "--sampler", "random",
        "--max-concurrent", 1,
        cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "confirmed  " in result.stdout
    study = optuna.load_study(
        study_name="short", storage=f"sqlite:///{tmp_path}/runs/short/optuna.db"
    )
    states = {trial.state for trial in study.trials}
    assert TrialState.RUNNING not in states
    assert TrialState.COMPLETE in states
    assert len(study.trials) < 400
    assert (
        json.loads((tmp_path / "runs/short/search.json").read_text())["sessions"][0]["how"]
        == "time budget"
    )


@pytest.mark.slow
def test_a_target_that_holds_on_fresh_seeds_ends_the_search(tmp_path: Path) -> None:
    """The extended space with several objectives, an audit and a target, all through the
    command."""
    result = run(
        "tune_lstm.py", "--input-length", 4, "--space", "extended", "--max-steps", 2000,
        "--num-samples", 60, "--confirm", 2,
        "--target", 0.98, "--objectives", "accuracy", "steps_to_converge", "--audit", 0.5,
        "--no-dashboard", "--name", "target",
        cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "2 of 2 fresh seeds reach test_accuracy 0.98" in result.stdout
    assert "\nfront      trial " in result.stdout
    folder = tmp_path / "runs/target"
    assert (
        json.loads((folder / "search.json").read_text())["sessions"][0]["how"] == "target reached"
    )
    records = [json.loads(file.read_text()) for file in folder.glob("trial_*/trial.json")]
    assert len(records) < 60
    assert all(record["ended"] for record in records)
    study = optuna.load_study(study_name="target", storage=f"sqlite:///{folder}/optuna.db")
    assert TrialState.RUNNING not in {trial.state for trial in study.trials}
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert complete
    for trial in complete:
        rows = [
            json.loads(line)
            for line in (folder / trial.user_attrs["directory"] / "result.json")
            .read_text()
            .splitlines()
        ]
        assert trial.values == [rows[-1]["accuracy"], rows[-1]["steps_to_converge"] or 2000]

    again = run("tune_lstm.py", "--resume", "--name", "target", "--no-dashboard", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(list(folder.glob("trial_*/trial.json"))) == len(records)
