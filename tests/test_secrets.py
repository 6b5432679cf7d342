"""Passwords in arguments: they reach the database, and nothing that is printed, recorded, pickled or listed by ``ps``."""

import json
import os
import pickle
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from command_line import UsageError, hide_arguments, hide_in_command, hide_secrets, reveal
from records.objective import Goal, Objective
from records.run import Run
from search_spaces.lstm import SPACES
from tests.conftest import ROOT, environment, start
from tests.records.checks.conftest import MadeRun
from tests.support.postgres import Postgres
from tune_lstm import LSTMOptions
from tuning.engine.storage import open_storage
from tuning.options import STORAGE_VARIABLE, parse

PASSWORDS = (
    "hunter2",
    "p@ss:w/o#rd",
    "with space",
    "pässwört",
    "100%41",
    "q?x=y&z",
    "quo\"te's",
    "c:olon@at@",
)


def spellings(password: str) -> set[str]:
    encoded = {quote(password, safe=""), quote(password), quote_plus(password)}
    lower = {
        "".join(part.lower() if part.startswith("%") else part for part in percent_parts(one))
        for one in encoded
    }
    return {password, json.dumps(password)[1:-1], *encoded, *lower}


def percent_parts(text: str) -> list[str]:
    parts, at = [], 0
    while at < len(text):
        size = 3 if text[at] == "%" else 1
        parts.append(text[at : at + size])
        at += size
    return parts


def leaks(text: str, password: str) -> list[str]:
    return [one for one in spellings(password) if one in text]


WAYS = {
    "the flag's value": ["--optuna-storage", "{url}", "--num-samples", "0"],
    "the flag=value": ["--optuna-storage={url}", "--num-samples", "0"],
    "no scheme": ["--optuna-storage", "u:{password}@h/d", "--num-samples", "0"],
    "keywords": ["--optuna-storage", "host=h password={encoded}", "--num-samples", "0"],
    "a misspelt flag": ["--optuna-storag", "{url}"],
    "a misspelt flag=value": ["--optuna_storge={url}"],
    "a word of its own": ["{url}"],
    "a flag of that name": ["--password", "{password}"],
    "an address": ["--address", "{url}", "--seed", "-1"],
    "a folder": ["--storage-path", "{url}"],
    "a number": ["--num-samples", "{url}"],
    "a query": ["--optuna-storag", "postgresql://u@h/d?sslpassword={encoded}&options={encoded}"],
}


