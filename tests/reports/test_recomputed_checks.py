"""The checks of invented runs, recomputed from their raw files.

The runs have what the small real ones of ``test_recomputed`` lack: enough trials to compare, a
path of changes, trials that were let run on.
"""

import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

import records.checks
from records.run import Run
from records.run_directory import RunDirectory
from records.store import write_json
from records.trial_directory import TrialRecord
from records.versus_baseline import versus_baseline
from tests.reports.conftest import SPACE, invented, scores
from tests.support.page_numbers import differences, other_texts
from tests.support.raw_run import RawRun
from tests.support.recompute import versus
from tests.support.recompute_checks import CHECKS, Said
from tests.support.recompute_trained import TRAINED
from tests.support.recompute_what import WHAT

MORE = {**WHAT, **TRAINED}

Checks = Mapping[str, Callable[[RawRun], Said]]


def unlike(path: Path, checks: Checks) -> list[str]:
    """What the project's checks say otherwise than the files do."""
    run, raw, found = Run(path), RawRun(path), []
    for code, recomputed in checks.items():
        check, (status, items) = records.checks.CHECKS[code](run), recomputed(raw)
        found += [] if check.status == status else [f"{code} {check.status} is {status}"]
        found += differences(check.sentence, items)
        if code in MORE:
            altered = other_texts(check.sentence)
            found += [f"unseen: {text}" for text in altered if not differences(text, items)]
    return found


def test_every_check_is_recomputed() -> None:
    assert {*CHECKS, *MORE} == {*records.checks.CHECKS}


def larger(path: Path, seed: int, effect: float) -> RawRun:
    """An invented run of 40 trials, of which three fail, with a baseline and three other finalists
    on five fresh seeds.

    With the ``seed`` 2, each trial has three seeds.

    ``effect``: how much the score rises with ``lr``, up to the end of its range, and in how much of
    its range the sampler draws no more. The score is noise otherwise.
    """
    draw, startup = np.random.default_rng(seed), 30 if seed == 3 else 16
    space = {**SPACE, "kind": CategoricalDistribution(("a", "b", "rare"))}
    trials: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    for number in range(40):
        place = draw.random() ** (1 / (1 + effect * (number >= startup)))
        kind = str(draw.choice(["a", "b", "rare"], p=[0.5, 0.45, 0.05]))
        config = {"lr": 1e-4 ** (1 - place), "width": 64 * draw.random(), "kind": kind}
        baseline = {"baseline": "known, 1st"} if number == 4 else {}
        score = 0.3 + effect * place / 10 + draw.normal() / 20
        reports = scores(score, score + 0.1, score + 0.2)
        if seed == 2:  # each trial trains three seeds, of which the worst counts
            values = sorted(score + draw.normal(size=3) / 20)
            reports[-1] = {"score": values[0], "seeds": [*map(dict, scores(*values))]}
        trials.append(({**config, **baseline}, reports))
    about: dict[str, Any] = {
        "options": {"sampler": "tpe", "storage_path": "runs", "confirm": 5},
        "goal": {"metric": "score", "at": "least", "bound": 0.5},
        "rungs": [200],
        "startup_trials": startup,
    }
    directory, broken = RunDirectory(invented(path, trials, space, **about)), (7, 22, 31)
    for number in broken[:seed]:
        config = {**trials[number][0], "seed": number}
        ended, error = ("diverged", None) if number == 7 else ("error", "2 GiB were not there")
        directory.trial(number).write(TrialRecord(number, config, 1e9, 1e9 + 9, ended, error))
    tried = [one.number for one in RawRun(path).complete if not one.is_baseline][:3]
    places = itertools.product(range(900_000, 900_005), [*tried, 4])
    for number, (fresh_seed, confirms) in enumerate(places):
        trial = directory.confirmation().trial(number)
        config = {**trials[confirms][0], "seed": fresh_seed, "confirms": confirms}
        trial.write(TrialRecord(number, config, 1e9, 1e9 + 9, "budget"))
        score = 0.45 + effect * (confirms != 4) / 20 + draw.normal() / (200 if seed else 20)
        trial.append({"step": 300, **scores(score)[0]})
    run = RawRun(path)
    write_json(path / "best" / "metrics.json", {"trial": run.winner.number if run.winner else None})
    return run


