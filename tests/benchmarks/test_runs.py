"""Each benchmark runs at a small size. Those of search strategies: test_search.py."""

import importlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import checks
from tests.conftest import ROOT, SmallSearch, environment

RunHere = Callable[..., str]


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> RunHere:
    """Run a benchmark in this process, which has imported torch already; returns what it prints."""

    def run(name: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        importlib.import_module(f"benchmarks.{name}").main()
        return capfd.readouterr().out  # of processes that it starts, too

    return run


def run_alone(name: str, *arguments: object) -> str:
    """Run a benchmark as its users run it; returns what it printed."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)]
    result = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize(
    ("name", "timed"),
    [
        (
            "lstm_step",
            ("torch.nn.LSTM", "native kernel", "5 seeds in turns", "5 seeds in one batch"),
        ),
        ("gan_step", ("ours", "DataLoader loop")),
    ],
)
def test_training_steps_are_timed(name: str, timed: tuple[str, ...], run_here: RunHere) -> None:
    printed = run_here(name, "--rounds", 1)
    assert all(row in printed for row in timed)


def test_the_early_stopping_rules_are_replayed(run_here: RunHere) -> None:
    printed = run_here("early_stopping", "--replays", 1)
    assert "64 settings, 25 converge within 3,000 steps, the first after 800" in printed
    assert printed.count("mean_accuracy") == 15


@pytest.mark.slow
def test_the_checks_are_tried_on_made_searches(run_here: RunHere) -> None:
    printed = run_here("checks", "--repeats", 1)
    for case in (*checks.SOUND, *checks.PLANTED):
        assert re.search(rf"│ {case.code} +│ {re.escape(case.made)} +│ (0|100)\.0% +│", printed)


@pytest.mark.slow
def test_curves_for_the_early_stopping_rules_are_recorded(tmp_path: Path) -> None:
    curves = tmp_path / "curves.csv"
    small = ("--settings", 4, "--max-steps", 200, "--replays", 1)
    printed = run_alone("early_stopping", "--record", "--curves", curves, *small)
    assert "4 settings, 0 converge within 200 steps" in printed
    assert len(curves.read_text().splitlines()) == 1 + 4 * 2


@pytest.mark.slow
def test_the_curves_of_a_search_are_recorded(tmp_path: Path) -> None:
    curves = tmp_path / "curves.csv.gz"
    run_alone("search", "--record", 1, "--curves", curves)
    assert curves.stat().st_size > 0


@pytest.mark.slow
def test_the_cost_of_a_trial_is_measured() -> None:
    printed = run_alone("trial_overhead", "--trials", 12)
    assert "bare Ray Tune" in printed
    assert "tune_lstm.py, tpe" in printed


@pytest.mark.slow
def test_the_report_of_a_large_run_is_measured(
    small_search: SmallSearch, run_here: RunHere
) -> None:
    printed = run_here("report", small_search.path, "--trials", 8, "--rows", 20)
    assert "8 trials with 20 reports each" in printed
