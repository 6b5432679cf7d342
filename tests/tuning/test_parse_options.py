"""What ``--resume`` reads from a ``search.json``, whatever is in it, and the options' paths."""

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from command_line import UsageError, user_path
from records.commands import resume_command
from records.places import from_here
from tune_gan import GANOptions
from tune_lstm import LSTMOptions
from tuning.parse_options import parse


def record(folder: Path, content: Any, name: str = "run") -> Path:
    (folder / name).mkdir()
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name / "search.json").write_text(text, encoding="utf-8")
    return folder


def whole(**options: Any) -> dict[str, Any]:
    every = {**asdict(LSTMOptions(name="run", num_samples=9)), **options}
    return {"experiment": "lstm", "options": every, "sessions": [{"started": 1.0}]}


ODD = {
    "empty": "",
    "cut": json.dumps(whole())[:200],
    "not text": "\udcff",
    "a list": [1, 2],
    "a number": 3,
    "null": "null",
    "another program's": {"query": "cats"},
    "options a list": {**whole(), "options": [1]},
    "options null": {**whole(), "options": None},
    "deep": "[" * 100_000,
    "an option of a newer version": whole(warp_factor=9),
    "words for a number": whole(num_samples="many"),
    "a fraction for a whole number": whole(confirm=2.5),
    "a list for a number": whole(seed=[1, 2]),
    "an object for a number": whole(max_steps={"a": 1}),
    "not a number": whole(gpus_per_trial=float("nan")),
    "beyond all numbers": json.dumps(whole()).replace(
        '"max_steps": 10000', '"max_steps": ' + "9" * 5000
    ),
    "an unknown sampler": whole(sampler="annealing"),
    "an unknown model": whole(model="gru"),
    "an impossible value": whole(input_length=1),
    "an option without a name": whole(**{"": 1}),
}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_an_odd_record_is_refused_in_one_line(
    content: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content == "\udcff":
        record(tmp_path, "")
        (tmp_path / "run" / "search.json").write_bytes(b"\xff\xfe{")
    else:
        record(tmp_path, content)
    with pytest.raises(SystemExit) as stop:
        parse(LSTMOptions, ["--resume", "--name", "run", "--storage-path", str(tmp_path)])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "run/search.json cannot be read, or another version wrote it (" in line
    assert len(line) < 700


def test_a_record_that_is_no_file_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run" / "search.json").mkdir(parents=True)
    with pytest.raises(SystemExit):
        parse(LSTMOptions, ["--resume", "--name", "run", "--storage-path", str(tmp_path)])
    assert "Is a directory" in capsys.readouterr().err


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_the_latest_run_is_found_among_odd_ones(content: Any, tmp_path: Path) -> None:
    record(tmp_path, whole(), "sound")
    if content != "\udcff" and not (isinstance(content, dict) and content.get("sessions")):
        record(tmp_path, content, "odd")
    record(tmp_path, {**whole(), "sessions": [{"started": "yesterday"}]}, "odd-time")
    assert parse(LSTMOptions, ["--resume", "--storage-path", str(tmp_path)]).name == "sound"


def test_what_was_recorded_comes_back_as_it_was(tmp_path: Path) -> None:
    started = LSTMOptions(
        name="run", seed=3, gpus_per_trial=0.5, audit=0.1, seeds_per_trial=3,
        objectives=("accuracy", "log_work"),
        warm_start=("-x", "~"),
        time_budget="90s", set=("lr=0.001..0.1", "max_norm=1"), address="head:6379", target=0.9,
    )  # fmt: skip
    record(tmp_path, {**whole(), "options": asdict(started)})
    resumed = parse(LSTMOptions, ["--resume", "--storage-path", str(tmp_path)])
    assert asdict(resumed) == {**asdict(started), "resume": True, "storage_path": str(tmp_path)}


class TestPaths:
    @pytest.mark.parametrize("form", ["{flag} {path}", "{flag}={path}"])
    def test_a_home_is_expanded_in_every_option(
        self, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "space.toml").write_text("lr = {low = 0.01, high = 0.1}", encoding="utf-8")
        flags = {"--storage-path": "~/runs", "--data-root": "~/data", "--warm-start": "~/a"}
        arguments = [
            word
            for flag, path in flags.items()
            for word in form.format(flag=flag, path=path).split()
        ]
        options = parse(GANOptions, arguments)
        assert (options.storage_path, options.data_root, options.warm_start) == (
            f"{tmp_path}/runs", f"{tmp_path}/data", (f"{tmp_path}/a",)
        )  # fmt: skip
        narrowed = parse(LSTMOptions, form.format(flag="--space-file", path="~/space.toml").split())
        assert narrowed.set == ("lr=0.01..0.1",)

    @pytest.mark.parametrize(
        "flag", ["--storage-path", "--data-root", "--warm-start", "--space-file"]
    )
    @pytest.mark.parametrize(
        ("path", "words"),
        [("~nobody-here/x", "there is no such user"), ("", "must not be empty")],
    )
    def test_a_home_of_nobody_is_refused(
        self, flag: str, path: str, words: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            parse(GANOptions, [flag, path])
        assert f"{flag} {path}".strip() in (said := capsys.readouterr().err)
        assert words in said

    def test_a_folder_that_no_name_in_unicode_has_is_refused(self) -> None:
        with pytest.raises(UsageError, match="--storage-path must be printable text"):
            LSTMOptions(storage_path="/tmp/\udcff")

    def test_what_looks_like_an_option_or_a_home_is_named_otherwise(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert user_path("RUN", "-x") == "./-x"
        assert user_path("RUN", "./~x") == "./~x"
        assert [from_here(name) for name in ("-x", "~x", "a b", tmp_path / "-y")] == [
            "./-x",
            "./~x",
            "a b",
            "./-y",
        ]
        with pytest.raises(UsageError):
            user_path("RUN", "~no-such-user")

    @pytest.mark.parametrize(
        "place", ["runs", "a b", "it's", "$HOME", "a\nb", "./-x", "*?[z]", "ü"]
    )
    def test_the_command_that_resumes_is_read_by_a_shell_as_it_is_meant(self, place: str) -> None:
        words = shlex.split(
            resume_command("my scripts/tune_lstm.py", "mine", place, "--num-samples", "9")
        )
        where = [] if place == "runs" else ["--storage-path", place]
        assert words == [
            "python", "my scripts/tune_lstm.py", "--resume", "--name", "mine", *where,
            "--num-samples", "9",
        ]  # fmt: skip


class TestResume:
    @pytest.fixture
    def runs(self, tmp_path: Path) -> Path:
        for name, started in (("older", 1.0), ("newer", 2.0)):
            options = LSTMOptions(
                input_length=7, num_samples=9, name=name, no_dashboard=True, quiet=True, seed=3
            )
            record = {
                "experiment": "lstm",
                "options": asdict(options),
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

    def test_resume_or_start_resumes_a_run_and_starts_one_that_is_not_there(
        self, runs: Path
    ) -> None:
        again = ["--resume-or-start", "--storage-path", str(runs), "--name"]
        resumed = parse(LSTMOptions, [*again, "older", "--num-samples", "20"])
        assert (resumed.resume, resumed.input_length, resumed.num_samples) == (True, 7, 20)
        started = parse(LSTMOptions, [*again, "new"])
        assert (started.resume, started.input_length) == (False, 20)

    def test_flags_given_now_win_and_switches_are_not_inherited(self, runs: Path) -> None:
        resume = ["--resume", "--storage-path", str(runs), "--name", "older"]
        options = parse(LSTMOptions, [*resume, "--num-samples", "20", "--quiet"])
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
        record["options"] = json.loads(json.dumps(asdict(started)))
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
            "run newer was started with --set lr=0.001..0.1 max_norm=1;"
            " it cannot go on with lr=0.01..0.1 max_norm=1"
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
            resume = ["--resume", "--storage-path", str(runs), "--name", name]
            with pytest.raises(SystemExit) as stop:
                parse(LSTMOptions, [*resume, "--set", "lr=1e-3..1e-2"])
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
