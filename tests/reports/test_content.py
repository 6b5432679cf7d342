"""The words of a run's page."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution

from records.run import Run
from records.run_directory import RunDirectory
from records.store import write_json
from records.trial_directory import TrialRecord
from reports.content import number, scales, settings
from reports.experiments import page_of
from tests.reports.conftest import four, invented, page_of_run, scores, words_of


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.9996, 3, "0.9996"), (999.96, 4, "1,000"), (-0.0, 3, "0"), (np.bool_(True), 3, "True")],
)
def test_a_printed_number_is_not_another_one(value: object, digits: int, text: str) -> None:
    assert number(value, digits) == text


def test_a_choice_is_shown_as_what_it_is(tmp_path: Path) -> None:
    space = {name: CategoricalDistribution((None, True, "a")) for name in ("bias", "warm", "left")}
    run = Run.open(invented(tmp_path / "run", [({"bias": True, "warm": None}, scores(0.5))], space))
    for row in (run.trials.iloc[0], run.finished[0].settings):
        assert settings(run, row) == "bias=True warm=None"
    assert settings(run, {"bias": np.bool_(False)}) == "bias=False"


def test_choices_keep_the_order_of_the_space_unless_they_are_numbers(tmp_path: Path) -> None:
    space = {
        "mixed": CategoricalDistribution(("auto", 0.5, None, 0.1)),
        "numbers": CategoricalDistribution((64, 8, 16)),
    }
    run = Run.open(invented(tmp_path / "run", [], space))
    assert scales(run) == {"mixed": ("auto", 0.5, "None", 0.1), "numbers": (8, 16, 64)}


def test_a_goal_is_not_rounded_to_what_is_easier_to_reach(tmp_path: Path) -> None:
    goal = {"metric": "score", "at": "least", "bound": 0.98765}
    seeds = [scores(0.9), scores(0.9877)]
    run = Run.open(invented(tmp_path / "run", four(), fresh_seeds=seeds, goal=goal))
    answer = page_of(run).answer(run)
    assert answer is not None
    assert (answer.goal, answer.reached, answer.seeds) == ("score 0.98765", 1, 2)


def test_the_median_step_of_two_seeds_is_not_rounded_down(tmp_path: Path) -> None:
    seeds = [[{"score": 1.0, "steps_to_converge": steps}] for steps in (25, 50)]
    run = Run.open(invented(tmp_path / "run", four(), fresh_seeds=seeds))
    answer = page_of(run).answer(run)
    assert answer is not None
    assert answer.pace == "converged at step 25 to 50, median 37.5"


def with_a_baseline(path: Path, *values: float) -> Run:
    """A run whose trial 0 is a baseline with these scores on the best trial's fresh seeds."""
    run = RunDirectory(path)
    record = run.trial(0).read()
    assert record is not None
    config = {**record.config, "baseline": "by the book"}
    run.trial(0).write(dataclasses.replace(record, config=config))
    for seed, value in enumerate(values):
        trial, own = run.confirmation().trial(100 + seed), {"seed": seed, "confirms": 0}
        trial.write(TrialRecord(100 + seed, {**config, **own}, 1e9, 1e9 + 9, "budget"))
        trial.append({"step": 100, "score": value})
    return Run.open(path)


def test_the_page_says_whether_the_best_settings_beat_the_best_baseline(
    tmp_path: Path, unsaved: set[str]
) -> None:
    fresh = [scores(0.91), scores(0.8), scores(0.92)]
    path = invented(tmp_path / "run", four(), fresh_seeds=fresh)
    alone = words_of(page_of_run(path, tmp_path / "alone"))
    assert "Better than the best baseline" not in alone
    with_a_baseline(path, 0.8, 0.71, 0.8)
    page = words_of(page_of_run(path, tmp_path))
    assert (
        "Better than the best baseline? Yes; score is 0.107 higher than with “by the book”" in page
    )


def test_a_baseline_that_is_the_best_is_called_one(tmp_path: Path, unsaved: set[str]) -> None:
    path = invented(tmp_path / "run", four(), fresh_seeds=[scores(0.8), scores(0.7)])
    with_a_baseline(path, 0.9, 0.92)
    write_json(path / "best" / "metrics.json", {"trial": 0})
    page = words_of(page_of_run(path, tmp_path))
    assert "These settings are a baseline: by the book." in page
    assert (
        "Better than the best baseline? Trial 3: not shown; score is 0.16 lower than with" in page
    )
    assert re.search(r"--resume --confirm \d+ would show so large a difference", page)


def test_the_page_says_where_nothing_was_learned_and_when_seeds_converged(
    tmp_path: Path, unsaved: set[str]
) -> None:
    seeds = [[{"score": 0.11, "steps_to_converge": steps}] for steps in (300, 700, 400)]
    path = invented(tmp_path / "run", four(), fresh_seeds=seeds)
    search = json.loads((path / "search.json").read_text())
    page = words_of(page_of_run(path, tmp_path / "before"))
    assert "They have learned nothing" not in page
    assert "converged at step 300 to 700, median 400" in page
    write_json(path / "search.json", {**search, "goal": {**search["goal"], "chance": 0.1}})
    page = words_of(page_of_run(path, tmp_path))
    assert "They have learned nothing: a guess reaches 0.1." in page
