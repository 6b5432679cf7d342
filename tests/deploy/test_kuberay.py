"""deploy/kuberay-rayjob.yaml: KubeRay's own schema accepts it, and its job runs as KubeRay would
start it.

``tests/support/kuberay-1.6.2-rayjob.json.gz`` is the OpenAPI schema of RayJob v1 of KubeRay 1.6.2
(Apache License 2.0), unchanged; its first entry says where it is from.
"""

import copy
import gzip
import json
import re
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.conftest import ROOT
from tests.support.pins import PINS

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
