"""``--train``: one configuration, trained once; in this process with ``--in-process``."""

import json
from pathlib import Path
from typing import Any

import pytest

from command_line import UsageError
from search_spaces.lstm import SPACES
from tests.conftest import SmallSearch, run
from tests.reports.conftest import page_of_run
from tune_lstm import LSTMOptions, lstm_task
from tuning.one_training import one_training, read_settings
from tuning.parse_options import parse


def written(content: str, folder: Path) -> str:
    (folder / "config.json").write_text(content)
    return str(folder / "config.json")


def test_settings_are_read_from_text_from_json_and_from_a_trials_record(tmp_path: Path) -> None:
    assert read_settings(("lr=0.01", "optimizer=adam")) == {"lr": "0.01", "optimizer": "adam"}
    assert read_settings(('{"lr": 0.01}',)) == {"lr": 0.01}
    assert read_settings((written('{"lr": 0.01, "baseline": "mine"}', tmp_path),)) == {"lr": 0.01}
    record = '{"number": 3, "config": {"lr": 0.01, "trial": 3, "seed": 17}}'
    assert read_settings((written(record, tmp_path),)) == {"lr": 0.01, "seed": 17}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no settings"),
        ("{}", "holds no settings"),
        ('{"lr": [1]}', "is not a finite number"),
    ],
)
def test_what_is_no_configuration_is_refused(content: str, words: str, tmp_path: Path) -> None:
    file = written(content, tmp_path)
    with pytest.raises(UsageError, match=words):
        one_training(lstm_task(LSTMOptions()), read_settings((file,)), LSTMOptions)


def space_of(*settings: str) -> dict[str, Any]:
    task = one_training(lstm_task(LSTMOptions()), read_settings(settings), LSTMOptions)
    assert task.space.baselines == {}
    return {**task.space.distributions, **task.space.fixed}


def test_the_space_is_the_configuration_and_what_else_is_fixed() -> None:
    space = space_of("lr=0.02", "max_norm=5", "batch_size=64")
    choices = [space[name].choices for name in ("lr", "max_norm", "batch_size")]
    assert choices == [(0.02,), (5.0,), (64,)]
    assert space["hidden_dim"] == SPACES["lstm", "core"].fixed["hidden_dim"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("lr=0.02", "--train needs a value for max_norm as well"),
        ("lr=0.02 max_norm=1 tempo=3", "there is no parameter tempo"),
        ("lr=-1 max_norm=1", "lr"),
        ("lr=0.02 max_norm", "--train max_norm: takes NAME=VALUE"),
        ("lr=1e-3..1e-2 max_norm=1", "lr has several"),
    ],
)
def test_a_configuration_that_cannot_be_trained_is_refused(settings: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        space_of(*settings.split())


def test_a_files_own_length_and_seed_are_the_defaults(tmp_path: Path) -> None:
    settings = {"lr": 0.02, "max_norm": 1, "input_length": 7, "model": "rnn", "max_steps": 90}
    record = {"config": {**settings, "seed": 5}}
    file = written(json.dumps(record), tmp_path)
    options = parse(LSTMOptions, ["--train", file])
    own = (options.input_length, options.model, options.max_steps, options.seed)
    assert own == (7, "rnn", 90, 5)
    assert (options.num_samples, options.confirm, options.scheduler) == (1, 0, "none")
    other = ["--input-length", "9", "--seed", "6", "--confirm", "2"]
    given = parse(LSTMOptions, ["--train", file, *other])
    assert (given.input_length, given.seed, given.confirm) == (9, 6, 2)


def test_options_inside_a_configuration_are_read_as_their_flags_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = ["--train", "lr=0.02", "max_norm=1", "input_length=7", "seed=2148000003"]
    given = parse(LSTMOptions, own)
    assert (given.input_length, given.seed) == (7, 2148000003)
    for wrong, said in {
        "model=gru": "--model",
        "input_length=many": "--input-length takes a whole number",
    }.items():
        with pytest.raises(SystemExit) as stop:
            parse(LSTMOptions, ["--train", "lr=0.02", "max_norm=1", wrong])
        assert stop.value.code == 2
        assert said in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parse(LSTMOptions, ["--train", "lr=0.02", "max_norm=1", "--num_samples", "5"])
    assert "leave out --num-samples" in capsys.readouterr().err


def rows(trial: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (trial / "result.json").read_text().splitlines()]
    clocks = ("timestamp", "time_this_iter_s")
    return [{name: row[name] for name in row if name not in clocks} for row in found]


@pytest.mark.slow
def test_a_trial_of_a_search_is_repeated_in_this_process_by_its_record(
    small_search: SmallSearch, tmp_path: Path
) -> None:
    """Row for row what a worker of Ray reported, until the search stopped it."""
    searched = small_search.path / "trial_0000"
    repeated = ("--train", searched / "trial.json", "--in-process", "--name", "again")
    again = run("tune_lstm.py", *repeated, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "this very process, without Ray" in again.stderr
    trial = tmp_path / "runs" / "again" / "trial_0000"
    expected, found = rows(searched), rows(trial)
    assert found[: len(expected)] == expected
    config = json.loads((trial / "trial.json").read_text())["config"]
    assert config["seed"] == json.loads((searched / "trial.json").read_text())["config"]["seed"]
    assert (trial.parent / "best" / "model.safetensors").exists()
    page_of_run(trial.parent, tmp_path)
