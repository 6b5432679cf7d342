"""The comparison of runs by their fresh seeds, as a reader sees it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from tests.reports.conftest import build, four, invented, scores, words_of
from tests.support.skewed import mean_interval, welch_interval

GOOD, POOR = (0.95, 0.93, 0.94, 0.96, 0.89), (0.71, 0.75, 0.73, 0.74, 0.7)


def made(path: Path, *values: float | None, size: int = 5, **about: Any) -> Path:
    """A run of an invented experiment with the option ``size`` and these scores on fresh seeds."""
    own = {"fixed": {"max_steps": 300, "size": size}, "options": {"size": size}, **about}
    return invented(path, four(), fresh_seeds=[scores(value) for value in values], **own)


def rows(page: str, table: str) -> list[list[str]]:
    """The cells of a table, as text."""
    body = page.split(f'aria-label="{table}"')[1].split("<tbody>")[1].split("</tbody>")[0]
    return [
        [
            " ".join(re.sub("<[^>]+>", "", cell).split())
            for cell in re.findall("<td.*?</td>", row, re.S)
        ]
        for row in body.split("<tr>")[1:]
    ]


def comparison(runs: Sequence[Path], to: Path) -> str:
    build(*runs, to=to)
    return (to / "comparison.html").read_text(encoding="utf-8")


def test_each_run_has_its_intervals_and_two_of_the_same_task_are_compared(
    tmp_path: Path, unsaved: set[str]
) -> None:
    page = comparison([made(tmp_path / "a", *GOOD), made(tmp_path / "b", *POOR)], tmp_path / "site")
    first, second = rows(page, "The best settings on fresh seeds")
    share, (low, high) = binomtest(4, 5).proportion_ci(), mean_interval(GOOD)
    assert first == [
        "a", "—", "score 0.9", "4 of 5", f"{share.low:.0%} to {share.high:.0%}", "0.934",
        f"{low:.3g} to {high:.3g}", "5", "—",
    ]  # fmt: skip
    assert second[:5] == ["b", "—", "score 0.9", "0 of 5", "0% to 52%"]
    low, high = welch_interval(GOOD, POOR)
    (pair,) = rows(page, "Runs of the same task, in pairs")
    assert pair == [
        "a", "b", "yes", "score", "+0.208", f"+{low:.3g} to +{high:.3g}", "0.934",
        "0.726", "5 and 5",
    ]  # fmt: skip
    assert "is compared with no other run" not in page


def test_runs_of_other_tasks_and_without_fresh_seeds_say_why_they_are_not_compared(
    tmp_path: Path, unsaved: set[str]
) -> None:
    runs = [
        made(tmp_path / "five", *GOOD),
        made(tmp_path / "six", *POOR, size=6),
        made(tmp_path / "none"),
    ]
    page = comparison(runs, tmp_path / "site")
    assert 'aria-label="Runs of the same task, in pairs"' not in page
    words = words_of(page)
    for name, size in (("five", 5), ("six", 6)):
        reason = f"no other run with 4 or more fresh seeds has size {size}."
        assert f"{name} is compared with no other run: {reason}" in words
    assert "none is compared with no other run: its best settings have 0 fresh seeds" in words
    last = rows(page, "The best settings on fresh seeds")[2]
    assert last == ["none", "—", "score 0.9", "0 of 0", "—", "—", "—", "0", "—"]


def test_pairs_of_two_tasks_name_their_task(tmp_path: Path, unsaved: set[str]) -> None:
    runs = [made(tmp_path / f"{size}{name}", *GOOD, size=size) for size in (5, 6) for name in "ab"]
    page = comparison(runs, tmp_path / "site")
    pairs = rows(page, "Runs of the same task, in pairs")
    assert [row[:4] for row in pairs] == [
        ["5a", "5b", "size 5", "not shown"],
        ["6a", "6b", "size 6", "not shown"],
    ]


@pytest.mark.parametrize("last", [None, 0.72])
def test_a_failed_seed_and_equal_seeds_leave_ranks(
    last: float | None, tmp_path: Path, unsaved: set[str]
) -> None:
    equal = made(tmp_path / "equal", *[0.95] * 5)
    other = made(tmp_path / "other", *[0.72] * 4, last)
    page = comparison([other, equal], tmp_path / "site")
    assert rows(page, "The best settings on fresh seeds")[1][5:8] == ["0.95", "all equal", "5"]
    (pair,) = rows(page, "Runs of the same task, in pairs")
    assert pair[2] == "no, by ranks"
    assert pair[5] == "—"
    assert pair[6:8] == ["—" if last is None else "0.72", "0.95"]


def test_another_judge_is_another_task(tmp_path: Path, unsaved: set[str]) -> None:
    runs = [made(tmp_path / name, *GOOD, judges={"final": name}) for name in "ab"]
    words = words_of(comparison(runs, tmp_path / "site"))
    assert "no other run with 4 or more fresh seeds has these prepared judges." in words
