import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from command_line import UsageError
from records.run_directory import RunDirectory
from records.store import write_json
from records.trial_directory import TrialDirectory, TrialRecord
from tests.support.checkpoints import write_checkpoint
from tune_lstm import LSTMOptions


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
    for row in (
        {"step": 100, "a": 1},
        {"step": 200, "a": 1},
        {"step": 200, "a": 2},
        {"step": 300, "a": 2},
    ):
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
    record = TrialRecord(7, {"lr": 0.1, "baseline": "hand-tuned"}, ended="converged", finished=2.0)
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
    RunDirectory.create(options.run_path()).start_session(options.experiment, asdict(options))
    with pytest.raises(UsageError, match="exists already"):
        RunDirectory.create(options.run_path())


def test_a_search_killed_before_it_was_recorded_leaves_its_name_free(tmp_path: Path) -> None:
    options = LSTMOptions(name="mine", storage_path=str(tmp_path))
    RunDirectory.create(options.run_path()).lock().release()
    (tmp_path / "mine" / "search.json.new").write_text('{"sess')
    run = RunDirectory.create(options.run_path())
    run.start_session(options.experiment, asdict(options))
    assert run.read() is not None


CONFIG = {"trial": 3, "seed": 2_000_003, "lr": 0.1, "max_steps": 1000}


def test_checkpoints_come_latest_first_also_if_a_resumed_trial_wrote_over_an_old_one(
    tmp_path: Path,
) -> None:
    trial = TrialDirectory(tmp_path)
    trial.write(TrialRecord(3, CONFIG))
    steps = (600, 400, 500)
    folders = [
        write_checkpoint(tmp_path / f"checkpoint_{place:06d}", CONFIG, step)
        for place, step in enumerate(steps)
    ]
    assert trial.checkpoints() == [folders[0], folders[2], folders[1]]
    assert trial.checkpoint_at(500) == folders[2]
    assert trial.checkpoint_at(450) is None


@pytest.mark.parametrize("other", [{"trial": 4}, {"seed": 5}, {"lr": 0.2}, {"size": 128}])
def test_a_checkpoint_of_another_trial_or_other_settings_is_not_this_trials(
    other: dict[str, Any], tmp_path: Path
) -> None:
    trial = TrialDirectory(tmp_path)
    trial.write(TrialRecord(3, CONFIG))
    own = write_checkpoint(tmp_path / "checkpoint_000000", CONFIG, 100)
    write_checkpoint(tmp_path / "checkpoint_000001", {**CONFIG, **other}, 200)
    assert trial.checkpoints() == [own]


def test_a_trial_may_be_given_more_steps(tmp_path: Path) -> None:
    trial = TrialDirectory(tmp_path)
    trial.write(TrialRecord(3, {**CONFIG, "max_steps": 2000, "baseline": "hand-tuned", "lost": 1}))
    assert (
        trial.checkpoints() == [] != [write_checkpoint(tmp_path / "checkpoint_000000", CONFIG, 100)]
    )
    assert len(trial.checkpoints()) == 1


def test_a_checkpoint_cut_at_any_byte_is_nobodys(tmp_path: Path) -> None:
    trial = TrialDirectory(tmp_path)
    trial.write(TrialRecord(3, CONFIG))
    file = write_checkpoint(tmp_path / "checkpoint_000000", CONFIG, 100) / "model.safetensors"
    whole = file.read_bytes()
    for at in range(0, len(whole), 7):
        file.write_bytes(whole[:at])
        assert trial.checkpoints() == []


