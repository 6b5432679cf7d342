"""Real nodes on this machine: each has its own raylet.

A node that lacks something has its own mount namespace, too.
"""

import importlib.util
import re
import shutil
import signal
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.conftest import ROOT, run
from tests.support.environments import NODE, environment
from tests.support.nodes import ON_LOOPBACK, Cluster
from tests.support.processes import kill, named


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    started = Cluster()
    try:
        started.start()
        yield started
    finally:
        started.end()


def refusal(cluster: Cluster, folder: Path, *options: object, script: str = "tune_lstm.py") -> str:
    """The line with which a search is refused before its first trial; it leaves no run behind."""
    command = (
        "--address",
        cluster.address,
        *options,
        "--storage-path",
        folder / "runs",
        "--name",
        "refused",
    )
    result = run(script, *command, cwd=folder)
    assert result.returncode == 2, result.stdout
    (line,) = result.stderr.splitlines()
    assert not (folder / "runs/refused").exists()
    return line.removeprefix(f"{script}: error: ")


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ON_LOOPBACK.items():
        monkeypatch.setenv(name, value)


@pytest.mark.slow
def test_a_node_without_what_a_training_imports_is_named_with_the_remedy(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.join("bare", 2, python=environment(tmp_path / "bare", "ray", "torch"))
    assert refusal(cluster, tmp_path, "--cpus-per-trial", 2) == (
        "node 127.0.0.1 (bare): it cannot import ray.tune (Can't import ray.tune as some"
        ' dependencies are missing. Run `pip install "ray[tune]"` to fix.).'
        f" Install 'ray[tune]=={version('ray')}' there"
    )
    gan = ("--cpus-per-trial", 3, "--dataset", "digits")
    cluster.join("blind", 3, python=environment(tmp_path / "blind", *NODE))
    pillow = f"pillow=={version('pillow')}"
    assert refusal(cluster, tmp_path, *gan, script="tune_gan.py") == (
        "node 127.0.0.1 (blind): it cannot import trainables.gan.trainable (No module named 'PIL')."
        f" Install {pillow} there, or let Ray do so: --pip {pillow}"
    )


@pytest.mark.slow
def test_nodes_that_see_another_storage_or_an_old_copy_are_named(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "old/refused/.nodes").mkdir(parents=True)
    (tmp_path / "old/refused/.nodes/driver").write_text("an earlier word")
    (tmp_path / "runs").mkdir()
    for name in ("empty", "old"):
        cluster.join(name, 4, hidden={tmp_path / "runs": tmp_path / name})
    named = r"127\.0\.0\.1 \((empty|old)\)"
    assert re.fullmatch(
        rf"nodes {named}, {named}: it does not see what this machine writes in {tmp_path}/runs\."
        r" Choose a --storage-path that every node sees",
        refusal(cluster, tmp_path, "--cpus-per-trial", 4),
    )


@pytest.mark.slow
def test_a_node_that_can_only_read_the_storage_is_named(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    cluster.join("reader", 5, read_only=[tmp_path / "runs"])
    assert refusal(cluster, tmp_path, "--cpus-per-trial", 5) == (
        f"node 127.0.0.1 (reader): it cannot write in {tmp_path}/runs (Read-only file system)."
        " Choose a --storage-path that every node sees and can write in"
    )


@pytest.mark.slow
def test_a_node_without_the_memory_or_with_a_gpu_that_torch_cannot_use_is_named(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.join("poor", 6, gpus=1)
    assert re.fullmatch(
        r"a trial needs about [\d.]+ [A-Z]B of memory"
        r" and node 127\.0\.0\.1 \(poor\) has [\d.]+ .B free:"
        r" lower --set batch_size \(now up to 1e\+07\)",
        refusal(cluster, tmp_path, "--cpus-per-trial", 6, "--set", "batch_size=1e7"),
    )
    assert re.fullmatch(
        r"node 127\.0\.0\.1 \(poor\): it declares a GPU, but torch [\w.+]+ cannot use it there\."
        r" Install a torch that fits the node's GPU driver, start the node without the GPU,"
        r" or search with --gpus-per-trial 0",
        refusal(cluster, tmp_path, "--cpus-per-trial", 6, "--gpus-per-trial", 0.5),
    )


@pytest.mark.slow
def test_a_node_without_a_package_is_named(cluster: Cluster, tmp_path: Path) -> None:
    broken = tmp_path / "torch"
    broken.mkdir()
    (broken / "__init__.py").write_text(
        "raise ImportError('libtorch.so: cannot open shared object file')"
    )
    (place,) = importlib.util.find_spec("torch").submodule_search_locations  # type: ignore[union-attr,misc]
    cluster.join("torchless", 7, hidden={Path(place): broken})
    assert refusal(cluster, tmp_path, "--cpus-per-trial", 7) == (
        "node 127.0.0.1 (torchless): it cannot import torch"
        " (libtorch.so: cannot open shared object file)."
        f" Install torch=={version('torch')} there"
    )


@pytest.mark.slow
def test_a_node_that_does_not_answer_is_named(cluster: Cluster, tmp_path: Path) -> None:
    silent = cluster.join("silent", 8)
    raylets = named(silent.pid, "raylet/raylet")
    kill(raylets, signal.SIGSTOP)
    try:
        refused = refusal(cluster, tmp_path, "--cpus-per-trial", 8)
    finally:
        kill(raylets, signal.SIGCONT)
    assert refused == (
        "node 127.0.0.1 (silent): it does not answer. Look at the node with ray status, or stop it"
    )


@pytest.mark.slow
def test_a_search_without_the_clusters_token_is_told_to_look_for_it(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "f" * 64)
    address = cluster.address
    assert refusal(cluster, tmp_path) == (
        f"--address {address}: no Ray cluster can be joined there:"
        f" Failed to connect to Ray cluster at {address}."
        " Does this machine have the cluster's token? See docs/cluster.md"
    )


@pytest.mark.slow
def test_an_older_copy_of_the_project_on_a_node_is_not_used(
    cluster: Cluster, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(ROOT / "trainables", other)
    (other / "lstm/model.py").write_text("raise SystemExit")
    cluster.join("old", 9, hidden={ROOT / "trainables": other})
    here = ("--address", cluster.address, "--cpus-per-trial", 9, "--storage-path", tmp_path)
    small = ("--input-length", 3, "--max-steps", 100, "--num-samples", 2, "--confirm", 0)
    result = run("tune_lstm.py", *here, *small, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "2 trials: 2 used the whole budget" in result.stdout
