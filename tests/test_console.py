"""Consoles that cannot take what is printed, encodings that are not UTF-8, and folders with odd
names."""

import json
import os
import re
import shlex
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.conftest import ROOT, environment
from tests.reports.conftest import page_of_run

pytestmark = pytest.mark.ray

SCRIPTS = (
    "tune_lstm.py",
    "tune_gan.py",
    "reports/build.py",
    "benchmarks/report.py",
    "benchmarks/trial_overhead.py",
)

BROKEN = {
    "reader gone": "{command} 2>&1 | true; exit ${{PIPESTATUS[0]}}",
    "reader takes a line": "{command} 2>err | head -1; exit ${{PIPESTATUS[0]}}",
    "no stdout": "{command} 2>err >&-",
    "no stderr": "{command} 2>&-",
    "no stream at all": "{command} <&- >&- 2>&-",
    "stdout full": "{command} 2>err >/dev/full",
    "stderr full": "{command} 2>/dev/full",
    "ascii": "PYTHONIOENCODING=ascii {command} 2>err",
    "latin-1": "PYTHONIOENCODING=latin-1 {command} 2>err",
    "C locale": "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 {command} 2>err",
    "a column": "COLUMNS=1 {command} 2>err",
    "no terminal": "env -u TERM NO_COLOR=1 {command} 2>err",
}


slow = pytest.mark.slow


def ways(*quick: str) -> list[ParameterSet]:
    """All broken consoles; those that are not among the quick ones are slow."""
    return [pytest.param(how, marks=() if how in quick else slow) for how in BROKEN]


def shell(line: str, cwd: Path) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        ["bash", "-c", line],
        cwd=cwd,
        env={**environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=400,
        check=False,
    )


def command(script: str, *arguments: str) -> str:
    return shlex.join([sys.executable, str(ROOT / script), *arguments])


@pytest.mark.parametrize("how", ways("reader takes a line", "no stdout", "ascii"))
def test_help_ends_quietly(how: str, tmp_path: Path) -> None:
    result = shell(BROKEN[how].format(command=command("tune_lstm.py", "--help")), tmp_path)
    assert result.returncode == 0
    assert result.stderr == b""
    assert not (tmp_path / "err").exists() or (tmp_path / "err").read_bytes() == b""


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_ends_quietly(script: str, tmp_path: Path) -> None:
    result = shell(
        BROKEN["reader takes a line"].format(command=command(script, "--help")), tmp_path
    )
    assert result.returncode == 0
    assert result.stdout.startswith(b"usage: ")
    assert (tmp_path / "err").read_bytes() == b""


@pytest.mark.parametrize("how", ways("reader gone", "no stderr", "C locale"))
def test_a_refusal_keeps_its_status(how: str, tmp_path: Path) -> None:
    result = shell(
        BROKEN[how].format(command=command("tune_lstm.py", "--name", "ü/\udcff")), tmp_path
    )
    assert result.returncode == 2
    assert b"Traceback" not in result.stdout + result.stderr


@pytest.mark.parametrize(
    "how", ["ascii", pytest.param("latin-1", marks=slow), "C locale", "a column"]
)
def test_a_refusal_has_the_same_words_everywhere(how: str, tmp_path: Path) -> None:
    for arguments, words in (
        (("--seed", "q"), b"--seed takes a whole number, got 'q'"),
        (("--nope",), b"Unrecognized options: --nope"),
        (
            ("--time-budget", "x" * 60),
            b"--time-budget takes a time such as 90s, 30m or 2h, got " + b"x" * 60,
        ),
    ):
        shell(BROKEN[how].format(command=command("tune_lstm.py", *arguments)), tmp_path)
        assert (tmp_path / "err").read_bytes() == b"tune_lstm.py: error: " + words + b"\n"


WORK = """
import sys
from pathlib import Path
from command_line import run_script

def main():
    for line in range(5000):
        print("würde", line)
        print("→ \\udcff", line, file=sys.stderr)
    Path("done").write_text("done", encoding="utf-8")
    return {status}

run_script(main)
"""


@pytest.mark.parametrize("status", [0, 1, 130])
@pytest.mark.parametrize("how", BROKEN)
def test_whatever_becomes_of_the_console_the_work_is_done(
    how: str, status: int, tmp_path: Path
) -> None:
    (tmp_path / "work.py").write_text(WORK.format(status=status), encoding="utf-8")
    result = shell(BROKEN[how].format(command=shlex.join([sys.executable, "work.py"])), tmp_path)
    assert result.returncode == status
    assert (tmp_path / "done").exists()
    assert b"Traceback" not in result.stdout + result.stderr
    assert b"Exception ignored" not in result.stdout + result.stderr


