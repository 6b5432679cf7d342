"""Every command that the README, the docs, the Makefile and the benchmarks name: its program takes
these options, and a small version of it runs, here or in the test that ``ELSEWHERE`` names.
"""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from benchmarks import checks, early_stopping, gan_step, lstm_step, report, search, trial_overhead
from command_line import read_arguments
from docs import pictures
from reports.build import ReportOptions
from tests.conftest import ROOT, OneSearch
from tests.conftest import run as run_script
from tests.support.postgres import Postgres
from tune_gan import GANOptions
from tune_lstm import LSTMOptions

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
SCRIPTS = [*sorted((ROOT / "benchmarks").glob("*.py")), ROOT / "docs/pictures.py"]

OPTIONS: dict[str, type] = {
    "tune_lstm.py": LSTMOptions,
    "tune_gan.py": GANOptions,
    "reports/build.py": ReportOptions,
    "docs/pictures.py": pictures.Options,
    "benchmarks.checks": checks.Options,
    "benchmarks.early_stopping": early_stopping.Options,
    "benchmarks.gan_step": gan_step.Options,
    "benchmarks.lstm_step": lstm_step.Options,
    "benchmarks.report": report.Options,
    "benchmarks.search": search.Options,
    "benchmarks.trial_overhead": trial_overhead.Options,
}
"""The options of each program, by its path or module."""

SMALL = {
    "tune_lstm.py": "--num-samples 2 --input-length 3 --max-steps 200 --confirm 1",
    "tune_gan.py": "--num-samples 2 --dataset digits --max-steps 20 --final-steps 20 --confirm 1",
    "examples/modular_addition/tune.py": "--num-samples 2 --max-steps 100 --confirm 1",
}
"""What makes a search small, by its script."""

ELSEWHERE = {
    "--address": "tests/test_docs.py::"
    "test_the_commands_of_the_cluster_page_make_a_token_two_nodes_and_a_search",
    "~/my_training/tune.py": "examples/modular_addition/test_modular_addition.py::"
    "test_its_search_is_killed_resumed_confirmed_and_reported",
    "~/my_training": "tests/test_commands.py::test_a_copys_test_runs_with_the_projects_settings",
    "docs.options": "tests/test_docs.py::test_the_options_are_those_of_the_programs",
    "docs/pictures.py": "tests/test_commands.py::test_the_pictures_are_made_from_both_runs",
    "reports/build.py": "tests/tuning/test_one_training.py::"
    "test_a_trial_of_a_search_is_repeated_in_this_process_by_its_record",
    "benchmarks.": "tests/benchmarks/test_runs.py::",
}
"""The tests that run a command, by a word of the command or its beginning."""


class Command(NamedTuple):
    """A command of the project: the variables before it, its program and its arguments."""

    variables: dict[str, str]
    program: str
    arguments: list[str]

    @property
    def flags(self) -> tuple[str, ...]:
        """Its options, without those that a small version replaces."""
        flags = {word.partition("=")[0] for word in self.arguments if word.startswith("--")}
        replaced = {"--name", *SMALL.get(self.program, "").split()}
        return tuple(sorted(flags if "--resume" in flags else flags - replaced))


def code_in(text: str) -> list[str]:
    """The indented lines and the code in the sentences of a page, without comments."""
    text = text.replace("\\\n", "")  # a line goes on in the next one
    code = [*re.findall(r"^ {4}(.*)$", text, re.MULTILINE), *re.findall(r"`([^`]+)`", text)]
    return [" ".join(line.partition(" #")[0].split()) for line in code]


def parsed(line: str) -> Command | None:
    """The command of a line, which may follow the console's "next"; None if the line has none.

    Lines with an ellipsis or with optional parts in brackets are forms, not commands.
    """
    found = re.match(r"(?:next )?((?:[A-Z_]+=\S+ )*)(?:\S*/)?(python|make|ray) (.+)", line)
    if not found or "…" in line or "[" in line:
        return None
    variables = dict(one.split("=", 1) for one in found[1].split())
    if found[2] != "python":
        return Command(variables, found[2], shlex.split(found[3]))
    program, *arguments = shlex.split(found[3])
    if program == "-m":
        program, *arguments = arguments
    return Command(variables, program, arguments)


