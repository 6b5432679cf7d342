import dataclasses
import json
from pathlib import Path

import pytest

from command_line import UsageError
from tune_gan import GANOptions
from tune_lstm import LSTMOptions
from tuning.options import parse, seconds
from tuning.seeds import confirmation_seeds, trial_seed


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("90", 90),
        ("90s", 90),
        ("1.5m", 90),
        ("2h", 7200),
        ("1d", 86400),
        ("", 0),
        ("-3m", 0),
        ("3w", 0),
    ],
)
def test_seconds(time: str, expected: float) -> None:
    assert seconds(time) == expected


TEXTS = (
    "storage_path",
    "name",
    "address",
    "data_root",
    "space_file",
    "optuna_storage",
    "warm_start",
)


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must not be empty"),
        ("  ", "must not be empty"),
        ("a\0b", "must be printable text, on one line, got 'a\\x00b'"),
        ("a\nb", "must be printable text, on one line, got 'a\\nb'"),
        ("a\udcffb", "must be printable text, on one line, got 'a\\udcffb'"),
        ("x" * 5_000, "may have 1,000 characters at most, got 5,000"),
    ],
)
def test_text_that_no_path_name_or_address_can_be_is_refused(
    field: str, text: str, message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        GANOptions(**{field: (text,) if field == "warm_start" else text})  # type: ignore[arg-type]
    assert str(refused.value) == f"--{field.replace('_', '-')} {message}" + (
        f", got {text!r}" if not text.strip() else ""
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "x" * 256}, "--name may have 255 characters, got 256"),
        (
            {"cpus_per_trial": 1e-7},
            "--cpus-per-trial may have 4 decimals (Ray counts in 0.0001), got 1e-07",
        ),
        (
            {"gpus_per_trial": 0.33333},
            "--gpus-per-trial may have 4 decimals (Ray counts in 0.0001), got 0.33333",
        ),
        ({"gpus_per_trial": 1e-300}, "--gpus-per-trial may have 4 decimals"),
        ({"cpus_per_trial": float("nan")}, "--cpus-per-trial must be above 0"),
        ({"max_concurrent": 2**70}, "--max-concurrent must be 0 to 900,000, got "),
        ({"confirm": 10**5000}, "--confirm must be 0 to 1000, got "),
        ({"seed": 2**31}, "--seed must be 0 to 2147483647"),
        ({"time_budget": "9" * 15 + "d"}, "--time-budget may be 3,650 days at most"),
        ({"time_budget": "9" * 400}, "--time-budget takes a time"),
        ({"time_budget": "\u0661m"}, "--time-budget takes a time"),
        ({"time_budget": "1e3"}, "--time-budget takes a time"),
        (
            {"max_steps": 10**30},
            "--max-steps must be 1 to 10,000,000, got 1000000000000000000000000000000",
        ),
        ({"target": 1.5}, "--target is a test accuracy here: it must be 1 at most, got 1.5"),
        ({"target": 0.0}, "--target must be above 0 and finite, got 0"),
        ({"target": float("inf")}, "--target must be above 0 and finite, got inf"),
    ],
)
def test_numbers_at_the_edge_of_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        LSTMOptions(**options)  # type: ignore[arg-type]
    assert str(refused.value).startswith(message)
    assert len(str(refused.value)) < 250


def test_fractions_that_ray_counts_are_taken() -> None:
    LSTMOptions(
        cpus_per_trial=1.5, gpus_per_trial=0.3333, name="x" * 255, target=1.0, time_budget="3650d"
    )
    GANOptions(target=2.5, final_steps=0)


def test_seeds_of_a_search_and_its_confirmation_never_meet() -> None:
    searched = {trial_seed(search, number) for search in (0, 1, 2) for number in range(2000)}
    confirmed = {seed for search in (0, 1, 2) for seed in confirmation_seeds(search, 1000)}
    assert len(searched) == 6000
    assert len(confirmed) == 3000
    assert not searched & confirmed


