"""Random inputs: each is taken, or refused in one line, and harms no run.

FUZZ_EXAMPLES=500 python -m pytest tests/test_fuzz.py
"""

import contextlib
import dataclasses
import io
import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from command_line import UsageError, exit_usage_error
from records.trial_directory import TrialRecord
from tests.support.searched import Searched
from tests.trainables.gan.test_images import write_idx
from trainables.gan.images import ImagesUnavailable, load_images
from tune_gan import GANOptions, gan_task
from tune_lstm import LSTMOptions, lstm_task
from tuning.options import SearchOptions
from tuning.parse_options import parse
from tuning.preflight import check_machine
from tuning.task import Task

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "8"))

fuzzed = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
numbers = (
    st.integers()
    | st.floats()
    | st.sampled_from([10**400, -0.0, 5e-324, 2**63, 2**31, 1e308, 0.1 + 0.2])
)
values = st.one_of(
    text,
    numbers.map(str),
    st.sampled_from([
        "", " ", "-", "--", "..", "../..", "/", "~", "~root", "~nobody-of-that-name", "a" * 5000,
        "1,000", "1e-4...1", "nan", "1e400", "٣", "0x10", "1_000", "lr=1..2", "lr=0.1:log", "lr=,",
        "=", "lr==1", "max_norm=1e-3..10:log:step=2", "true", "$(reboot)", "`ls`", "'", '"', "\n",
        "\t\r", "%s%n", "\udc80", "sqlite://", "sqlite:///no/such/folder/db", "http://x",
        "host:99999", "[::1", "local", "*", "?", "[a", "postgresql://", "tpe", "asha", "pbt",
        "core", "digits", "30m", "1e9d",
    ]),
)  # fmt: skip


def arguments(options: type[SearchOptions]) -> st.SearchStrategy[list[str]]:
    """Command lines of a few flags, most of them the script's own, each with up to two values."""
    names = [
        field.name
        for field in dataclasses.fields(options)
        if field.name not in ("resume", "address")
    ]
    flags = st.sampled_from(
        [f"--{name.replace('_', '-')}" for name in names] + ["--no-such-flag", "-x", "word"]
    )
    return st.lists(st.tuples(flags, st.lists(values, max_size=2)), max_size=4).map(
        lambda pairs: [word for flag, given in pairs for word in (flag, *given)]
    )


def refusal(action: Callable[[], Any]) -> str | None:
    """What the action is refused with, one line for status 2; None if it is taken."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = run(action)
    assert status in (0, 2)
    if status == 0:
        return None
    (line,) = said.getvalue().splitlines()
    assert "error: " in line
    return line


def run(action: Callable[[], Any]) -> int | str | None:
    """The exit status of a script that does this."""
    try:
        action()
    except UsageError as error:
        with contextlib.suppress(SystemExit):
            exit_usage_error(str(error))
        return 2
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture
def empty_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("empty")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["tune.py"])
    return folder


def start(options: type[SearchOptions], task: Callable[[Any], Task], words: list[str]) -> None:
    """As a script does, up to where the run directory would be made."""
    read = parse(options, words)
    check_machine(read, task(read))


@given(words=arguments(LSTMOptions))
@fuzzed
def test_flags_of_the_lstm_search(words: list[str], empty_folder: Path) -> None:
    refusal(lambda: start(LSTMOptions, lstm_task, words))
    assert list(empty_folder.iterdir()) == []


@given(words=arguments(GANOptions))
@fuzzed
def test_flags_of_the_gan_search(words: list[str], empty_folder: Path) -> None:
    refusal(lambda: start(GANOptions, gan_task, words))
    assert list(empty_folder.iterdir()) == []


KEYS = st.sampled_from(["low", "high", "log", "step"])
entries = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text | KEYS, inner, max_size=4),
    max_leaves=8,
)
SPACES = st.sampled_from(["core", "extended"])
names = st.sampled_from([
    "lr", "max_norm", "encoding", "forget_bias", "start_length", "hidden_dim", "input_length",
    "seed", "",
])  # fmt: skip
contents = st.one_of(
    st.binary(max_size=200),
    text.map(str.encode),
    st.dictionaries(names | text, entries, max_size=4).map(
        lambda table: json.dumps(table).encode()
    ),
    st.sampled_from(
        [
            b"[" * 50_000,
            b"lr: &a [*a]",
            b"lr = 2020-01-01",
            b"\xff\xfe",
            b"lr: 1\nlr: 2",
            b"? [a]\n: 1",
            b"a: !!python/x y",
        ]
    ),
)


@given(
    content=contents, suffix=st.sampled_from([".toml", ".yaml", ".yml", ".json", ""]), space=SPACES
)
@fuzzed
def test_space_files(
    content: bytes, suffix: str, space: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("space") / f"space{suffix}"
    file.write_bytes(content)
    refusal(lambda: lstm_task(parse(LSTMOptions, ["--space", space, "--space-file", str(file)])))


@given(
    seed=st.integers(0, 2**32),
    name=st.sampled_from(["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]),
)
@fuzzed
def test_data_files(seed: int, name: str, small_data: Path) -> None:
    """Bytes of an IDX file cut, changed or added: it is read, or refused in one line."""
    file = small_data / "MNIST" / "raw" / name
    whole = file.read_bytes()
    file.write_bytes(damaged(whole, random.Random(seed)))
    said = "mnist"
    with contextlib.suppress(ImagesUnavailable):
        try:
            assert load_images("mnist", small_data).test_labels.max() <= 9
        except ImagesUnavailable as error:
            said = str(error)
            raise
        finally:
            file.write_bytes(whole)
    assert len(said.splitlines()) == 1
    assert "mnist" in said


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_idx(root / "MNIST" / "raw", load_images("digits", "nowhere"))
    return root


def damaged(content: bytes, draw: random.Random) -> bytes:
    """The content with bytes cut off, changed or added, more often early ones, where formats have
    their headers.
    """
    at = min(draw.randrange(len(content) + 1), draw.choice((8, 16, 200, len(content))))
    return draw.choice((
        content[:at],
        content[:at] + draw.randbytes(1) + content[at + 1 :],
        content[:at] + draw.randbytes(4) + content[at + 4 :],
        content + draw.randbytes(at),
        b"",
    ))  # fmt: skip


@pytest.fixture(scope="session")
def searched_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with twelve ended trials and one in flight."""
    folder = tmp_path_factory.mktemp("searched")
    options = LSTMOptions(name="run", storage_path=str(folder), input_length=4, max_steps=1000)
    searched = Searched(options, lstm_task(options))
    searched.search(12)
    searched.hand_out("in flight")
    return folder


