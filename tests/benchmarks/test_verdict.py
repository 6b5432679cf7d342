from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks import verdict
from benchmarks.verdict import FIRST_SEED, Options
from tests.conftest import SmallSearch
from tests.support.skewed import paired_interval

SETTINGS = [("", 0.01, 1.0), ("hand-tuned", 0.001, 10.0)]


def table(here: Any, since: Any) -> pd.DataFrame:
    """The trainings of one demo: the best settings' objective, where the baseline's is 0.5."""
    rows = [
        (
            demo,
            baseline or None,
            20,
            4000,
            lr,
            max_norm,
            first + place,
            0.5 if baseline else 0.5 + value,
            900,
        )
        for demo, first, values in (("demo-0", 900_000, here), (None, FIRST_SEED, since))
        for place, value in enumerate(values)
        for baseline, lr, max_norm in SETTINGS
    ]
    return pd.DataFrame(rows, columns=verdict.COLUMNS)


@pytest.mark.parametrize("truth", [0.1, 0.35])
def test_a_demos_interval_is_compared_with_the_seeds_since(truth: float) -> None:
    here = [0.1, 0.15, 0.05, 0.2, 0.08]
    since = np.random.default_rng(1).normal(truth, 0.05, 1000)
    (demo,) = verdict.demos(table(here, since))
    low, high = paired_interval(here)
    assert (demo.lr, demo.max_norm) == (0.01, 1.0)
    assert demo.holds == (low <= since.mean() <= high) == (truth < 0.3)
    for ends in verdict.misses(since, 5, 4000, verdict.student):  # exact for normal values
        assert ends == pytest.approx(0.025, abs=0.01)
    below, above = verdict.misses(since, 5, 4000)
    assert below < above == pytest.approx(0.025, abs=0.01)


def test_disasters_that_five_seeds_rarely_show_are_missed() -> None:
    """The table would show an interval that does not keep its promise."""
    since = np.array([0.0] * 95 + [-1.0] * 5) + np.linspace(0, 1e-3, 100)
    below, above = verdict.misses(since, 5, 4000)
    assert below < 0.01
    assert above > 0.5


def test_seeds_that_one_of_the_settings_lacks_do_not_count() -> None:
    trainings = table([0.1, 0.2, 0.3], [0.1] * 9)[:-1]
    (demo,) = verdict.demos(trainings)
    assert demo.since.tolist() == pytest.approx([0.1] * 8)


@pytest.mark.slow
def test_recording_goes_on_where_it_was_cut_off(small_search: SmallSearch, tmp_path: Path) -> None:
    file = tmp_path / "verdict.csv"
    options = Options(trainings=file, seeds=2, processes=1)
    for _ in range(2):
        verdict.add_demo(small_search.path, file)
    verdict.record(options)
    whole = file.read_text()
    lines = whole.splitlines()
    assert len(lines) == 1 + 2 * 2 + 2 * 2  # the demo's two seeds, then two more, of two settings
    file.write_text("\n".join(lines[:-1]) + "\n")
    verdict.record(options)
    assert file.read_text() == whole
    (demo,) = verdict.demos(verdict.read(file))
    assert len(demo.differences) == len(demo.since) == 2
    row = {str(name): value for name, value in verdict.read(file).iloc[0].items()}
    again = verdict.train(row)
    assert again["mean_accuracy"] == row["mean_accuracy"]  # the search's own training, again
