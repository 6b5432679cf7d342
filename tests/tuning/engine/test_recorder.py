from pathlib import Path
from types import SimpleNamespace
from typing import Any

from records.objective import Goal, Objective
from records.run_directory import RunDirectory
from records.trial_directory import TrialRecord
from tests.support.checkpoints import write_checkpoint
from tuning.engine.recorder import KEEP_WEIGHTS, Recorder


def finish(
    recorder: Recorder, run: RunDirectory, number: int, ended: str | None, value: float
) -> None:
    """A trial with a checkpoint reports once and ends."""
    config = {"trial": number, "seed": number}
    run.trial(number).write(TrialRecord(number, config))
    write_checkpoint(run.trial(number).path / "checkpoint_000000", config, 100)
    result: dict[str, Any] = {
        "step": 100,
        "ended": ended,
        "mean_accuracy": value,
        "node_ip": "127.0.0.1",
        "pid": 1,
        "config": {},
    }
    trial: Any = SimpleNamespace(config=config, last_result=result)
    recorder.on_trial_result(0, [], trial, result)
    recorder.on_trial_complete(0, [], trial)


def kept(run: RunDirectory) -> set[int]:
    return {record.number for directory, record in run.trials() if directory.checkpoints()}


def test_weights_of_the_best_stay_and_a_trial_cut_short_never_displaces_a_whole_one(
    tmp_path: Path,
) -> None:
    run = RunDirectory(tmp_path)
    recorder = Recorder(run, Objective("mean_accuracy", "max"))
    finish(recorder, run, 0, "converged", 0.6)
    for number in range(1, 6):
        finish(recorder, run, number, None, 0.8 + number / 100)
    assert kept(run) == {0, 4, 5}
    finish(recorder, run, 6, "converged", 0.7)
    finish(recorder, run, 7, "budget", 0.1)
    assert kept(run) == {0, 6, 7}
    assert len(kept(run)) == KEEP_WEIGHTS


def test_with_a_target_the_trials_that_reach_it_keep_their_weights_before_better_ones(
    tmp_path: Path,
) -> None:
    """Fewer steps to the goal may be a better objective than the target's own metric."""
    run, target = RunDirectory(tmp_path), Goal("mean_accuracy", "least", 0.9)
    recorder = Recorder(run, Objective("mean_accuracy", "min"), target=target)
    for number, value in enumerate((0.1, 0.95, 0.2, 0.3, 0.97)):
        finish(recorder, run, number, "converged", value)
    assert kept(run) == {0, 1, 4}


def test_a_resumed_search_remembers_whose_weights_are_on_disk(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    first = Recorder(run, Objective("mean_accuracy", "max"))
    for number, value in enumerate((0.9, 0.8, 0.7)):
        finish(first, run, number, "converged", value)
    finish(Recorder(run, Objective("mean_accuracy", "max")), run, 3, "converged", 0.95)
    assert kept(run) == {0, 1, 3}


def test_rows_are_on_disk_at_once_without_rays_constants(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    finish(Recorder(run, Objective("mean_accuracy", "max")), run, 0, "converged", 0.9)
    assert run.trial(0).rows() == [{"step": 100, "ended": "converged", "mean_accuracy": 0.9}]
    record = run.trial(0).read()
    assert record is not None
    assert (record.ended, record.node, record.pid) == ("converged", "127.0.0.1", 1)


def test_a_metric_that_should_be_small_ranks_the_other_way(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    recorder = Recorder(run, Objective("mean_accuracy", "min"))
    for number, value in enumerate((5.0, 1.0, 4.0, 3.0, 2.0)):
        finish(recorder, run, number, "budget", value)
    assert kept(run) == {1, 3, 4}


def test_files_are_stored_beside_the_rows_and_are_no_part_of_them(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    recorder = Recorder(run, Objective("fd", "min"))
    trial: Any = SimpleNamespace(config={"trial": 4}, last_result={})
    result: dict[str, Any] = {
        "step": 500,
        "fd": 1.0,
        "files": {"gan_images/step_000500.png": b"grid"},
    }
    recorder.on_trial_result(0, [], trial, result)
    assert "files" not in result  # which Ray keeps in memory for as long as the search runs
    assert run.trial(4).rows() == [{"step": 500, "fd": 1.0}]
    assert (run.trial(4).path / "gan_images" / "step_000500.png").read_bytes() == b"grid"


def test_only_a_trial_whose_weights_are_to_stay_is_saved_when_it_ends(tmp_path: Path) -> None:
    recorder = Recorder(RunDirectory(tmp_path), Objective("mean_accuracy", "max"))
    saved = []
    for number, value in enumerate((0.5, 0.6, 0.7, 0.4, 0.8)):
        result: dict[str, Any] = {
            "step": 100,
            "ended": "budget",
            "mean_accuracy": value,
            "done": True,
        }
        trial: Any = SimpleNamespace(config={"trial": number}, last_result=result)
        recorder.on_trial_result(0, [], trial, result)
        recorder.on_trial_complete(0, [], trial)
        saved.append(result.get("should_checkpoint", False))
    assert saved == [True, True, True, False, True]


def test_a_running_trial_keeps_its_last_two_checkpoints(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    recorder = Recorder(run, Objective("mean_accuracy", "max"))
    config = {"trial": 0, "seed": 0}
    run.trial(0).write(TrialRecord(0, config))
    trial: Any = SimpleNamespace(config=config, last_result={})
    for number in range(4):
        write_checkpoint(run.trial(0).path / f"checkpoint_{number:06d}", config, 100 * number)
        recorder.on_trial_save(0, [], trial)
    assert [folder.name for folder in run.trial(0).checkpoints()] == [
        "checkpoint_000003",
        "checkpoint_000002",
    ]