class TestResume:
    @pytest.fixture
    def runs(self, tmp_path: Path) -> Path:
        for name, started in (("older", 1.0), ("newer", 2.0)):
            options = LSTMOptions(
                input_length=7, num_samples=9, name=name, no_dashboard=True, quiet=True, seed=3
            )
            record = {
                "experiment": "lstm",
                "options": dataclasses.asdict(options),
                "sessions": [{"started": started}],
            }
            (tmp_path / name).mkdir()
            (tmp_path / name / "search.json").write_text(json.dumps(record))
        return tmp_path

    def test_takes_the_latest_run_and_its_options(self, runs: Path) -> None:
        options = parse(LSTMOptions, ["--resume", "--storage-path", str(runs)])
        assert (options.name, options.input_length, options.num_samples, options.seed) == (
            "newer",
            7,
            9,
            3,
        )
        assert options.resume

    def test_flags_given_now_win_and_switches_are_not_inherited(self, runs: Path) -> None:
        arguments = [
            "--resume",
            "--storage-path",
            str(runs),
            "--name",
            "older",
            "--num-samples",
            "20",
            "--quiet",
        ]
        options = parse(LSTMOptions, arguments)
        assert (options.name, options.num_samples, options.quiet, options.no_dashboard) == (
            "older",
            20,
            True,
            False,
        )

    def test_another_experiment_is_refused(
        self, runs: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as stop:
            parse(LSTMOptions, ["--resume", "--storage-path", str(runs), "--max-steps", "5"])
        assert stop.value.code == 2
        assert (
            "was started with --max-steps 10000; it cannot go on with 5" in capsys.readouterr().err
        )

    def test_a_space_is_kept_as_it_was_and_no_other_is_taken(
        self, runs: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = runs / "space.yaml"
        file.write_text("lr: {low: 1e-3, high: 0.1}\nmax_norm: 0.1\n")
        started = parse(LSTMOptions, ["--space-file", str(file), "--set", "max_norm=1"])
        assert started.set == ("lr=0.001..0.1", "max_norm=1")
        search = runs / "newer" / "search.json"
        record = json.loads(search.read_text())
        record["options"] = json.loads(json.dumps(dataclasses.asdict(started)))
        search.write_text(json.dumps(record))
        resume = ["--resume", "--storage-path", str(runs), "--name", "newer"]
        again = [*resume, "--set", "max_norm=1.0", "--space-file", str(file)]
        assert parse(LSTMOptions, again).set == started.set
        for content in ("lr: {low: 1e-2, high: 0.1}", None):
            file.write_text(content) if content else file.unlink()
            assert parse(LSTMOptions, resume).set == started.set
            with pytest.raises(SystemExit) as stop:
                parse(LSTMOptions, again)
            assert stop.value.code == 2
        refused = capsys.readouterr().err.splitlines()
        assert refused[0].endswith(
            "run newer was started with --set lr=0.001..0.1 max_norm=1; it cannot go on with lr=0.01..0.1 max_norm=1"
        )
        assert refused[1].endswith("cannot be read: No such file or directory")

    def test_a_run_without_a_space_of_its_own_takes_none(
        self, runs: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        search = runs / "newer" / "search.json"
        record = json.loads(search.read_text())
        del record["options"]["set"]  # as of a run from before there was --set
        search.write_text(json.dumps(record))
        for name in ("older", "newer"):
            with pytest.raises(SystemExit) as stop:
                parse(
                    LSTMOptions,
                    [
                        "--resume",
                        "--storage-path",
                        str(runs),
                        "--name",
                        name,
                        "--set",
                        "lr=1e-3..1e-2",
                    ],
                )
            assert stop.value.code == 2
            assert (
                f"run {name} was started with --set none; it cannot go on with"
                in capsys.readouterr().err
            )

    def test_a_run_that_cannot_be_read_is_refused(
        self, runs: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (runs / "older" / "search.json").write_text('{"experiment": "lstm", "opt')
        with pytest.raises(SystemExit) as stop:
            parse(LSTMOptions, ["--resume", "--storage-path", str(runs), "--name", "older"])
        assert stop.value.code == 2
        assert "cannot be read" in capsys.readouterr().err
