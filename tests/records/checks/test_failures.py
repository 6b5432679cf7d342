from records.checks.failures import failed_trials
from tests.records.checks.conftest import MadeRun


def test_no_failure_passes_with_what_may_still_fail(lstm: MadeRun) -> None:
    assert failed_trials(lstm.opened).status == "not applicable"
    for number, ended in enumerate(["budget", "converged", "stopped early", None, "time budget"]):
        lstm.trial(number, {"lr": 0.01}, 0.5, ended=ended)
    check = failed_trials(lstm.opened)
    assert (check.code, check.status, check.do) == ("FAIL01", "passed", None)
    assert check.sentence == "0 of 3 trials failed (0%, 95% interval 0% to 71%)."  # 1 - 0.025^(1/3)


def test_equal_causes_are_counted_together(lstm: MadeRun) -> None:
    for number in range(6):
        lstm.trial(number, {"lr": 0.01}, None, ended="error", error="ZeroDivisionError: by zero")
    lstm.trial(6, {"lr": 0.01}, None, ended="error", error="OSError: disk full")
    lstm.trial(7, {"lr": 0.01}, 0.5)
    check = failed_trials(lstm.opened)
    assert check.status == "issue"
    assert check.sentence == (
        "7 of 8 trials failed (88%, 95% interval 47% to >99%): error: ZeroDivisionError: by zero"
        " (×6); error: OSError: disk full (×1)."
    )
    assert check.do is not None
    assert check.do.startswith("cat ")
    assert check.do.endswith("made/trial_0000/error.txt")


def test_trials_that_came_to_nothing_by_themselves_are_a_tip(gan: MadeRun) -> None:
    for number, ended in enumerate(
        ["discriminator won", "diverged", "discriminator won", "budget"]
    ):
        gan.trial(number, {}, None if ended == "diverged" else 9.0, ended=ended)
    check = failed_trials(gan.opened)
    assert (check.status, check.do) == ("tip", None)
    assert check.sentence.endswith(": discriminator won (×2); diverged (×1).")