def test_a_number_is_free_only_if_no_folder_has_had_it(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert run.next_number() == 0
    run.trial(0).write(TrialRecord(0, CONFIG))
    run.trial(4).path.mkdir()
    assert run.next_number() == 5
    (tmp_path / "damaged_1_trial_0007").mkdir()
    assert run.next_number() == 8


def test_only_a_folder_with_something_in_it_and_no_record_is_unreadable(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.trial(0).write(TrialRecord(0, CONFIG))
    run.trial(1).path.mkdir()
    (run.trial(1).path / "trial.json.new").write_text("{")
    run.trial(2).append({"step": 100})
    run.trial(3).path.mkdir()
    (run.trial(3).path / "trial.json").write_text('{"number": 3')
    assert [one.path.name for one in run.unreadable()] == ["trial_0002", "trial_0003"]


def test_a_storage_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot be made|exists already"):
        RunDirectory.create(
            LSTMOptions(name="mine", storage_path=str(tmp_path / "file")).run_path()
        )


def test_two_searches_never_share_a_run(tmp_path: Path) -> None:
    run = RunDirectory.create(LSTMOptions(name="mine", storage_path=str(tmp_path)).run_path())
    lock = run.lock()
    with pytest.raises(UsageError, match="is being searched by another process"):
        run.lock()
    lock.release()
    run.lock().release()


class TestTakingOver:
    """Trials 1 and 2 took over trial 0 at step 10; trial 2 then took over trial 1 at step 20."""

    @pytest.fixture
    def run(self, tmp_path: Path) -> RunDirectory:
        run = RunDirectory(tmp_path)
        for number in range(3):
            config = {"trial": number, "seed": 100 + number, "lr": float(number), "size": number}
            run.trial(number).write(
                TrialRecord(number, config | ({"baseline": "hand-tuned"} if number == 0 else {}))
            )
            write_checkpoint(
                run.trial(number).path / "checkpoint_000000", config, 5, f"old {number}"
            )
        for step, donor, number, lr in ((10, 0, 1, 0.1), (10, 0, 2, 0.2), (20, 1, 2, 0.3)):
            run.trial(number).take_over(
                run.trial(donor).checkpoints()[0], step, donor, {"lr": lr, "size": 0}
            )
        return run

    def test_it_goes_on_from_what_it_took_over_and_not_from_its_own_past(
        self, run: RunDirectory
    ) -> None:
        trial = run.trial(2)
        assert [folder.name for folder in trial.checkpoints()] == ["checkpoint_taken_000020"]
        assert (trial.checkpoints()[0] / "state.pt").read_text() == "old 0"
        config = {"trial": 2, "seed": 102, "lr": 0.3, "size": 0}
        write_checkpoint(trial.path / "checkpoint_000001", config, 25, "since")
        assert [folder.name for folder in trial.checkpoints()] == [
            "checkpoint_000001",
            "checkpoint_taken_000020",
        ]
        assert sorted(folder.name for folder in trial.path.glob("checkpoint_*")) == [
            "checkpoint_000000", "checkpoint_000001", "checkpoint_taken_000020",
        ]  # fmt: skip

    def test_a_copy_that_no_line_names_does_not_count(self, run: RunDirectory) -> None:
        trial = run.trial(1)
        foreign = {"trial": 0, "seed": 0}
        write_checkpoint(
            trial.path / "checkpoint_taken_000020", foreign, 20, "killed before its line"
        )
        assert [folder.name for folder in trial.checkpoints()] == ["checkpoint_taken_000010"]
        with (trial.path / "schedule.json").open("a") as file:
            file.write('{"step": 20, "donor"')
        assert [change.step for change in trial.schedule()] == [10]

    def test_it_keeps_who_it_is_and_has_the_settings_of_the_last_change(
        self, run: RunDirectory
    ) -> None:
        record = run.trial(2).read()
        assert record is not None
        assert record.config == {"trial": 2, "seed": 102, "lr": 2.0, "size": 2}
        assert run.trial(2).config(record) == {"trial": 2, "seed": 102, "lr": 0.3, "size": 0}

    def test_the_replay_is_the_way_of_the_weights(self, run: RunDirectory) -> None:
        assert run.replay(0) == ({"lr": 0.0, "size": 0}, [0])
        assert run.replay(1) == ({"lr": 0.0, "size": 0, "schedule": [[10, {"lr": 0.1}]]}, [0, 1])
        assert run.replay(2) == (
            {"lr": 0.0, "size": 0, "schedule": [[10, {"lr": 0.1}], [20, {"lr": 0.3}]]},
            [0, 1, 2],
        )
