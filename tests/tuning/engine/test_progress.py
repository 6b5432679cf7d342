import pickle
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tuning.engine.progress import Progress
from tuning.task import Task
from tuning.words import duration


def trial(number: int, ended: str | None, value: float, step: int = 900) -> Any:
    result = {"step": step, "ended": ended, "accuracy": 1.0, "mean_accuracy": value}
    config = {"trial": number, "lr": 0.0123456, "max_norm": 0.1, "max_steps": 4000}
    return SimpleNamespace(trial_id=str(number), config=config, last_result=result)


def tell(progress: Progress, one: Any) -> None:
    progress.on_trial_result(0, [], one, one.last_result)
    progress.on_trial_complete(0, [], one)


def test_the_status_line_counts_what_happened(
    task: Task, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress(task, "trials", 50, Counter({"converged": 2}))
    progress.on_trial_result(0, [], trial(9, None, 0.2), trial(9, None, 0.2).last_result)
    tell(progress, trial(3, "converged", 0.91))
    tell(progress, trial(4, None, 0.95, step=500))
    assert progress.status().plain == (
        "4 of 50 trials · 1 running · 1 stopped early · measuring"
        " · best trial 3: mean_accuracy 0.9100 at step 900"
    )
    tell(progress, trial(5, "diverged", 0.1))
    assert " · 1 failed · " in progress.status().plain
    assert " left · best" in progress.status().plain
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "best so far" in lines[0]
    assert lines[1].startswith(
        "trial   4  stopped early step    500  accuracy 1.0000  mean_accuracy 0.9500  lr=0.0123"
    )


def test_trials_that_wait_for_others_are_not_called_running(task: Task) -> None:
    progress = Progress(task, "trials", 50, Counter())
    for number in range(3):
        one = trial(number, None, 0.2)
        progress.on_trial_result(0, [], one, one.last_result)
    states: list[Any] = [SimpleNamespace(status=one) for one in ("PAUSED", "PAUSED", "RUNNING")]
    progress.on_step_end(0, states)
    assert progress.status().plain.startswith("0 of 50 trials · 1 running · 2 waiting · ")


def test_a_metric_that_a_trial_does_not_have_is_left_out_of_its_line(
    task: Task, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress(task, "trials", 5, Counter())
    one = trial(3, "converged", 0.91)
    one.last_result["accuracy"] = None
    tell(progress, one)
    assert " accuracy" not in capsys.readouterr().err


def test_quiet_says_nothing(task: Task, capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(task, "trials", 5, Counter(), quiet=True)
    progress.setup()
    tell(progress, trial(3, "converged", 0.91))
    assert capsys.readouterr().err == ""


def test_can_be_pickled_as_ray_does_with_its_callbacks(task: Task) -> None:
    progress = Progress(task, "trials", 5, Counter())
    copy = cast(Progress, pickle.loads(pickle.dumps(progress)))
    assert copy.status().plain == progress.status().plain


@pytest.mark.parametrize(("seconds", "words"), [(40, "40 s"), (200, "3 min"), (7200, "2.0 h")])
def test_durations_read_as_a_person_says_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words
