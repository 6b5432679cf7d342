from records.outcome import (
    BUDGET,
    COMPLETE,
    CONVERGED,
    CUT_OFF,
    RUNNING,
    Outcome,
    outcome_of,
    register,
)


def test_an_outcome_that_nobody_has_registered_counts_as_failed() -> None:
    assert outcome_of("exploded") == Outcome("exploded", "failed", "exploded")
    assert outcome_of(None) == outcome_of("running") == RUNNING


def test_a_trainables_own_are_known_once_registered_and_change_none_of_the_others() -> None:
    own = Outcome("fell asleep", "stopped", "ended: it fell asleep", "<")
    register(own, CONVERGED, Outcome("budget", "failed", "another meaning"))
    assert outcome_of("fell asleep") == own
    assert (outcome_of("converged"), outcome_of("budget")) == (CONVERGED, BUDGET)
    assert set(COMPLETE) == {"converged", "budget"}
    assert not set(COMPLETE) & set(CUT_OFF)