def trials(run: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(run)): file.read_bytes()
        for file in run.glob("trial_*/*")
        if file.is_file()
    }


@given(seed=st.integers(0, 2**32))
@fuzzed
def test_run_folders(
    seed: int, searched_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Files of a run cut, changed, deleted, swapped or replaced: it continues or is refused, and no
    ended trial is touched.
    """
    draw = random.Random(seed)
    storage = tmp_path_factory.mktemp("runs") / "runs"
    shutil.copytree(searched_run, storage)
    run = storage / "run"
    for _ in range(draw.randint(1, 3)):
        damage_a_file(run, draw)
    before = trials(run)
    ended = {
        name.partition("/")[0] for name, content in before.items() if name.endswith("result.json")
    }
    numbers: list[int] = []

    def go_on() -> None:
        options = parse(LSTMOptions, ["--resume", "--name", "run", "--storage-path", str(storage)])
        again = Searched(options, lstm_task(options))
        numbers.extend(again.search(2))

    line = refusal(go_on)
    after = trials(run)
    unread = {
        name
        for name, content in before.items()
        if name.endswith("trial.json") and not readable(content)
    }
    kept = {
        name: content
        for name, content in before.items()
        if name.partition("/")[0] in ended and name not in unread
    }
    assert {name: after.get(name) for name in kept} == kept, line
    assert not {f"trial_{number:04d}" for number in numbers} & ended, line
    if line:
        assert after == before


def readable(record: bytes) -> bool:
    try:
        return isinstance(TrialRecord(**json.loads(record)).config, dict)
    except (ValueError, TypeError):
        return False


def damage_a_file(run: Path, draw: random.Random) -> None:
    files = [file for file in sorted(run.rglob("*")) if file.is_file() and file.name != ".lock"]
    file = draw.choice(
        [file for file in files if file.parent == run] if draw.random() < 0.4 else files
    )
    match draw.randrange(5):
        case 0:
            file.unlink()
        case 1:
            shutil.copyfile(
                draw.choice(files) if draw.random() < 0.5 else file,
                file.with_name(f"{file.name}.bak"),
            )
        case 2:
            file.write_text(
                json.dumps(
                    draw.choice(([], {}, None, 7, {"number": 1}, {"config": {}}, {"format": 1}))
                )
            )
        case _:
            file.write_bytes(damaged(file.read_bytes(), draw))
