"""deploy/runtime_env.yaml: the versions of requirements.txt, and a folder that Ray can upload."""

import tomllib
import zipfile
from pathlib import Path

import yaml
from ray._private.runtime_env.packaging import create_package
from ray.runtime_env import RuntimeEnv

from tests.conftest import ROOT
from tests.support.pins import PINS, pins_in

TEXT = (ROOT / "deploy/runtime_env.yaml").read_text("utf-8")
CONFIG = yaml.safe_load(TEXT)
ON_THE_NODES = {"ray", "torch", "torchvision"}


def test_it_has_every_package_of_a_search_in_the_pinned_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    needed = {
        one.partition("[")[0]
        for one in (*project["dependencies"], *extras["samplers"], *extras["cluster"])
    }
    assert pins_in(TEXT) == {name: PINS[name] for name in needed - ON_THE_NODES}


def test_ray_accepts_it() -> None:
    RuntimeEnv(**CONFIG)


def test_the_uploaded_folder_has_the_project_and_is_small(tmp_path: Path) -> None:
    package = tmp_path / "package.zip"
    create_package(
        str(ROOT),
        package,
        include_gitignore=True,
        include_parent_dir=False,
        excludes=CONFIG["excludes"],
    )
    with zipfile.ZipFile(package) as file:
        names = {name.partition("/")[0] for name in file.namelist()}
    assert names >= {"tune_lstm.py", "tune_gan.py", "command_line.py", "tuning", "records"}
    assert not names & {".git", ".venv", "data", "docs", "runs", "tests"}
    assert package.stat().st_size < 10 * 2**20  # Ray's limit is 100 MiB
