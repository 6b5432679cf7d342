"""A run whose records and study disagree: copied, renamed, cut, put back from an old copy."""

import contextlib
import dataclasses
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from command_line import UsageError
from records.run_directory import FORMAT, RunDirectory
from tests.support.searched import Searched
from tune_lstm import LSTMOptions
from tuning.task import Task

pytestmark = pytest.mark.ray  # a study in its database, trial by trial

TRIALS = 13


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("identity")


@pytest.fixture
def tmp_path(folder: Path) -> Path:
    """Empty, and at the same path in every test: a run that was moved would be another's copy."""
    path = folder / "runs"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    return path


@pytest.fixture
def searched(options: LSTMOptions, task: Task, folder: Path, tmp_path: Path) -> Searched:
    """A run with ``TRIALS`` ended trials, searched once for each place of the study."""
    kept = folder / ("own" if options.optuna_storage is None else "shared")
    if kept.exists():
        shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
        return Searched(dataclasses.replace(options, resume=True), task)
    searched = Searched(options, task)
    assert searched.search(TRIALS) == list(range(TRIALS))
    shutil.copytree(tmp_path, kept)
    return searched


def go_on(searched: Searched, name: str | None = None, **changes: Any) -> Searched:
    options = dataclasses.replace(
        searched.options, name=name or searched.options.name, resume=True, **changes
    )
    return Searched(options, searched.task)


def files(run: Path) -> dict[str, bytes]:
    """All that the trials of the run have left."""
    return {str(file.relative_to(run)): file.read_bytes() for file in sorted(run.glob("trial_*/*"))}


def check(run: RunDirectory, study: optuna.Study, before: dict[str, bytes]) -> None:
    """What had ended is as it was, on disk and in the study."""
    after = files(run.path)
    assert {name: after.get(name) for name in before} == before
    for _, record in run.trials():
        trial = study.trials[record.number]
        assert trial.user_attrs["ended"] == record.ended
        assert trial.params == {name: record.config[name] for name in ("lr", "max_norm")}
        assert trial.user_attrs["seed"] == record.config["seed"]
    assert TrialState.RUNNING not in {trial.state for trial in study.trials}


def snapshot(study: optuna.Study) -> list[tuple[Any, ...]]:
    """What a sampler and a report read of the study."""
    return [
        (trial.number, trial.state, trial.values, trial.params, trial.distributions,
         trial.intermediate_values,
         {key: value for key, value in trial.user_attrs.items() if key != "tune_id"})
        for trial in study.trials if trial.state != TrialState.WAITING
    ]  # fmt: skip


def test_a_renamed_folder_is_the_same_run(searched: Searched) -> None:
    before, said = files(searched.run.path), snapshot(searched.study)
    searched.run.path.rename(searched.run.path.with_name("renamed"))
    again = go_on(searched, "renamed")
    assert snapshot(again.study) == said
    assert again.search(2) == [TRIALS, TRIALS + 1]
    check(again.run, again.study, before)
    assert again.notes == [f"the run was at {searched.run.path} before"]
    assert go_on(again).notes == []


def test_a_copy_is_a_run_of_its_own_and_both_go_on(searched: Searched, tmp_path: Path) -> None:
    before, said = files(searched.run.path), snapshot(searched.study)
    shutil.copytree(searched.run.path, tmp_path / "copy", copy_function=shutil.copyfile)
    copy, original = go_on(searched, "copy"), go_on(searched)
    assert (copy.run.read() or {})["id"] != (original.run.read() or {})["id"]
    assert snapshot(copy.study) == snapshot(original.study) == said
    for run in (copy, original):
        assert run.search(2) == [TRIALS, TRIALS + 1]
        check(run.run, run.study, before)
    assert copy.notes == [
        f"this is a copy of {searched.run.path}, and from now on a run of its own"
    ]


def delete(run: Path) -> None:
    (run / "optuna.db").unlink()


def empty(run: Path) -> None:
    (run / "optuna.db").write_bytes(b"")


def garbage(run: Path) -> None:
    (run / "optuna.db").write_bytes(b"no database at all" * 1000)


