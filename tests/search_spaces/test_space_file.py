"""A file of changes to a space: what it says, and which files and entries are refused."""

import os
from pathlib import Path

import pytest

from command_line import UsageError
from search_spaces.set_syntax import override_text, parse_overrides
from search_spaces.space_file import read_space_file


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content)
    return path


TOML = """
    lr = {low = 1e-4, high = 1e-1, log = true}
    max_norm = 0.1
    beta1 = [0.0, 0.5]
    loss = "hinge"
    [n]
    low = 1
    high = 9
    step = 2
"""
YAML = """
    lr: {low: 1e-4, high: 1.0e-1, log: true}
    max_norm: 0.1
    beta1: [0.0, 0.5]
    loss: hinge
    n:
        low: 1
        high: 9
        step: 2
"""


@pytest.mark.parametrize(("name", "content"), [("s.toml", TOML), ("s.yaml", YAML), ("s.yml", YAML)])
def test_says_the_same_as_the_command_line(name: str, content: str, tmp_path: Path) -> None:
    read = read_space_file(write(tmp_path, name, content))
    same = ("lr=0.0001..0.1:log", "max_norm=0.1", "beta1=0,0.5", "loss=hinge", "n=1..9:step=2")
    assert read == parse_overrides(same)
    assert tuple(override_text(name, value) for name, value in read.items()) == same


def test_true_false_and_none_are_words(tmp_path: Path) -> None:
    read = read_space_file(write(tmp_path, "s.yaml", "a: true\nb: [null, none, No]\n"))
    assert read == {"a": ("true",), "b": ("none", "none", "false")}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.json", "{}", "--space-file takes a .toml, .yaml or .yml file"),
        ("s.toml", "lr = = 1", "cannot be read"),
        ("s.yaml", "lr: [1, 2", "cannot be read"),
        ("s.yaml", "- lr", "must give each parameter by its name"),
        ("s.yaml", "1: 2", "must give each parameter by its name"),
        (
            "s.toml",
            "lr = {low = 1, hihg = 2}",
            "lr: a range has low, high and perhaps log and step, got low, hihg",
        ),
        ("s.toml", "lr = {low = 1}", "lr: a range has low, high"),
        ("s.toml", "lr = {low = 1, high = nan}", "lr: nan is not a finite number"),
        ("s.toml", "lr = {low = true, high = 2}", "lr: True is not a finite number"),
        (
            "s.toml",
            "lr = {low = 1, high = 2, log = 'yes'}",
            "lr: log is true or false, got yes",
        ),
        (
            "s.toml",
            "lr = []",
            "lr: takes a value, a list of values, or a range with low and high",
        ),
        ("s.toml", "lr = [[1]]", "lr: takes a value"),
        ("s.toml", "lr = " + 5_000 * "[", "cannot be read: it is nested too deeply"),
        ("s.yaml", "lr: " + 5_000 * "[", "cannot be read: it is nested too deeply"),
        (
            "s.yaml",
            "a: &a [1, 1]\nb: &b [*a, *a]",
            "cannot be read: it has an alias (*name): write the value itself",
        ),
        ("s.yaml", "a: &a\n  - *a", "it has an alias"),
        ("s.yaml", "lr: 1\nlr: 2", "cannot be read: lr is there twice"),
        ("s.toml", "lr = 1\nlr = 2", "cannot be read"),
        ("s.yaml", "lr: 2026-01-01", "lr: takes a value"),
        ("s.yaml", "lr: {low: 1, high: 1" + 400 * "0" + "}", "lr: 1000"),
        ("s.yaml", "lr: 1" + 5_000 * "0", "cannot be read"),
        (
            "s.yaml",
            "lr: " + 200_000 * "1",
            "it has 200,004 bytes, more than 100,000",
        ),
        ("s.yaml", "lr: [[" + 30_000 * "1," + "]]", "lr: takes a value"),
        ("s.toml", "lr = 2026-01-01", "lr: takes a value"),
        (
            "s.toml",
            "loss = 'hinge,least-squares'",
            "loss: hinge,least-squares cannot be a value",
        ),
    ],
)
def test_refused(name: str, content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        read_space_file(write(tmp_path, name, content))
    assert message in str(refused.value)
    assert name in str(refused.value)
    assert len(str(refused.value)) < 600


def test_a_file_that_never_ends_or_is_no_text_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "device.yaml").symlink_to("/dev/zero")
    (tmp_path / "binary.yaml").write_bytes(b"lr: \xff\xfe")
    with (tmp_path / "huge.toml").open("wb") as huge:
        huge.truncate(10**9)
    messages = {
        "folder.toml": "it is a folder",
        "pipe.toml": "it is not a regular file",
        "device.yaml": "it is not a regular file",
        "binary.yaml": "it is not text in UTF-8",
        "huge.toml": "it has 1,000,000,000 bytes",
        "gone.toml": "No such file or directory",
        "x" * 300 + ".toml": "File name too long",
    }
    for name, message in messages.items():
        with pytest.raises(UsageError, match=message):
            read_space_file(tmp_path / name)


def test_a_missing_file_and_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.toml cannot be read: No such file"):
        read_space_file(tmp_path / "gone.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        read_space_file(tmp_path / "bytes.toml")
