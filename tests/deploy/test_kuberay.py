"""deploy/kuberay-rayjob.yaml: KubeRay's own schema accepts it, and its job runs as KubeRay would
start it.

``tests/support/kuberay-1.6.2-rayjob.json.gz`` is the OpenAPI schema of RayJob v1 of KubeRay 1.6.2
(Apache License 2.0), unchanged; its first entry says where it is from.
"""

import copy
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.conftest import ROOT, environment
from tests.support.nodes import FREE_PORTS, ON_LOOPBACK, RAY
from tests.support.pins import PINS
from tests.support.processes import kill, started_in
from tests.support.slurm import free_ports

SCHEMA = json.loads(
    gzip.decompress((ROOT / "tests/support/kuberay-1.6.2-rayjob.json.gz").read_bytes())
)
JOB: dict[str, Any] = yaml.safe_load((ROOT / "deploy/kuberay-rayjob.yaml").read_text("utf-8"))
SPEC = JOB["spec"]
CLUSTER = SPEC["rayClusterSpec"]


def strict(schema: Any) -> Any:
    """``schema``, in which an object has no other fields than those named, as for ``kubectl
    apply``."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(one) for name, one in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


VALIDATOR = Draft202012Validator(strict(SCHEMA))


def problems(job: dict[str, Any]) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(job)]


def test_kuberays_schema_accepts_the_job() -> None:
    assert problems(JOB) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "backoffLimits"), 3),
        (("spec", "backoffLimit"), "three"),
        (("spec", "rayClusterSpec", "authOptions", "mode"), "tokens"),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"), 0),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "container"), []),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else repr(value),
)
def test_the_schema_refuses_a_mistake(path: tuple[str, ...], value: object) -> None:
    job = copy.deepcopy(JOB)
    place = job
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    assert len(problems(job)) == 1


def test_what_kuberay_asks_beyond_its_schema() -> None:
    """Source: ray-operator/controllers/ray/utils/validation.go of KubeRay 1.6.2."""
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,45}[a-z0-9])?", JOB["metadata"]["name"])
    assert CLUSTER["authOptions"] == {"mode": "token"}
    assert CLUSTER["rayVersion"] == PINS["ray"]
    assert SPEC["shutdownAfterJobFinishes"]
    groups = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]
    assert all("restartPolicy" not in group["template"]["spec"] for group in groups)
    for group in CLUSTER["workerGroupSpecs"]:
        assert 1 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_every_pod_has_the_same_image_and_only_the_head_the_databases_url() -> None:
    head, worker = (
        group["template"]["spec"]["containers"][0]
        for group in (CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"])
    )
    assert head["image"] == worker["image"]
    names = [{one["name"] for one in container["env"]} for container in (head, worker)]
    assert names[0] - names[1] == {"TUNE_OPTUNA_STORAGE"}


class Pods:
    """The head and one worker of the job's cluster on this machine, and its submitter: they run
    what KubeRay's pods run, in the project's folder, as in the image.

    Source: ray-operator/controllers/ray/common/pod.go and job.go of KubeRay 1.6.2.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short enough for Ray's sockets
        port, self.dashboard = free_ports(2)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = {**environment(), **ON_LOOPBACK, "PATH": path}
        params = [
            word
            for name, value in CLUSTER["headGroupSpec"]["rayStartParams"].items()
            for word in (f"--{name}", value)
        ]
        head = ["--head", "--port", port, "--dashboard-port", self.dashboard, *params]
        self._start(*head, "--temp-dir", self.folder / "ray", "--dashboard-host", "127.0.0.1")
        self._start("--address", f"127.0.0.1:{port}", "--num-cpus", 2, join="1")

    def _start(self, *options: object, join: str = "0") -> None:
        here = ["--node-ip-address", "127.0.0.1", *FREE_PORTS]
        command = [sys.executable, "-c", RAY, "start", *options, *here]
        with (self.folder / "log").open("ab") as log:
            subprocess.run(
                [*map(str, command)],
                cwd=ROOT,
                env=self.environment | {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": join},
                stdout=log,
                stderr=log,
                check=True,
            )

    def job(self, *words: str) -> str:
        """What ``ray job WORDS`` prints."""
        address = ["--address", f"http://127.0.0.1:{self.dashboard}"]
        command = [sys.executable, "-c", RAY, "job", words[0], *address, *words[1:]]
        result = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        return result.stdout

    def remove(self) -> None:
        """All at once, as if the machines were lost."""
        kill(started_in(self.folder))
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def pods() -> Iterator[list[Pods]]:
    started: list[Pods] = []
    yield started
    for one in started:
        one.remove()


def ended(run: Path) -> int:
    """How many trials have ended."""
    records = [json.loads(file.read_text()) for file in run.glob("trial_*/trial.json")]
    return sum(bool(record["ended"]) for record in records)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.training
def test_a_second_cluster_goes_on_with_the_search_of_a_lost_one(
    pods: list[Pods], tmp_path: Path
) -> None:
    given = SPEC["entrypoint"].replace("s3://my-bucket", str(tmp_path))
    small = "--input-length 5 --max-steps 500 --confirm 0"
    entrypoint = re.sub("--num-samples 200 --gpus-per-trial 0.5", f"--num-samples 8 {small}", given)
    pods.append(Pods())
    pods[0].job("submit", "--no-wait", "--submission-id", "first", "--", *entrypoint.split())
    deadline = time.monotonic() + 200
    while ended(tmp_path / "runs/search-1") < 2:
        assert time.monotonic() < deadline, pods[0].job("logs", "first")
        time.sleep(0.5)
    pods[0].remove()
    pods.append(Pods())
    said = pods[1].job("submit", "--submission-id", "second", "--", *entrypoint.split())
    assert "2 at once on 2 nodes at 127.0.0.1:" in said
    finished = re.search(r"^8 trials · (\d+) finished before", said, re.MULTILINE)
    assert finished, said
    assert int(finished[1]) >= 2
    assert "Job 'second' succeeded" in said
