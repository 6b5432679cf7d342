import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import search
from benchmarks.curves import Curves, Ledger
from benchmarks.strategies import STRATEGIES
from tests.conftest import ROOT, environment


def spent(
    name: str, curves: Curves, seed: int, budget: float
) -> tuple[float, int, dict[str, float]]:
    ledger = Ledger(curves, budget * curves.max_work)
    STRATEGIES[name].search(ledger, seed)
    return ledger.spent, ledger.trials, ledger.found


@pytest.mark.parametrize("name", ["random", "optuna-asha", "optuna-hyperband", "optuna-median"])
def test_a_search_follows_from_its_seed_and_keeps_to_the_budget(name: str, curves: Curves) -> None:
    first = spent(name, curves, seed=1, budget=3)
    assert spent(name, curves, seed=1, budget=3) == first
    assert spent(name, curves, seed=2, budget=3) != first
    assert first[0] <= 3 * curves.max_work + max(one.rows[0]["work"] for one in curves.settings)


def test_a_pruner_stops_trials_that_random_search_lets_run(curves: Curves) -> None:
    stopped, whole = (spent(name, curves, seed=0, budget=3) for name in ("optuna-asha", "random"))
    assert stopped[1] > whole[1]


def test_work_that_did_not_suffice_ranks_last() -> None:
    work = pd.Series([4000.0, np.nan, 1000.0, np.nan, 2000.0])
    assert search.spread(work) == "4 (2, not found)"
    assert search.ratio(pd.Series([12000.0]), work) == "3.0"
    assert search.ratio(work, pd.Series([np.nan])) == ""


@pytest.mark.ray
@pytest.mark.slow
def test_ours_and_stock_are_compared_through_ray_tune(path: Path, tmp_path: Path) -> None:
    options = search.Options(
        curves=path,
        seeds=1,
        budget=2,
        strategies=("ours", "stock", "random"),
        results=tmp_path / "search.csv",
    )
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.search", *search.arguments(options)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert result.returncode == 0, result.stderr
    assert "64 recorded settings" in result.stdout
    assert "stock Ray Tune" in result.stdout
    rows = pd.read_csv(tmp_path / "search.csv").set_index("strategy")
    assert list(rows.index) == ["ours", "random", "stock"]
    # a search is over once it has found all it looks for
    assert ((rows["trials"] > 1) | rows["near best"].notna()).all()


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work is done in this process, task by task."""
    monkeypatch.setattr(
        search, "in_processes", lambda work, tasks, processes, title: map(work, tasks)
    )


def test_what_is_not_installed_is_left_out_and_named(
    path: Path,
    tmp_path: Path,
    one_process: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    missing = replace(STRATEGIES["smac"], needs="smac_that_is_nowhere")
    monkeypatch.setitem(STRATEGIES, "smac", missing)
    monkeypatch.setattr(search, "PEERS", tmp_path / "python")
    small = ["--seeds", "2", "--budget", "2", "--strategies", "smac", "random"]
    files = ["--curves", str(path), "--results", str(tmp_path / "search.csv")]
    monkeypatch.setattr(sys, "argv", ["search", *small, *files])
    search.main()
    printed = capsys.readouterr().out
    assert "64 recorded settings" in printed
    assert "left out: smac_that_is_nowhere: not installed" in printed
    assert list(pd.read_csv(tmp_path / "search.csv")["strategy"]) == ["random", "random"]


@pytest.mark.parametrize("name", ["syne-asha", "syne-bohb", "smac"])
def test_another_library_searches_if_it_is_installed(name: str, curves: Curves) -> None:
    pytest.importorskip(STRATEGIES[name].needs)
    assert spent(name, curves, seed=1, budget=2)[1] > 1


def test_recording_goes_on_where_it_was_cut_off(
    table: pd.DataFrame, tmp_path: Path, one_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []

    def train(task: tuple[int, dict[str, object]]) -> list[dict[str, object]]:
        trained.append(task[0])
        return table[table["setting"] == task[0]].to_dict("records")  # type: ignore[return-value]

    monkeypatch.setattr(search, "train", train)
    curves = tmp_path / "curves.csv.gz"
    search.record(search.Options(record=4, curves=curves))
    assert trained == [0, 1, 2, 3]
    cut_off = table[table["setting"] == 4].assign(ended=None).to_csv(index=False)
    (tmp_path / "curves.partial.csv").write_text(cut_off + "4,rmspr")
    search.record(search.Options(record=6, curves=curves))
    assert trained == [0, 1, 2, 3, 4, 5]
    assert [one.number for one in Curves.read(curves, search.SPACE).settings] == [0, 1, 2, 3, 4, 5]
    assert not (tmp_path / "curves.partial.csv").exists()
