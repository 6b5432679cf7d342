"""deploy/ray-up.yaml: Ray's own schema accepts it, its commands are those of Ray, and Ray starts
its nodes in a simulated AWS."""

import copy
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import start

from tests.conftest import ROOT
from tests.support.pins import PINS, pins_in

TEXT = (ROOT / "deploy/ray-up.yaml").read_text("utf-8")
CONFIG: dict[str, Any] = yaml.safe_load(TEXT)


def test_rays_schema_accepts_it() -> None:
    validate_config(prepare_config(copy.deepcopy(CONFIG)))


def test_rays_schema_refuses_a_mistake() -> None:
    mistaken = {**copy.deepcopy(CONFIG), "idle_timeout": 10}
    with pytest.raises(ValidationError, match="idle_timeout"):
        validate_config(prepare_config(mistaken))


@pytest.mark.parametrize(
    "command",
    re.findall(r"ray start (.+?)$", TEXT.replace("\n    --", " --"), re.MULTILINE),
)
def test_ray_start_takes_its_options(command: str) -> None:
    start.make_context("start", shlex.split(command))


def test_what_is_copied_to_the_nodes_is_there_and_the_token_is_asked_for() -> None:
    mounts = CONFIG["file_mounts"]
    token = "/home/ubuntu/.ray/auth_token"
    assert mounts[token] == "~/.ray/auth_token"
    assert all((ROOT / local).is_file() for there, local in mounts.items() if there != token)
    assert "RAY_AUTH_MODE=token" in " ".join(CONFIG["initialization_commands"])


def test_what_it_pins_beside_the_requirements_is_what_the_tests_run_with() -> None:
    found = pins_in(TEXT)
    assert found.keys() == {"uv", "boto3", "psycopg"}  # uv and boto3: of these nodes only
    assert found["psycopg"] == PINS["psycopg"]


@pytest.mark.slow
def test_ray_starts_its_nodes_in_a_simulated_aws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray makes the roles, the key and the security group, and boto3 checks what it asks for."""
    moto, boto3 = (
        pytest.importorskip(name, reason="needs moto[ec2,iam]") for name in ("moto", "boto3")
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MOTO_IAM_LOAD_MANAGED_POLICIES"):
        monkeypatch.setenv(name, "true")
    monkeypatch.setenv("HOME", str(tmp_path))  # for the key
    (tmp_path / ".ssh").mkdir()
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # Ray waits for AWS's roles to spread
    with moto.mock_aws():
        from ray.autoscaler._private.aws.config import bootstrap_aws
        from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

        profile = CONFIG["available_node_types"]["worker"]["node_config"]["IamInstanceProfile"]
        boto3.client("iam").create_instance_profile(InstanceProfileName=profile["Name"])
        config = bootstrap_aws(prepare_config(copy.deepcopy(CONFIG)))
        provider = AWSNodeProvider(config["provider"], config["cluster_name"])
        config = provider.fillout_available_node_types_resources(config)
        types = config["available_node_types"]
        assert types["head"]["resources"]["CPU"] == 0
        assert types["worker"]["resources"]["GPU"] == 1
        for name, one in types.items():
            tags = {"ray-node-type": name, "ray-node-name": name, "ray-user-node-type": name}
            made = provider.create_node(one["node_config"], tags, 1)
            (node,) = made.values()
            assert (
                node.instance_type
                == CONFIG["available_node_types"][name]["node_config"]["InstanceType"]
            )