def cut(run: Path) -> None:
    content = (run / "optuna.db").read_bytes()
    (run / "optuna.db").write_bytes(content[: len(content) // 2])


def without_trials(run: Path) -> None:
    with contextlib.closing(sqlite3.connect(run / "optuna.db")) as database, database:
        for table in (
            "trials",
            "trial_params",
            "trial_values",
            "trial_user_attributes",
            "trial_intermediate_values",
        ):
            database.execute(f"DELETE FROM {table}")


def without_studies(run: Path) -> None:
    with contextlib.closing(sqlite3.connect(run / "optuna.db")) as database, database:
        database.execute("DELETE FROM studies")


def another_value(run: Path) -> None:
    with contextlib.closing(sqlite3.connect(run / "optuna.db")) as database, database:
        database.execute(
            "UPDATE trial_params SET param_value = 0.02 WHERE trial_id = 5 AND param_name = 'lr'"
        )


def another_end(run: Path) -> None:
    with contextlib.closing(sqlite3.connect(run / "optuna.db")) as database, database:
        database.execute(
            "UPDATE trial_user_attributes SET value_json = '\"diverged\"'"
            " WHERE key = 'ended' AND trial_id = 3"
        )


def other_value_of_a_trial(run: Path) -> None:
    with contextlib.closing(sqlite3.connect(run / "optuna.db")) as database, database:
        database.execute("UPDATE trial_values SET value = 0.99 WHERE trial_id = 1")


@pytest.mark.parametrize(
    "damage",
    [
        delete,
        pytest.param(empty, marks=pytest.mark.slow),
        pytest.param(garbage, marks=pytest.mark.slow),
        cut,
        pytest.param(without_trials, marks=pytest.mark.slow),
        without_studies,
        another_value,
        pytest.param(another_end, marks=pytest.mark.slow),
        pytest.param(other_value_of_a_trial, marks=pytest.mark.slow),
    ],
)
def test_a_study_that_is_lost_or_wrong_is_built_anew_from_the_records(
    damage: Callable[[Path], None], searched: Searched
) -> None:
    before, said = files(searched.run.path), snapshot(searched.study)
    damage(searched.run.path)
    again = go_on(searched)
    assert snapshot(again.study) == said
    assert again.search(2) == [TRIALS, TRIALS + 1]
    check(again.run, again.study, before)
    (note,) = again.notes
    assert note.startswith(f"the study was rebuilt from the records of {TRIALS} trials: ")
    assert go_on(again).notes == []


@pytest.mark.parametrize(
    "at", [5, *(pytest.param(at, marks=pytest.mark.slow) for at in (0, 1, 11))]
)
def test_an_older_copy_of_the_study_is_built_anew(
    at: int, options: LSTMOptions, task: Task
) -> None:
    searched = Searched(options, task)
    searched.search(at)
    older = (searched.run.path / "optuna.db").read_bytes()
    searched.search(TRIALS - at)
    before, said = files(searched.run.path), snapshot(searched.study)
    (searched.run.path / "optuna.db").write_bytes(older)
    again = go_on(searched)
    assert snapshot(again.study) == said
    assert again.search(2) == [TRIALS, TRIALS + 1]
    check(again.run, again.study, before)
    assert len(again.notes) == 1


def test_a_copy_of_the_study_from_the_middle_of_a_trial_is_told_the_end(
    options: LSTMOptions, task: Task
) -> None:
    searched = Searched(options, task)
    searched.search(4)
    number = searched.hand_out("last")
    older = (searched.run.path / "optuna.db").read_bytes()
    searched.end("last", number)
    before = files(searched.run.path)
    (searched.run.path / "optuna.db").write_bytes(older)
    again = go_on(searched)
    assert again.search(1) == [5]
    check(again.run, again.study, before)
    assert again.notes == []


def test_another_runs_database_in_its_place_is_put_aside(
    searched: Searched, options: LSTMOptions, task: Task
) -> None:
    other = Searched(dataclasses.replace(options, name="other", seed=9), task)
    other.search(3)
    before, said = files(searched.run.path), snapshot(searched.study)
    shutil.copyfile(other.run.path / "optuna.db", searched.run.path / "optuna.db")
    again = go_on(searched)
    assert snapshot(again.study) == said
    check(again.run, again.study, before)
    kept = (searched.run.path / "optuna.db.replaced-1").read_bytes()
    assert kept == (other.run.path / "optuna.db").read_bytes()


class TestSharedDatabase:
    """The study lies in a database that several runs share."""

    @pytest.fixture
    def options(self, options: LSTMOptions, tmp_path: Path) -> LSTMOptions:
        return dataclasses.replace(options, optuna_storage=f"sqlite:///{tmp_path}/shared.db")

    def test_a_renamed_run_finds_its_study(self, searched: Searched) -> None:
        searched.run.path.rename(searched.run.path.with_name("renamed"))
        again = go_on(searched, "renamed")
        assert again.study.study_name == "run"
        assert again.search(1) == [TRIALS]

    def test_a_copy_has_a_study_of_its_own(self, searched: Searched, tmp_path: Path) -> None:
        before = files(searched.run.path)
        shutil.copytree(searched.run.path, tmp_path / "copy")
        copy, original = go_on(searched, "copy"), go_on(searched)
        assert (copy.study.study_name, original.study.study_name) == ("copy", "run")
        assert copy.study.user_attrs["run"] == "copy"
        for run in (copy, original):
            assert run.search(2) == [TRIALS, TRIALS + 1]
            check(run.run, run.study, before)

    def test_a_study_that_is_gone_is_built_anew(self, searched: Searched) -> None:
        before, said = files(searched.run.path), snapshot(searched.study)
        optuna.delete_study(study_name="run", storage=str(searched.options.optuna_storage))
        again = go_on(searched)
        assert snapshot(again.study) == said
        assert again.search(1) == [TRIALS]
        check(again.run, again.study, before)

    def test_another_database_is_given_the_study(self, searched: Searched, tmp_path: Path) -> None:
        before, said = files(searched.run.path), snapshot(searched.study)
        again = go_on(searched, optuna_storage=f"sqlite:///{tmp_path}/another.db")
        assert snapshot(again.study) == said
        assert again.search(1) == [TRIALS]
        check(again.run, again.study, before)

    def test_a_wrong_study_stays_as_it_is(self, searched: Searched) -> None:
        said = snapshot(searched.study)
        wrong = searched.study.trials[4]
        with (
            contextlib.closing(
                sqlite3.connect(str(searched.options.optuna_storage).removeprefix("sqlite:///"))
            ) as db,
            db,
        ):
            db.execute(
                "UPDATE trial_params SET param_value = 0.02"
                " WHERE trial_id = 5 AND param_name = 'lr'"
            )
        again = go_on(searched)
        assert again.study.study_name == "run-2"
        assert again.study.user_attrs["run"] == "run"
        assert snapshot(again.study) == said
        old = optuna.load_study(study_name="run", storage=str(searched.options.optuna_storage))
        assert old.trials[4].params["lr"] == 0.02 != wrong.params["lr"]
        assert go_on(again).study.study_name == "run-2"


@pytest.mark.parametrize("at", [0, 1, 60])
def test_a_record_that_is_cut_is_written_again_from_the_study(at: int, searched: Searched) -> None:
    files_before = files(searched.run.path)
    for number in (0, 6, TRIALS - 1):
        file = searched.run.trial(number).path / "trial.json"
        file.write_bytes(file.read_bytes()[:at])
    again = go_on(searched)
    assert again.notes == [
        f"trial_{number:04d}/trial.json could not be read: written again from the study"
        for number in (0, 6, TRIALS - 1)
    ]
    assert again.search(1) == [TRIALS]
    for number in (0, 6, TRIALS - 1):
        was = json.loads(files_before[f"trial_{number:04d}/trial.json"])
        record = again.run.trial(number).read()
        assert record is not None
        assert (record.number, record.config, record.ended) == (
            was["number"],
            was["config"],
            was["ended"],
        )
    rows = {name: content for name, content in files_before.items() if name.endswith("result.json")}
    check(again.run, again.study, rows)


@pytest.mark.parametrize("damage", [delete, without_trials])
def test_a_record_that_neither_tells_is_refused_and_nothing_is_touched(
    damage: Callable[[Path], None], searched: Searched
) -> None:
    (searched.run.trial(6).path / "trial.json").write_text("{")
    damage(searched.run.path)
    before = files(searched.run.path)
    with pytest.raises(UsageError) as refused:
        go_on(searched)
    assert (
        "trial_0006/trial.json cannot be read or is another trial's, and the study does not know"
        in str(refused.value)
    )
    assert files(searched.run.path) == before


@pytest.mark.parametrize("what", ["trial.json", "folder"])
def test_another_trials_files_in_a_trials_place_are_not_taken_for_its_own(
    what: str, searched: Searched
) -> None:
    own, other = searched.run.trial(3).path, searched.run.trial(6).path
    if what == "folder":
        shutil.rmtree(own)
        shutil.copytree(other, own)
        with pytest.raises(
            UsageError, match=r"trial_0003/trial\.json cannot be read or is another trial's"
        ):
            go_on(searched)
    else:
        was = searched.run.trial(3).read()
        shutil.copyfile(other / "trial.json", own / "trial.json")
        again = go_on(searched)
        record = again.run.trial(3).read()
        assert record is not None
        assert was is not None
        assert (record.config, record.ended) == (was.config, was.ended)
        assert again.notes == [
            "trial_0003/trial.json could not be read: written again from the study"
        ]


@pytest.mark.parametrize("number", [4, TRIALS - 1])
def test_the_number_of_a_folder_that_is_gone_is_not_used_again(
    number: int, searched: Searched
) -> None:
    shutil.rmtree(searched.run.trial(number).path)
    again = go_on(searched)
    assert again.search(2) == [TRIALS, TRIALS + 1]


def test_without_folder_and_study_the_numbers_after_it_stay_what_they_were(
    searched: Searched,
) -> None:
    shutil.rmtree(searched.run.trial(4).path)
    delete(searched.run.path)
    before = files(searched.run.path)
    again = go_on(searched)
    assert again.search(1) == [TRIALS]
    check(again.run, again.study, before)
    assert (again.study.trials[4].state, again.study.trials[4].user_attrs["ended"]) == (
        TrialState.FAIL,
        "lost",
    )


def test_trials_in_flight_are_handed_out_again_after_the_study_was_lost(searched: Searched) -> None:
    number = searched.hand_out("in flight")
    row = {"step": 100, "mean_accuracy": 0.3, "ended": None}
    searched.run.trial(number).append(row)
    searched.searcher.on_trial_result("in flight", row)
    before = files(searched.run.path)
    delete(searched.run.path)
    again = go_on(searched)
    config = again.searcher.suggest("again")
    assert config is not None
    assert config["trial"] == number
    assert files(searched.run.path) == before


def test_warm_start_survives_the_loss_of_the_study(
    searched: Searched, options: LSTMOptions, task: Task
) -> None:
    warm = Searched(dataclasses.replace(options, name="warm", warm_start=("run",)), task)
    warm.search(2)
    said = snapshot(warm.study)
    delete(warm.run.path)
    shutil.rmtree(searched.run.path)  # the earlier run is needed no more
    again = go_on(warm)
    assert snapshot(again.study) == said
    assert said[0][-1]["origin"] == "warm start"


def test_what_a_rebuilt_study_reads_of_earlier_runs_is_on_record(
    searched: Searched, options: LSTMOptions, task: Task
) -> None:
    warm = Searched(dataclasses.replace(options, name="warm", warm_start=("run",)), task)
    warm.search(2)
    search_json = warm.run.path / "search.json"
    record = json.loads(search_json.read_text())
    search_json.write_text(json.dumps({**record, "warm_start": None}))
    delete(warm.run.path)
    go_on(warm)
    assert json.loads(search_json.read_text())["warm_start"] == record["warm_start"]


@pytest.mark.parametrize("change", [{"format": 0}, {"format": 99}, {"format": "new"}, {"id": None}])
def test_a_run_of_another_version_is_refused(change: dict[str, Any], searched: Searched) -> None:
    file = searched.run.path / "search.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    words = f"run run has format .*, and this version resumes only format {FORMAT}"
    with pytest.raises(UsageError, match=words):
        go_on(searched)


def test_trainings_after_the_search_are_done_again_beside_what_is_left_of_them(
    searched: Searched,
) -> None:
    for part in ("confirmation/trial_0001", "final/trial_0003", "ablation/trial_0003/trial_0000"):
        folder = searched.run.path / part
        folder.mkdir(parents=True)
        (folder / "trial.json").write_text("{")
        (folder / "result.json").write_text('{"step": 100}\n')
    again = go_on(searched)
    assert [note.split(" has a record")[0] for note in again.notes] == [
        "confirmation/trial_0001", "final/trial_0003", "ablation/trial_0003",
    ]  # fmt: skip
    assert (searched.run.path / "confirmation/damaged_1_trial_0001/result.json").exists()
    assert (searched.run.path / "final/damaged_1_trial_0003/result.json").exists()
    assert (searched.run.path / "ablation/damaged_1_trial_0003/trial_0000/result.json").exists()
    assert searched.run.confirmation().next_number() == 2
