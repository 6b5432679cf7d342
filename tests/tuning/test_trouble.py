"""One line for errors that nobody foresaw."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tuning.trouble import Trouble, words, write_traceback


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Trouble("the disk is full"), "the disk is full"),
        (KeyError("encoding"), "unexpected KeyError: 'encoding'"),
        (ValueError("one\n  two"), "unexpected ValueError: one two"),
        (MemoryError(), "unexpected MemoryError"),
    ],
)
def test_an_error_in_one_line(error: Exception, line: str) -> None:
    assert words(error) == line


def test_the_traceback_is_in_a_file(tmp_path: Path) -> None:
    with pytest.raises(KeyError) as caught:
        dict[str, int]()["größe \udcff"]
    assert write_traceback(caught.value, tmp_path / "failure.txt")
    assert not write_traceback(caught.value, tmp_path / "missing" / "failure.txt")
    text = (tmp_path / "failure.txt").read_text(encoding="utf-8")
    assert "Traceback" in text
    assert "größe" in text


@pytest.mark.ray
@pytest.mark.parametrize(
    "script", ["tune_lstm.py", pytest.param("tune_gan.py", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            "ModuleNotFoundError(\"No module named 'torch'\", name='torch')",
            "cannot import torch (No module named 'torch')",
        ),
        pytest.param(
            "ImportError('libtorch_cpu.so: gone', name='torch')",
            "cannot import torch (libtorch_cpu",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_broken_installation_is_one_line(
    tmp_path: Path, script: str, error: str, said: str
) -> None:
    (tmp_path / "torch.py").write_text(f"raise {error}")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, str(ROOT / script), "--name", "broken"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert said in line
    assert "make setup" in line
    assert not (tmp_path / "runs" / "broken").exists()


@pytest.mark.ray
def test_any_other_error_is_one_line_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('a library is cut off')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, str(ROOT / "tune_lstm.py"), "--name", "broken"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("tune_lstm.py: unexpected OSError: a library is cut off (")
    assert "torch.py:1)" in line