@pytest.mark.parametrize("effect", [0, 1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_checks_and_the_comparison_with_the_baseline_are_as_recomputed_in_larger_runs(
    seed: int, effect: float, tmp_path: Path
) -> None:
    raw = larger(tmp_path / "large", seed, effect)
    assert unlike(tmp_path / "large", CHECKS) == []
    compared = versus_baseline(Run(tmp_path / "large"))
    assert raw.winner is not None
    assert compared is not None
    name = f"are a baseline: {raw.winner.config['baseline']}. " if raw.winner.is_baseline else ""
    needed = f" --confirm {compared.seeds_needed}" if compared.seeds_needed else ""
    assert differences(f"{name}{compared.words}{needed}", versus(raw, raw.winner)) == []


CHANGES = ("lr", ["width", "slope"], "kind")


def with_a_path(path: Path, seed: int, breaks: bool = False) -> Path:
    """A larger run with a path of three changes on three seeds, of which one may break, and with
    trials that were stopped early or let run on instead."""
    draw, winner = np.random.default_rng(seed), larger(path, seed, 1).winner
    assert winner is not None
    directory = RunDirectory(path)
    for number in range(12, 36):
        trial, ended = directory.trial(number), "stopped early" if number % 3 == 0 else "budget"
        record = json.loads((trial.path / "trial.json").read_bytes())
        audited = 200 if number % 3 == 1 and (seed != 3 or number > 30) else None
        if record["ended"] == "budget" and number not in (winner.number, 16):
            write_json(trial.path / "trial.json", {**record, "ended": ended, "audited": audited})
    middle = np.cumsum([0.3, 0.2, 0.01, -0.05 * seed])
    stages = [*zip(((), *CHANGES), middle, strict=True)]
    path_of_changes = [(*one, own) for one in enumerate(stages) for own in range(3)]
    for number, (place, (changed, mean), own) in enumerate(path_of_changes):
        trial = directory.ablation(winner.number).trial(number)
        config = {"seed": 999_990 + own, "ablation": place, "changed": changed}
        broke = breaks and (place == 1 and own == 2)
        ended, error = ("error", "out of memory") if broke else ("budget", None)
        trial.write(TrialRecord(number, config, 1e9, 1e9 + 9, ended, error))
        if not broke or seed > 1:
            trial.append({"step": 300, "score": float(mean + draw.normal() / 100)})
    return path


@pytest.mark.parametrize(
    ("seed", "breaks"),
    [
        (0, False),
        (2, True),
        pytest.param(3, False, marks=pytest.mark.slow),
        pytest.param(1, False, marks=pytest.mark.slow),
        pytest.param(1, True, marks=pytest.mark.slow),
    ],
)
def test_paths_and_audits_are_as_recomputed(seed: int, breaks: bool, tmp_path: Path) -> None:
    path = with_a_path(tmp_path / "path", seed, breaks)
    assert unlike(path, {**CHECKS, **TRAINED}) == []


WIDE = {
    **SPACE,
    "layers": IntDistribution(1, 8),
    "batch": CategoricalDistribution((128, 32, 64)),
    "kind": CategoricalDistribution(("plain", "leaky", None)),
    "slope": FloatDistribution(0, 0.3),
    "momentum": FloatDistribution(0.9, 0.9),
}
"""Every kind of parameter: also one of leaky trials only, and one of a single value."""


def wide(path: Path, seed: int, n: int, effect: float) -> Path:
    """A search of ``n`` trials over ``WIDE``: a third is stopped at the first rung, where
    ``width`` decides; at the end ``lr`` does, by the ``effect``. A baseline lies outside the
    space."""
    draw = np.random.default_rng(seed)
    trials: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    for number in range(n):
        place, width, leaky = draw.random(3)
        kind = "leaky" if leaky < 0.4 else ("plain", None)[number % 2]
        config = {"lr": 1e-4 ** (1 - place), "width": 64 * width, "kind": kind, "momentum": 0.9}
        config |= {"layers": int(draw.integers(1, 9)), "batch": (32, 64, 128)[number % 3]}
        config |= {"slope": 0.3 * draw.random()} if kind == "leaky" else {}
        config |= {"lr": 2.0, "baseline": "too fast"} if number == 3 else {}
        noise = draw.normal(size=2) / 5
        trials.append((config, scores(effect * width + noise[0], 0.5, effect * place + noise[1])))
    invented(path, trials, WIDE, rungs=[100, 250], startup_trials=10)
    for number in range(4, n, 3):
        trial = RunDirectory(path).trial(number)
        first = (trial.path / "result.json").read_text("utf-8").splitlines(keepends=True)[0]
        (trial.path / "result.json").write_text(first, "utf-8")
        record = json.loads((trial.path / "trial.json").read_bytes())
        write_json(trial.path / "trial.json", {**record, "ended": "stopped early"})
    return path


@pytest.mark.parametrize(
    ("seed", "n", "effect"),
    [
        pytest.param(0, 11, 1.0, marks=pytest.mark.slow),
        (2, 16, 3.0),
        pytest.param(1, 40, 2.0, marks=pytest.mark.slow),
        pytest.param(2, 40, 0.0, marks=pytest.mark.slow),
        pytest.param(3, 80, 1.0, marks=pytest.mark.slow),
        pytest.param(4, 180, 0.3, marks=pytest.mark.slow),
    ],
)
def test_importances_are_as_recomputed(seed: int, n: int, effect: float, tmp_path: Path) -> None:
    assert unlike(wide(tmp_path / "wide", seed, n, effect), MORE) == []


@pytest.mark.parametrize(
    ("code", "file", "change"),
    [
        ("WHAT01", "trial_0000/result.json", {"score": 9.0}),
        pytest.param(
            "WHAT01", "trial_0008/trial.json", {"ended": "diverged"}, marks=pytest.mark.slow
        ),
        pytest.param("WHAT02", "trial_0000/result.json", {"score": 9.0}, marks=pytest.mark.slow),
        pytest.param(
            "PATH01",
            "ablation/trial_0011/trial_0010/result.json",
            {"score": 0.505},
            marks=pytest.mark.slow,
        ),
        ("PATH01", "ablation/trial_0011/trial_0004/trial.json", {"ended": "error"}),
        pytest.param("STOP01", "trial_0013/trial.json", {"audited": None}, marks=pytest.mark.slow),
        ("STOP01", "trial_0013/result.json", {"score": 0.9}),
    ],
)
def test_a_check_that_is_older_than_a_raw_value_is_found_out(
    code: str, file: str, change: dict[str, Any], tmp_path: Path
) -> None:
    of_all, path = code in WHAT, tmp_path / "run"
    wide(path, 0, 16, 1.0) if of_all else with_a_path(path, 0)
    check, recomputed = records.checks.CHECKS[code](Run(path)), MORE[code]
    assert differences(check.sentence, recomputed(RawRun(path))[1]) == []
    lines = (path / file).read_text("utf-8").splitlines()
    whole = file.endswith("trial.json")
    text = "".join(lines) if whole else lines[-1]
    before = [] if whole else lines[:-1]
    (path / file).write_text("\n".join([*before, json.dumps({**json.loads(text), **change})]))
    assert differences(check.sentence, recomputed(RawRun(path))[1]) != []
