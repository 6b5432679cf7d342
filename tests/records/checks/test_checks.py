import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from records.checks import CHECKS, run_checks
from records.checks.check import amount
from records.run import Run
from records.run_directory import RunDirectory
from tests.conftest import ROOT
from tests.records.checks.conftest import MadeRun

SETTINGS = {"lr": 0.01, "max_norm": 0.1}


def test_each_answers_under_its_own_code_with_a_number_in_a_sentence(lstm: MadeRun) -> None:
    for number in range(12):
        lstm.trial(
            number, {"lr": 0.001 * (1 + number), "max_norm": 0.1 * (1 + number)}, number / 20
        )
    lstm.confirmed(11, SETTINGS, [{"mean_accuracy": 0.5, "test_accuracy": 1.0}] * 2)
    answers = run_checks(Run(lstm.run.path))
    assert [one.code for one in answers] == list(CHECKS)
    for one in answers:
        assert re.search(r"\d", one.sentence), one
        assert one.sentence.endswith(".")
        assert one.detected.endswith(".")
        assert one.matters.endswith(".")
        assert "nan" not in one.sentence


def test_neither_ray_nor_torch_is_imported() -> None:
    program = (
        "import sys, records.checks;"
        "print([name for name in ('ray', 'torch', 'sklearn', 'scipy') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def not_applicable(run: RunDirectory) -> bool:
    answers = run_checks(Run(run.path))
    assert not any("broke" in one.sentence for one in answers), answers
    return all(one.status == "not applicable" for one in answers)


def test_a_run_that_has_not_begun_answers_nothing(lstm: MadeRun, tmp_path: Path) -> None:
    assert not_applicable(RunDirectory(tmp_path / "nowhere"))
    assert not_applicable(lstm.run)
    lstm.trial(0, SETTINGS, None, ended=None)
    lstm.trial(1, SETTINGS, {100: 0.2}, ended=None)
    assert not_applicable(lstm.run)


@pytest.mark.parametrize("session", [{}, {"command": "python tune_lstm.py"}])
def test_a_run_that_was_killed_before_it_was_described_answers_nothing(
    session: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "search.json").write_text(
        json.dumps({"experiment": "lstm", "sessions": [session] if session else []})
    )
    assert not_applicable(RunDirectory(tmp_path))


def test_damaged_files_are_passed_over(lstm: MadeRun) -> None:
    for number in range(12):
        lstm.trial(number, {"lr": 0.001 * (1 + number), "max_norm": 0.1}, number / 20)
    (lstm.run.trial(3).path / "trial.json").write_text('{"number": 3, "conf')
    (lstm.run.trial(4).path / "result.json").write_text('{"step": 100, "mean_acc')
    (lstm.run.trial(5).path / "result.json").unlink()
    (lstm.run.path / "best").mkdir()
    (lstm.run.path / "best" / "metrics.json").write_text("{")
    answers = run_checks(Run(lstm.run.path))
    assert not any("broke" in one.sentence for one in answers), answers
    assert "12" not in next(one.sentence for one in answers if one.code == "FAIL01")


def test_a_check_that_breaks_says_so_and_the_others_answer(lstm: MadeRun) -> None:
    lstm.trial(0, {"lr": "fast", "max_norm": [1]}, 0.5)
    lstm.trial(1, SETTINGS, 0.4)
    broken = {one.code: one for one in run_checks(Run(lstm.run.path))}
    assert broken["FAIL01"].status == "passed"


def test_a_new_search_keeps_the_runs_options_and_earlier_changes(lstm: MadeRun) -> None:
    record = json.loads((lstm.run.path / "search.json").read_text())
    record["sessions"][0]["command"] = (
        "python tune_lstm.py --set lr=1..2 max_norm=3 --name=x --input-length 9 --quiet"
    )
    (lstm.run.path / "search.json").write_text(json.dumps(record))
    assert lstm.opened.commands.again("max_norm=4,5") == (
        "python tune_lstm.py --input-length 9 --quiet --set lr=1..2 max_norm=4,5"
    )
    assert lstm.opened.commands.again(flags=("--scheduler", "none")) == (
        "python tune_lstm.py --input-length 9 --quiet --set lr=1..2 max_norm=3 --scheduler none"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00123, "0.00123"),
        (0.9996, "0.9996"),
        (0.999996, "0.999996"),
        (1.0004, "1.0004"),
        (1.0, "1"),
        (999.6, "1,000"),
        (1234.5, "1,234"),
        (-0.0, "0"),
        (-0.9999, "-0.9999"),
        (12300, "12,300"),
        (True, "True"),
        (np.bool_(False), "False"),
        (np.int64(12300), "12,300"),
        (np.float32(0.5), "0.5"),
        (None, "None"),
        ("hinge", "hinge"),
    ],
)
def test_a_number_is_never_rounded_to_what_it_is_not(value: object, text: str) -> None:
    assert amount(value) == text