def test_a_console_prints_what_it_can_and_file_names_byte_by_byte(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(WORK.format(status=0), encoding="utf-8")
    result = shell(f"PYTHONIOENCODING=ascii {shlex.join([sys.executable, 'work.py'])}", tmp_path)
    assert result.stdout.splitlines()[7] == b"w?rde 7"
    assert result.stderr.splitlines()[7] == b"? \xff 7"


def test_a_folder_that_is_gone_is_said_in_one_line(tmp_path: Path) -> None:
    result = shell(
        f"mkdir gone; cd gone; rmdir ../gone; {command('tune_lstm.py', '--seed', '1')}", tmp_path
    )
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert b"current folder has been removed" in result.stderr


def test_every_file_that_is_opened_as_text_says_in_which_encoding() -> None:
    """What ruff's PLW1514 asks for, which is still a preview; and subprocesses beside."""
    ruff = [
        str(Path(sys.executable).parent / "ruff"),
        "check",
        "--preview",
        "--select",
        "PLW1514",
        "--isolated",
        "--no-cache",
    ]
    places = [
        "command_line.py",
        "tune_lstm.py",
        "tune_gan.py",
        "search_spaces",
        "trainables",
        "tuning",
        "reports",
        "benchmarks",
    ]
    result = subprocess.run(
        [*ruff, *places, "docs"], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert result.returncode == 0, result.stdout
    sources = [
        file
        for place in places
        for file in [ROOT / place, *(ROOT / place).rglob("*.py")]
        if file.is_file()
    ]
    assert [
        file
        for file in sources
        if re.search(r"text=True|universal_newlines", file.read_text(encoding="utf-8"))
    ] == []


ODD = "a 'b' \"c\" ü?x=1#y%20[z]*{SCHEMA_VERSION} -$HOME`id`;"


@pytest.fixture(scope="module")
def odd_search(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, subprocess.CompletedProcess[bytes]]:
    """A search in a folder with every odd character, whose stderr is a pipe that nobody reads."""
    folder = tmp_path_factory.mktemp("odd") / ODD
    folder.mkdir()
    arguments = shlex.split(
        "--input-length 4 --max-steps 300 --num-samples 3 --confirm 1 --no-dashboard"
    )
    arguments += ["--storage-path", f"./-runs {ODD}", "--name", "odd"]
    return folder, shell(f"{command('tune_lstm.py', *arguments)} 2> >(true)", folder)


@pytest.mark.slow
def test_a_search_whose_console_is_gone_and_whose_folder_is_odd_is_whole(
    odd_search: tuple[Path, "subprocess.CompletedProcess[bytes]"],
) -> None:
    folder, result = odd_search
    run = folder / f"-runs {ODD}" / "odd"
    assert result.returncode == 0, result.stderr
    assert json.loads((run / "search.json").read_bytes())["sessions"][-1]["how"] == "finished"
    assert (run / "optuna.db").stat().st_size > 0
    assert len(list(run.glob("trial_*/result.json"))) == 3
    assert sorted(file.name for file in folder.iterdir()) == [run.parent.name]
    assert sorted(file.name for file in folder.parent.iterdir()) == [ODD]


@pytest.mark.slow
def test_each_command_that_is_printed_can_be_pasted(
    odd_search: tuple[Path, "subprocess.CompletedProcess[bytes]"], tmp_path: Path
) -> None:
    folder, result = odd_search
    run = folder / f"-runs {ODD}" / "odd"
    search = json.loads((run / "search.json").read_bytes())
    printed = re.findall(
        r"(?:Try: |next +)(python .*?)(?=\n(?:[A-Z]+\d\d|run|next) |\Z)",
        result.stdout.decode(),
        re.DOTALL,
    )
    page = page_of_run(run, tmp_path)
    on_pages = [
        page,
        *(file.read_text(encoding="utf-8") for file in tmp_path.rglob("trials/*.html")),
    ]
    shown = [
        unescape(code)
        for text in on_pages
        for code in re.findall(r"<pre[^>]*><code>(python .*?)\n?</code></pre>", text, re.DOTALL)
    ]
    recorded = search["sessions"][0]["command"]
    assert len(printed) >= 1
    assert len(shown) >= 4
    for one in [*printed, *shown, recorded]:
        words = shlex.split(one)
        assert words[0] == "python"
        assert (folder / words[1]).resolve().is_relative_to(ROOT)
        if "--storage-path" in words:
            place = words[words.index("--storage-path") + 1]
            assert one in printed or place == f"./-runs {ODD}"
    assert any(shlex.split(one)[1:3] == [shlex.split(recorded)[1], "--resume"] for one in shown)
    follow = printed[-1].replace("python", shlex.quote(sys.executable), 1)
    assert "reports/build.py" in follow
    assert shell(follow, folder).returncode == 0
    assert "odd" in (folder / "reports" / "site" / "index.html").read_text(encoding="utf-8")


def test_no_file_of_the_project_is_read_in_the_locales_encoding(tmp_path: Path) -> None:
    """A report of text that is not ASCII, in the C locale."""
    assert os.fsdecode("ü".encode()) == "ü"
    (tmp_path / "work.py").write_text(
        "from pathlib import Path\nfrom records.run_directory import write_json, read_json\n"
        "write_json(Path('a.json'), {'known': '×'})\n"
        "assert read_json(Path('a.json')) == {'known': '×'}\n"
        "from search_spaces.space_file import read_space_file\n"
        "Path('s.toml').write_bytes('a = \"×\"'.encode())\n"
        "print(ascii(read_space_file(Path('s.toml'))))\n",
        encoding="utf-8",
    )
    result = shell(
        BROKEN["C locale"].format(command=shlex.join([sys.executable, "work.py"])), tmp_path
    )
    assert result.returncode == 0, (tmp_path / "err").read_bytes()
