"""The documentation: its links lead to files, its lines are short, its options are those of the
programs, and the commands of the cluster page run. The other commands: test_commands.py.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from docs import options
from tests.conftest import ROOT
from tests.support.nodes import FREE_PORTS, RAY
from tests.support.processes import kill, started_in


def commands(page: str) -> list[str]:
    """The indented lines of a page."""
    return re.findall(r"^ {4}(\S.*)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.slow
def test_the_commands_of_the_cluster_page_make_a_token_two_nodes_and_a_search(
    tmp_path: Path,
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short enough for Ray's sockets
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ray").write_text(f"#!{sys.executable}\n{RAY}")
    (programs / "ray").chmod(0o755)
    here = {
        "10.0.0.1": "127.0.0.1",
        "6379": port,
        "/shared": str(tmp_path),
        "tune_lstm.py": str(ROOT / "tune_lstm.py"),
    }
    small = {
        "ray start": f" --node-ip-address 127.0.0.1 --num-cpus 1 {' '.join(map(str, FREE_PORTS))}",
        "ray start --head": f" --temp-dir {folder}/ray --include-dashboard false",
        "python": " --num-samples 2 --input-length 3 --max-steps 200 --confirm 0",
    }
    script = ["set -e"]
    for command in commands("docs/cluster.md"):
        shortened = command + "".join(
            more for start, more in small.items() if command.startswith(start)
        )
        for there, place in here.items():
            shortened = shortened.replace(there, place)
        script.append(
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 " * shortened.startswith("python") + shortened
        )
    variables = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    variables |= {"PATH": path, "HOME": str(tmp_path), "RAY_USAGE_STATS_ENABLED": "0"}
    log = tmp_path / "log"
    with log.open("wb") as out:  # a pipe would stay open as long as the nodes run
        shell = subprocess.Popen(
            ["sh", "-c", "\n".join(script)], cwd=tmp_path, env=variables, stdout=out, stderr=out
        )
    try:
        status, said = shell.wait(timeout=400), log.read_text()
        assert status == 0, said
        assert "2 at once on 2 nodes at 127.0.0.1:" in said
        assert "2 trials: 2 used the whole budget" in said
        assert (tmp_path / ".ray/auth_token").stat().st_size >= 32
    finally:
        shell.kill()
        kill(started_in(folder))
        shutil.rmtree(folder, ignore_errors=True)


PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [*re.findall(r"\]\(([^)#\s]+)[^)]*\)", text), *re.findall(r'src="([^"]+)"', text)]
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_the_index_leads_to_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = [
        str(page.relative_to(ROOT / "docs"))
        for page in (ROOT / "docs").rglob("*.md")
        if page.name != "README.md"
    ]
    assert [page for page in pages if f"]({page})" not in index] == []


def test_the_options_are_those_of_the_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "FILE", tmp_path / "options.md")
    options.main()
    assert options.FILE.read_bytes() == (ROOT / "docs" / "options.md").read_bytes()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_are_at_most_100_columns_wide(page: Path) -> None:
    """Tables, pictures and what a program prints keep their lines."""
    lines = page.read_text(encoding="utf-8").splitlines()
    prose = [line for line in lines if not line.startswith(("|", "    ", "!["))]
    assert [line for line in prose if len(line) > 100] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130