def commands_of(lines: Iterable[str]) -> list[Command]:
    return [command for line in lines if (command := parsed(line))]


def make(*arguments: str, cwd: Path = ROOT) -> str:
    """What ``make`` prints, also if these tests were started by ``make``."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    result = subprocess.run(
        ["make", *arguments], cwd=cwd, env=own, capture_output=True, text=True, check=True
    )
    return result.stdout


def recipe(target: str) -> list[str]:
    """The lines that ``make`` would run for a target, from nothing."""
    return make("-n", "-B", target).replace("\\\n", " ").splitlines()


TARGETS = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
DOCSTRINGS = [ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "" for path in SCRIPTS]
NAMED = commands_of(
    line for text in [*(page.read_text("utf-8") for page in PAGES), *DOCSTRINGS]
    for line in code_in(text)
)  # fmt: skip
HAS_MAKE = shutil.which("make") is not None
MADE = [one for target in TARGETS if HAS_MAKE for one in commands_of(recipe(target))]
needs_make = pytest.mark.skipif(not HAS_MAKE, reason="make is not installed")


def searches() -> list[Command]:
    """The searches that are named, one of those with the same options."""
    found: dict[tuple[object, ...], Command] = {}
    for command in [*NAMED, *MADE]:
        if command.program in SMALL and "--address" not in command.arguments:
            found.setdefault((command.program, command.flags, *command.variables), command)
    return list(found.values())


def small(command: Command) -> list[str]:
    """The arguments of a small version of a search."""
    if "--resume" in command.arguments:
        return [*re.sub(r"(--num-samples) \d+", r"\1 3", shlex.join(command.arguments)).split()]
    given = SMALL[command.program]
    if "--train" in command.arguments:
        data = " --dataset digits" if command.program == "tune_gan.py" else ""
        given = f"--max-steps 200 --confirm 0{data}"
    return [*command.arguments, *given.split(), "--no-dashboard"]


def test_the_commands_are_found() -> None:
    programs = {command.program for command in [*NAMED, *MADE]}
    assert programs >= {*OPTIONS, *SMALL, "make", "ray", "pytest"}
    readme = [parsed(line) for line in code_in((ROOT / "README.md").read_text("utf-8"))]
    assert sum(one.program in OPTIONS for one in readme if one) > 12


def test_each_command_has_options_that_its_program_takes() -> None:
    for command in [*NAMED, *MADE]:
        if command.program in OPTIONS:
            needed = ["runs/one"] if command.program == "docs/pictures.py" else []
            read_arguments(OPTIONS[command.program], [*command.arguments, *needed])
        elif command.program == "make":
            targets = [word for word in command.arguments if "=" not in word]
            assert {*targets} <= {*TARGETS}
        elif command.program == "pytest":
            check_pytest(command.arguments)


def check_pytest(arguments: list[str]) -> None:
    """Markers, files and names of tests that a command of pytest has are there."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]
    markers = {line.partition(":")[0] for line in options["ini_options"]["markers"]}
    values = dict(pairwise(arguments))
    assert {*re.findall(r"\w+", values.get("-m", ""))} <= {*markers, "not", "and", "or"}
    files = [ROOT / word for word in arguments if word.endswith(".py")]
    named = re.compile(rf"def test_\w*{values.get('-k', '')}")
    assert all(named.search(file.read_text("utf-8")) for file in files)


def test_each_command_runs_in_a_test() -> None:
    for command in NAMED:
        words = [command.program, *command.arguments]
        found = [
            test for start, test in ELSEWHERE.items() for word in words if word.startswith(start)
        ]
        assert found or command.program in {*SMALL, "make", "ray", "pytest"}, command
    for test in ELSEWHERE.values():
        file, _, name = test.partition("::")
        assert f"def {name or 'test_'}" in (ROOT / file).read_text("utf-8"), test


