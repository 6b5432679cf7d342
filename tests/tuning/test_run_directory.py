import json
from pathlib import Path

import pytest

from command_line import BadOptions
from tune_lstm import LSTMOptions
from tuning.run_directory import RunDirectory, TrialDirectory, TrialRecord, write_json


def test_rows_cut_off_at_any_byte_lose_the_last_row_at_most(tmp_path: Path) -> None:
    trial = TrialDirectory(tmp_path)
    rows = [{"step": step, "accuracy": step / 1000} for step in (100, 200, 300)]
    for row in rows:
        trial.append(row)
    file = tmp_path / "result.json"
    whole = file.read_bytes()
    assert trial.rows() == rows
    ends = [number + 1 for number, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole)):
        file.write_bytes(whole[:cut])
        complete = sum(end - 1 <= cut for end in ends)
        assert trial.rows() == rows[:complete]


def test_a_step_reported_again_after_a_resume_counts_once(tmp_path: Path) -> None:
    trial = TrialDirectory(tmp_path)
    for row in ({"step": 100, "a": 1}, {"step": 200, "a": 1}, {"step": 200, "a": 2}, {"step": 300, "a": 2}):
        trial.append(row)
    assert [(row["step"], row["a"]) for row in trial.rows()] == [(100, 1), (200, 2), (300, 2)]


def test_a_row_after_a_torn_line_is_not_lost(tmp_path: Path) -> None:
    trial = TrialDirectory(tmp_path)
    trial.append({"step": 100})
    with (tmp_path / "result.json").open("a") as file:
        file.write('{"step": 2')
    trial.append({"step": 200})
    assert [row["step"] for row in trial.rows()] == [100, 200]


def test_a_record_survives_the_way_to_disk(tmp_path: Path) -> None:
    record = TrialRecord(7, {"lr": 0.1, "known": "by hand"}, ended="converged", finished=2.0)
    trial = TrialDirectory(tmp_path / "trial_0007")
    assert trial.read() is None
    trial.write(record)
    assert trial.read() == record
    (tmp_path / "trial_0007" / "trial.json").write_text('{"number": 7')
    assert trial.read() is None


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "search.json"
    write_json(file, {"a": 1})
    with pytest.raises(TypeError):
        write_json(file, {"a": object()})
    assert json.loads(file.read_text()) == {"a": 1}


def test_a_directory_that_exists_is_refused(tmp_path: Path) -> None:
    options = LSTMOptions(name="mine", storage_path=str(tmp_path))
    RunDirectory.create(options)
    with pytest.raises(BadOptions, match="exists already"):
        RunDirectory.create(options)


def test_a_storage_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadOptions, match=r"cannot be made|exists already"):
        RunDirectory.create(LSTMOptions(name="mine", storage_path=str(tmp_path / "file")))


def test_two_searches_never_share_a_run(tmp_path: Path) -> None:
    run = RunDirectory.create(LSTMOptions(name="mine", storage_path=str(tmp_path)))
    lock = run.lock()
    with pytest.raises(BadOptions, match="is being searched by another process"):
        run.lock()
    lock.release()
    run.lock().release()


class TestTakingOver:
    """Trial 2 took over trial 0 at step 10, then trial 1 at step 20, which had itself taken over trial 0 there at 10."""

    @pytest.fixture
    def run(self, tmp_path: Path) -> RunDirectory:
        run = RunDirectory(tmp_path)
        for number in range(3):
            config = {"trial": number, "seed": 100 + number, "lr": float(number), "size": number}
            run.trial(number).write(TrialRecord(number, config | ({"known": "by hand"} if number == 0 else {})))
            checkpoint(run.trial(number), "checkpoint_000000", f"old {number}")
        for step, donor, number, lr in ((10, 0, 1, 0.1), (10, 0, 2, 0.2), (20, 1, 2, 0.3)):
            run.trial(number).take_over(run.trial(donor).checkpoints()[0], step, donor, {"lr": lr, "size": 0})
        return run

    def test_it_goes_on_from_what_it_took_over_and_not_from_its_own_past(self, run: RunDirectory) -> None:
        trial = run.trial(2)
        assert [folder.name for folder in trial.checkpoints()] == ["checkpoint_taken_000020"]
        assert (trial.checkpoints()[0] / "state.pt").read_text() == "old 0"
        checkpoint(trial, "checkpoint_000001", "since")
        assert [folder.name for folder in trial.checkpoints()] == ["checkpoint_000001", "checkpoint_taken_000020"]
        assert sorted(folder.name for folder in trial.path.glob("checkpoint_*")) == [
            "checkpoint_000000", "checkpoint_000001", "checkpoint_taken_000020",
        ]  # fmt: skip

    def test_a_copy_that_no_line_names_does_not_count(self, run: RunDirectory) -> None:
        trial = run.trial(1)
        checkpoint(trial, "checkpoint_taken_000020", "killed before the line was written")
        assert [folder.name for folder in trial.checkpoints()] == ["checkpoint_taken_000010"]
        with (trial.path / "schedule.json").open("a") as file:
            file.write('{"step": 20, "donor"')
        assert [change.step for change in trial.schedule()] == [10]

    def test_it_keeps_who_it_is_and_has_the_settings_of_the_last_change(self, run: RunDirectory) -> None:
        record = run.trial(2).read()
        assert record is not None
        assert record.config == {"trial": 2, "seed": 102, "lr": 2.0, "size": 2}
        assert run.trial(2).config(record) == {"trial": 2, "seed": 102, "lr": 0.3, "size": 0}

    def test_the_replay_is_the_way_of_the_weights(self, run: RunDirectory) -> None:
        assert run.replay(0) == ({"lr": 0.0, "size": 0}, [0])
        assert run.replay(1) == ({"lr": 0.0, "size": 0, "schedule": [[10, {"lr": 0.1}]]}, [0, 1])
        assert run.replay(2) == ({"lr": 0.0, "size": 0, "schedule": [[10, {"lr": 0.1}], [20, {"lr": 0.3}]]}, [0, 1, 2])


def checkpoint(trial: TrialDirectory, name: str, content: str) -> None:
    folder = trial.path / name
    folder.mkdir(parents=True)
    (folder / "state.pt").write_text(content)