@pytest.mark.parametrize("encode", [str, lambda text: quote(text, safe="")], ids=["raw", "encoded"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("password", PASSWORDS)
def test_no_refusal_repeats_a_password(
    password: str, way: str, encode: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    given = encode(password)
    url = f"postgresql://u:{given}@h/d?sslmode=require"
    arguments = [
        one.format(url=url, password=given, encoded=quote(password, safe="")) for one in WAYS[way]
    ]
    with pytest.raises(SystemExit) as stop:
        parse(LSTMOptions, arguments)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert not leaks(said, password)
    assert not leaks(said, given)


@pytest.mark.parametrize("password", PASSWORDS)
def test_options_hold_the_url_without_its_secrets_and_the_database_gets_it_whole(
    password: str,
) -> None:
    url = f"postgresql://u:{quote(password, safe='')}@h/d?sslpassword={quote(password, safe='')}"
    options = parse(LSTMOptions, ["--optuna-storage", url])
    assert options.optuna_storage == "postgresql://u:***@h/d?sslpassword=***"
    assert not leaks(json.dumps(asdict(options)) + repr(options), password)
    assert reveal(options.optuna_storage) == url
    assert not leaks(repr(LSTMOptions(optuna_storage=url)), password)


def test_what_holds_no_secret_is_shown_as_it_is() -> None:
    for argument in (
        "postgresql://user@host:5432/db",
        "/tmp/a:b@c",
        "lr=1e-4..1e-1:log",
        "sqlite:////tmp/x.db",
        "head:6379",
    ):
        assert hide_arguments(["--storage-path", argument]) == ["--storage-path", argument]
    assert hide_secrets("see http://127.0.0.1:8265, or a:b") == "see http://127.0.0.1:8265, or a:b"


class TestVariable:
    def test_it_is_read_and_taken_out_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(STORAGE_VARIABLE, "postgresql://u:from-variable@h/d")
        options = parse(LSTMOptions, [])
        assert reveal(str(options.optuna_storage)) == "postgresql://u:from-variable@h/d"
        assert STORAGE_VARIABLE not in os.environ

    def test_the_flag_wins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(STORAGE_VARIABLE, "postgresql://u:from-variable@h/d")
        options = parse(LSTMOptions, ["--optuna-storage", "postgresql://u:from-flag@other/d"])
        assert reveal(str(options.optuna_storage)) == "postgresql://u:from-flag@other/d"

    @pytest.mark.parametrize(
        ("recorded", "variable", "used"),
        [
            ("postgresql://v:***@h/d", "postgresql://v:resumed@h/d", "postgresql://v:resumed@h/d"),
            ("postgresql://w:***@h/d", None, "postgresql://w:***@h/d"),
            (None, "postgresql://x:resumed@h/d", None),  # its study is in its own folder
        ],
    )
    def test_a_resumed_run_takes_it_in_place_of_what_was_recorded(
        self,
        recorded: str | None,
        variable: str | None,
        used: str | None,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        if variable:
            monkeypatch.setenv(STORAGE_VARIABLE, variable)
        options = {**asdict(LSTMOptions(name="run")), "optuna_storage": recorded}
        (tmp_path / "run").mkdir()
        record = {"experiment": "lstm", "options": options, "sessions": [{"started": 1.0}]}
        (tmp_path / "run" / "search.json").write_text(json.dumps(record), encoding="utf-8")
        resumed = parse(LSTMOptions, ["--resume", "--storage-path", str(tmp_path)])
        assert (resumed.optuna_storage and reveal(resumed.optuna_storage)) == used

    def test_without_it_a_database_that_wants_its_password_is_refused_by_naming_the_variable(
        self, tmp_path: Path
    ) -> None:
        options = LSTMOptions(
            optuna_storage="postgresql://nobody-knows:***@127.0.0.1:1/d?sslmode=***", resume=True
        )
        with pytest.raises(UsageError, match=f"set {STORAGE_VARIABLE} to the whole URL"):
            open_storage(options, tmp_path)


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("encode", [str, lambda text: quote(text, safe="")], ids=["raw", "encoded"])
@pytest.mark.parametrize("place", ["127.0.0.1:1/d", "127.0.0.1:port/d", "no.such.host.invalid/d"])
def test_no_driver_repeats_a_password_nor_a_part_of_it(
    password: str, encode: Callable[[str], str], place: str, tmp_path: Path
) -> None:
    options = LSTMOptions(
        optuna_storage=f"postgresql://u:{encode(password)}@{place}?connect_timeout=5"
    )
    with pytest.raises(UsageError) as refused:
        open_storage(options, tmp_path)
    said = hide_secrets(str(refused.value))
    assert not leaks(said, password)
    for part in password.split("@"):
        assert len(part) < 3 or part not in said


def test_a_run_that_was_recorded_with_a_password_is_shown_without_it(tmp_path: Path) -> None:
    objective, goal = Objective("mean_accuracy", "max"), Goal("test_accuracy", "least", 0.99)
    made = MadeRun(tmp_path / "made", SPACES["lstm", "core"], objective, goal, "")
    file = made.run.path / "search.json"
    record = json.loads(file.read_bytes())
    command = shlex.join(
        [
            "python",
            "tune_lstm.py",
            "--optuna-storage",
            "postgresql://u:old secret@h/d",
            "--seed",
            "3",
        ]
    )
    record |= {
        "fixed": {"model": "lstm", "input_length": 4},
        "sessions": [{"command": command, "started": 0.0, "ended": 1.0}],
    }
    file.write_text(json.dumps(record), encoding="utf-8")
    assert "old secret" not in Run.open(made.run.path).search["sessions"][0]["command"]
    assert (
        Run(made.run.path).commands.again("lr=1..2") == "python tune_lstm.py --seed 3 --set lr=1..2"
    )
    assert hide_in_command("python 'x postgresql://u:p4ss@h") == "python 'x postgresql://u:***@h"


def test_ps_does_not_show_it_once_the_options_are_read(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import subprocess, os\nfrom tune_lstm import LSTMOptions\nfrom tuning.options import parse\n"
        "parse(LSTMOptions)\nprint(open(f'/proc/{os.getpid()}/cmdline').read())\n"
        "print(subprocess.run(['ps', '-ww', '-o', 'args=', '-p', str(os.getpid())], capture_output=True, text=True).stdout)\n",
        encoding="utf-8",
    )
    command = [
        sys.executable,
        str(script),
        "--seed",
        "7",
        "--optuna-storage",
        "postgresql://u:sec ret/word@h/d",
    ]
    shown = subprocess.run(
        command,
        capture_output=True,
        env={**environment(), "PYTHONPATH": str(ROOT)},
        check=True,
        encoding="utf-8",
    ).stdout
    assert "ret/word" not in shown
    assert shown.count("--seed 7 --optuna-storage postgresql://u:***@h/d") == 2


class TestPostgreSQL:
    """With a real server that asks for a password."""

    @pytest.mark.parametrize(
        "encode", [lambda text: quote(text, safe=""), lambda text: quote(text, safe="").lower()]
    )
    def test_the_password_reaches_the_server_and_no_pickle(
        self, encode: Callable[[str], str], postgres: Postgres, tmp_path: Path
    ) -> None:
        options = LSTMOptions(optuna_storage=postgres.url(encode(postgres.password)), name="run")
        storage = open_storage(options, tmp_path)
        assert storage.engine.dialect.name == "postgresql"
        pickled = pickle.dumps(storage)
        storage.engine.dispose()
        assert not leaks(pickled.decode("latin-1"), postgres.password)
        assert b"postgresql://tester:***@" in pickled

    def test_a_wrong_one_is_refused_in_one_line(self, postgres: Postgres, tmp_path: Path) -> None:
        with pytest.raises(UsageError) as refused:
            open_storage(LSTMOptions(optuna_storage=postgres.url("wrong-one")), tmp_path)
        assert "password authentication failed" in str(refused.value)
        assert "wrong-one" not in str(refused.value)

    def test_a_recorded_url_does_where_pgpass_knows_the_password(
        self, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        escaped = postgres.password.replace("\\", "\\\\").replace(":", "\\:")
        pgpass = tmp_path / "pgpass"
        pgpass.write_text(f"127.0.0.1:{postgres.port}:*:tester:{escaped}\n", encoding="utf-8")
        pgpass.chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(pgpass))
        recorded = (
            f"postgresql://tester:***@127.0.0.1:{postgres.port}/postgres?application_name=***"
        )
        open_storage(LSTMOptions(optuna_storage=recorded, resume=True), tmp_path).engine.dispose()

    @pytest.mark.slow
    def test_a_search_its_resume_and_its_report_keep_it_to_themselves(
        self, postgres: Postgres, tmp_path: Path
    ) -> None:
        from tests.reports.conftest import build

        url = postgres.url(quote(postgres.password, safe=""))
        small = (
            "--input-length",
            4,
            "--max-steps",
            200,
            "--confirm",
            0,
            "--no-dashboard",
            "--name",
            "secret",
        )
        before = set(Path("/tmp/ray").glob("session_2*"))
        process = start(
            "tune_lstm.py", *small, "--num-samples", 2, "--optuna-storage", url, cwd=tmp_path
        )
        assert process.stderr is not None
        said = [process.stderr.readline()]
        listed = ""
        while process.poll() is None:
            listed += subprocess.run(
                ["ps", "-ww", "-eo", "args"], capture_output=True, check=True
            ).stdout.decode("utf-8", "replace")
            time.sleep(0.3)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        everything = [
            *said,
            out,
            err,
            *(line for line in listed.splitlines() if "tune_lstm" in line),
        ]
        assert any("raylet" in line for line in listed.splitlines())

        resume = ("--resume", "--name", "secret", "--num-samples", 3, "--no-dashboard")
        refused = start("tune_lstm.py", *resume, cwd=tmp_path)
        out, err = refused.communicate(timeout=120)
        assert refused.returncode == 2
        assert STORAGE_VARIABLE in err
        everything += [out, err]
        resumed = start("tune_lstm.py", *resume, cwd=tmp_path, variables={STORAGE_VARIABLE: url})
        out, err = resumed.communicate(timeout=400)
        assert resumed.returncode == 0, err
        everything += [out, err]

        run = tmp_path / "runs" / "secret"
        assert not (run / "optuna.db").exists()
        build(run, tmp_path)
        logs = [
            file
            for session in set(Path("/tmp/ray").glob("session_2*")) - before
            for file in session.rglob("*")
        ]
        for file in [*tmp_path.rglob("*"), *logs]:
            if file.is_file() and not file.is_symlink():
                everything.append(file.read_bytes().decode("utf-8", "replace"))
        everything += [
            str(row) for row in postgres.query("select value_json from study_user_attributes")
        ]
        assert [found for text in everything if (found := leaks(text, postgres.password))] == []
        assert (run / "search.json").stat().st_mode & 0o777 == 0o666 & ~umask()


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
