import dataclasses

from records.checks.early_stopping import early_stopping_cost
from records.run import Run
from tests.records.checks.conftest import MadeRun

SETTINGS = {"lr": 0.01, "max_norm": 0.1}


def audited(run: MadeRun, figures: dict[int, float]) -> Run:
    """Two trials used their budget, eight were stopped, others (``figures``) were let run on."""
    run.trial(0, SETTINGS, 0.9, row={"test_accuracy": 1.0})
    run.trial(1, SETTINGS, 0.8, row={"test_accuracy": 0.9})
    for number in range(2, 10):
        run.trial(number, SETTINGS, {300: 0.3}, ended="stopped early")
    for number, figure in figures.items():
        run.trial(number, SETTINGS, figure, row={"test_accuracy": 0.995 if figure > 0.5 else 0.5})
    opened = run.opened
    opened.finished = [
        dataclasses.replace(one, audited=300.0) if one.number in figures else one
        for one in opened.finished
    ]
    return opened


def test_without_an_audit_it_says_how_to_have_one(lstm: MadeRun) -> None:
    check = early_stopping_cost(audited(lstm, {}))
    assert (check.code, check.status) == ("STOP01", "not applicable")
    assert check.sentence == "Stopped early: 8 trials. Let run on, to see how they end: 0."
    assert check.do == "python tune_lstm.py --resume --name made --num-samples 15 --audit 0.1"


def test_where_nothing_was_stopped_there_is_nothing_to_audit(lstm: MadeRun) -> None:
    lstm.trial(0, SETTINGS, 0.9)
    check = early_stopping_cost(lstm.opened)
    assert (check.status, check.do) == ("not applicable", None)


def test_a_stopped_winner_is_an_issue(lstm: MadeRun) -> None:
    command = "python tune_lstm.py --input-length 4 --num-samples 8 --audit 0.1"
    lstm.describe(sessions=[{"command": command, "started": 0.0}])
    check = early_stopping_cost(audited(lstm, {10: 0.95, 11: 0.4, 12: 0.2, 13: 0.3}))
    assert check.status == "issue"
    assert check.sentence == (
        "1 of 4 audited trials beat the best of the others (25%, 95% interval 1% to 81%), so 0 to 6"
        " of the 8 that were stopped early may have. 2 of 4 are among the best quarter, 1 reached"
        " the goal."
    )
    assert check.do == "python tune_lstm.py --input-length 4 --num-samples 8 --scheduler none"


def test_an_audit_that_found_nothing_says_what_it_leaves_open(lstm: MadeRun) -> None:
    check = early_stopping_cost(audited(lstm, {10: 0.4, 11: 0.2}))
    assert check.status == "inconclusive"
    assert check.sentence.endswith("13 audited trials would show that fewer than 25% do.")
    more = "--resume --name made --num-samples 18 --audit 0.5"
    assert check.do == f"python tune_lstm.py {more}"
    words = "0 of 2 audited trials beat the best of the others (0%, 95% interval 0% to 84%)"
    assert words in check.sentence
    assert "so 0 to 7 of the 8 that were stopped early may have" in check.sentence


def test_an_audit_of_enough_trials_passes(lstm: MadeRun) -> None:
    check = early_stopping_cost(audited(lstm, dict.fromkeys(range(10, 23), 0.3)))
    assert (check.status, check.do) == ("passed", None)  # 0.025 ** (1 / 13) = 0.753