@pytest.mark.slow
@pytest.mark.training
def test_a_copys_test_runs_with_the_projects_settings(tmp_path: Path) -> None:
    """Without them, pytest does not know the marker ``slow``, and runs what has it."""
    (command,) = (one for one in NAMED if "~/my_training" in one.arguments)
    copy = shutil.copytree(ROOT / "examples/modular_addition", tmp_path / "my_training")
    words = [str(copy) if word == "~/my_training" else word for word in command.arguments]
    result = subprocess.run(
        [sys.executable, "-m", command.program, *words, "-n", "0", "-k", "learns"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    assert "1 passed, 3 deselected" in result.stdout
    assert "Warning" not in result.stdout


INSTALLED = {"command_line", "records", "reports", "search_spaces", "trainables", "tuning"}


@pytest.mark.parametrize("program", ["docs/pictures.py", "reports/build.py"])
def test_a_script_that_is_run_by_its_path_imports_only_what_is_installed(program: str) -> None:
    own = {*OPTIONS, "benchmarks", "docs", "tests", "tune_lstm", "tune_gan"}
    tree = ast.parse((ROOT / program).read_text("utf-8"))
    found = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name.partition(".")[0] for name in found if name} & (own - INSTALLED)


KNOWN_RUN = ["--name", "lstm-T20"]


@pytest.fixture(scope="module")
def known_run(common: Path) -> OneSearch:
    """The run to which the README's other commands refer."""
    first = next(one for one in NAMED if one.arguments[-2:] == KNOWN_RUN)
    return OneSearch(common / "commands", "lstm-T20", first.program, *small(first))


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize(
    "command", searches(), ids=lambda c: " ".join([c.program, *c.variables, *c.flags])
)
def test_each_search_runs(
    command: Command,
    known_run: OneSearch,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if command.arguments[-2:] != KNOWN_RUN:  # the search that makes it
        shutil.copytree(known_run.folder / "runs", tmp_path / "runs")
    arguments = small(command)
    if "TUNE_OPTUNA_STORAGE" in command.variables:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.url(quote(postgres.password, safe=""))
        monkeypatch.setenv("TUNE_OPTUNA_STORAGE", url)
    result = run_script(command.program, *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "\nnext  " in result.stdout


@pytest.mark.slow
@pytest.mark.skipif(pictures.CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")
def test_the_pictures_are_made_from_both_runs(
    small_search: OneSearch, small_gan_search: OneSearch, tmp_path: Path
) -> None:
    runs = [small_search.path, small_gan_search.path]
    result = run_script("docs/pictures.py", *runs, "--output", tmp_path, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    kept = {path.name for path in (ROOT / "docs" / "pictures").iterdir()}
    assert {path.name for path in tmp_path.iterdir()} == kept


@needs_make
def test_make_help_lists_every_target() -> None:
    assert [line.split()[0] for line in make("help").splitlines()] == TARGETS


@needs_make
def test_make_clean_leaves_the_runs(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for folder in (".venv", ".venv-bench", "reports/site", "runs/lstm-T20", "reports/figures"):
        (tmp_path / folder).mkdir(parents=True)
    make("clean", cwd=tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left == {"Makefile", "reports", "reports/figures", "runs", "runs/lstm-T20"}


@needs_make
def test_make_setup_installs_the_pinned_torch_from_files_that_are_there() -> None:
    lines = [line for target in ("setup", "lint", "bench-search") for line in recipe(target)]
    installs = [shlex.split(line) for line in lines if "pip install" in line]
    pinned = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    assert installs
    for words in installs:
        files = [ROOT / file for flag, file in pairwise(words) if flag == "-r"]
        assert all(file.is_file() for file in files)
        assert {word for word in words if "==" in word} <= {*pinned}


@needs_make
@pytest.mark.parametrize("target", ["lint", "format"])
def test_make_lint_and_format_run_their_programs(target: str, tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("import os\nx = 1\n" if target == "format" else "x = 1\n")
    programs = [line for line in recipe(target) if re.search(r"bin/(ruff|mypy) ", line)]
    assert programs
    for line in programs:
        program, *arguments = shlex.split(line)
        assert arguments[-1] == "."
        path = Path(sys.executable).parent / Path(program).name
        subprocess.run([path, *arguments[:-1], str(tmp_path)], cwd=ROOT, check=True)
    assert (tmp_path / "one.py").read_text() == "x = 1\n"


@needs_make
@pytest.mark.slow
def test_make_test_fast_runs_the_tests_it_selects() -> None:
    (line,) = (line for line in recipe("test-fast") if "pytest" in line)
    command = parsed(line)
    assert command
    assert command.variables["FUZZ_EXAMPLES"] == "10"
    few = ["-n", "0", "tests/test_faults_page.py"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *command.arguments, *few],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
