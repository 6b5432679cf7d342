"""Every import is declared, every declared package has a pinned version and a line that says what
it is for, and imports between the project's folders run one way.
"""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ROOMS = ("records", "reports", "search_spaces", "trainables", "tuning")
OWN = {
    *ROOMS, "docs", "command_line", "tests", "benchmarks", "tune_lstm", "tune_gan",
    *(file.stem for file in (ROOT / "examples").rglob("*.py")),
}  # fmt: skip
ELSEWHERE = {"syne_tune", "smac", "ConfigSpace"}
"""Imported by the benchmark of search strategies, from requirements-bench.txt."""


def name_of(requirement: str) -> str:
    return re.split(r"[\[=<>~ ]", requirement)[0].lower().replace("_", "-")


def imported(files: list[Path]) -> set[str]:
    """The top names of the modules that the files import, without the project's and Python's."""
    found: set[str] = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - OWN - ELSEWHERE - sys.stdlib_module_names


def python_files(*folders: str) -> list[Path]:
    return [*ROOT.glob("*.py"), *(file for one in folders for file in (ROOT / one).rglob("*.py"))]


def declared(*extras: str) -> set[str]:
    listed = [
        *PROJECT["dependencies"],
        *(one for extra in extras for one in PROJECT["optional-dependencies"][extra]),
    ]
    return {name_of(one) for one in listed}


@pytest.mark.parametrize(
    ("folders", "extras"),
    [
        (("records", "search_spaces", "trainables", "tuning", "examples"), ("dev",)),
        (("reports",), ("report",)),
        (("tests", "docs", "benchmarks"), ("report", "samplers", "cluster", "dev")),
    ],
)
def test_what_is_imported_is_declared(folders: tuple[str, ...], extras: tuple[str, ...]) -> None:
    distributions = {
        name: {one.lower().replace("_", "-") for one in found}
        for name, found in packages_distributions().items()
    }
    undeclared = {
        name
        for name in imported(python_files(*folders))
        if not distributions.get(name, {name}) & declared(*extras)
    }
    assert undeclared == set()


def test_what_is_declared_is_pinned() -> None:
    pinned = {
        name_of(line)
        for file in ROOT.glob("requirements*.txt")
        for line in file.read_text().splitlines()
        if "==" in line
    }
    assert declared("report", "samplers", "cluster", "dev") <= pinned


def test_what_is_pinned_is_explained() -> None:
    table = (ROOT / "docs" / "dependencies.md").read_text()
    for requirement in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["report"]]:
        assert re.search(rf"^\|.*\b{name_of(requirement)}\b.*\|.+\|.+\|$", table, re.MULTILINE), (
            requirement
        )


@pytest.mark.parametrize("room", ["records", "reports"])
def test_records_and_reports_import_neither_ray_nor_torch(room: str) -> None:
    files = [file.relative_to(ROOT).with_suffix("") for file in (ROOT / room).rglob("*.py")]
    modules = [".".join(file.parts).removesuffix(".__init__") for file in files]
    program = (
        f"import sys; [__import__(one) for one in {modules}]; "
        "print({'ray', 'torch'} & {*sys.modules})"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"


BELOW = {
    "records": {"search_spaces"},
    "search_spaces": set[str](),
    "trainables": {"records"},
    "tuning": {"records", "search_spaces", "trainables"},
    "reports": {"records", "search_spaces", "trainables"},
}
"""What each folder may import of the others."""


@pytest.mark.parametrize("room", ROOMS)
def test_imports_run_one_way(room: str) -> None:
    for file in (ROOT / room).rglob("*.py"):
        found = {
            node.module.partition(".")[0]
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom) and node.module
        }
        assert found & {*ROOMS} <= {room} | BELOW[room], file


def test_ray_and_optuna_stay_in_the_engine_room() -> None:
    for file in (ROOT / "tuning").glob("*.py"):
        assert not imported([file]) & {"ray", "optuna"}, file


def test_no_module_of_these_folders_names_an_experiment_but_its_own() -> None:
    own = ("lstm", "gan")
    examples = [file.parent.name for file in (ROOT / "examples").rglob("trainable.py")]
    others = "|".join(name.replace("_", ".?") for name in examples)
    for room in ROOMS:
        for file in (ROOT / room).rglob("*"):
            place = str(file.relative_to(ROOT))
            built = place.startswith("reports/site/")  # the reports of a user's own runs
            if file.suffix not in (".py", ".html", ".js") or built:
                continue
            if any(name in place for name in own):
                continue
            text = file.read_text(encoding="utf-8").lower()
            names = rf"\b(lstm|gan|palindromes?|mnist|tune_lstm|tune_gan|{others})\b"
            assert not re.search(names, text), file
