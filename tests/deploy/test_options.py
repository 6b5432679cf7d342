"""Every search that a file of deploy/ starts, or that it or a page tells the reader to start on a
cluster, has options that its script takes."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from command_line import read_arguments
from tests.conftest import ROOT
from tune_gan import GANOptions
from tune_lstm import LSTMOptions
from tuning.options import SearchOptions

SCRIPTS: dict[str, type[SearchOptions]] = {"tune_lstm.py": LSTMOptions, "tune_gan.py": GANOptions}
FILES = [*sorted((ROOT / "deploy").iterdir()), *sorted((ROOT / "docs").rglob("*.md"))]


def text_of(file: Path) -> str:
    """Without the marks of comments; a line that a backslash continues is one line."""
    text = re.sub(r"^ *#+ ?", "", file.read_text("utf-8"), flags=re.MULTILINE)
    return re.sub(r" *\\\n *", " ", text)


STARTS = re.compile(
    r"(?:ray job submit .*?-- |docker run .*? )python (?P<script>tune_\w+\.py) (?P<arguments>.+)"
    r"|(?:SCRIPT=(?P<chosen>\S+) )?sbatch .*?deploy/slurm\.sh (?P<options>.+)"
)


def searches_in(file: Path) -> list[tuple[str, list[str]]]:
    """The script and the arguments of every search that a line starts on a cluster.

    Lines with an ellipsis are forms, not commands.
    """
    found = [STARTS.search(line) for line in text_of(file).splitlines() if "…" not in line]
    return [
        (
            one["script"] or one["chosen"] or "tune_lstm.py",
            shlex.split((one["arguments"] or one["options"]).partition("`")[0]),
        )
        for one in found
        if one
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_search_has_options_that_its_script_takes(file: Path) -> None:
    for script, arguments in searches_in(file):
        read_arguments(SCRIPTS[script], arguments)


def test_the_searches_of_the_files_are_found() -> None:
    found = {file.name: len(searches_in(file)) for file in FILES if file.parent.name == "deploy"}
    assert {name for name, count in found.items() if count} == {
        "Dockerfile",
        "runtime_env.yaml",
        "slurm.sh",
    }


def test_the_job_of_kuberay_has_options_that_its_script_takes() -> None:
    job = yaml.safe_load((ROOT / "deploy/kuberay-rayjob.yaml").read_text("utf-8"))
    python, script, *arguments = shlex.split(job["spec"]["entrypoint"])
    options = read_arguments(SCRIPTS[script], arguments)
    assert python == "python"
    assert options.resume_or_start
    assert options.storage_path == "s3://my-bucket/runs"


def test_the_search_of_the_slurm_script_has_options_that_its_script_takes() -> None:
    (line,) = re.findall(
        r'^python "\$\{SCRIPT.*\}" (.*) &$', text_of(ROOT / "deploy/slurm.sh"), re.M
    )
    arguments = shlex.split(line.replace('"$@"', "--num-samples 200 --name mine"))
    options = read_arguments(LSTMOptions, arguments)
    assert options.resume_or_start
    assert options.name == "mine"  # what is given after the script's own options holds
    assert options.num_samples == 200
