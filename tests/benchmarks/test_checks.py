"""The checks on made searches: seldom a false alarm, and an alarm where a fault is planted.

The default run makes the searches that cost little. ``benchmarks.checks`` makes all of them.
"""

import pytest
from scipy.stats import binom

from benchmarks.checks import PLANTED, SOUND, Case
from records.checks import CHECKS

REPEATS = 60
NO_TEST = {"FAIL01", "SPACE03"}
"""They count, and never conclude anything from chance: SPACE03 has no alarm."""
DEAR = {"WHAT01", "WHAT02", "EDGE02", "MORE01"}
"""Checks whose made searches draw 50 trials from a sampler."""


def cases(every: tuple[Case, ...]) -> list[object]:
    return [
        pytest.param(
            case,
            id=f"{case.code}, {case.made}",
            marks=[pytest.mark.slow] if case.code in DEAR else [],
        )
        for case in every
    ]


def test_every_check_is_measured() -> None:
    sound, planted = ({one.code for one in every} for every in (SOUND, PLANTED))
    assert sound == planted == CHECKS.keys() - NO_TEST


@pytest.mark.parametrize("case", cases(SOUND))
def test_an_alarm_without_a_fault_is_rare(case: Case) -> None:
    most = binom.ppf(0.999, REPEATS, 0.05)  # a check with a level of 5% stays below it
    assert case.raised(REPEATS) <= most


@pytest.mark.parametrize("case", cases(PLANTED))
def test_a_planted_fault_raises_more_alarms_than_chance(case: Case) -> None:
    assert case.raised(REPEATS) > binom.ppf(0.999, REPEATS, 0.05)
