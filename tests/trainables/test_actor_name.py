"""With a Ray whose private functions differ, an actor keeps its first name without a word."""

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from trainables import actor_name
from trainables.actor_name import show_actor_as

OTHER_RAYS = {
    "a module has gone": ("sys.modules", "ray.core.generated.pubsub_pb2", None),
    "a function has gone": ("ray._private.grpc_utils", "init_grpc_channel", None),
    "a function takes no arguments": ("ray._private.grpc_utils", "init_grpc_channel", lambda: None),
    "a service has gone": (
        "ray.core.generated.gcs_service_pb2_grpc", "ControlPlanePubSubGcsServiceStub", None,
    ),
    "a channel has gone": ("ray.core.generated.pubsub_pb2", "ChannelType", None),
    "the worker has no client": ("ray._private.worker.global_worker", "gcs_client", None),
    "nothing answers": (
        "ray._private.worker.global_worker", "gcs_client", SimpleNamespace(address="127.0.0.1:1"),
    ),
}  # fmt: skip
"""What another version may lack (None), or have in another form: where, its name, and the form."""


class Actor:
    """A worker of Ray that takes on trials under each of these Rays."""

    def take_on_trials(self) -> dict[str, tuple[bool, str]]:
        """For each Ray: whether the name can be published, and all that is said."""
        found = {"this Ray": self._take_on()}
        for title, (place, name, form) in OTHER_RAYS.items():
            with pytest.MonkeyPatch.context() as other:
                if place == "sys.modules":
                    package, _, module = name.rpartition(".")
                    other.delattr(sys.modules[package], module)
                    other.setitem(sys.modules, name, form)
                elif form is None:
                    other.delattr(f"{place}.{name}")
                else:
                    other.setattr(f"{place}.{name}", form)
                found[title] = self._take_on()
        return found

    def _take_on(self) -> tuple[bool, str]:
        said = io.StringIO()
        handler = logging.StreamHandler(said)
        logging.getLogger().addHandler(handler)
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            show_actor_as("trial 1")
        logging.getLogger().removeHandler(handler)
        try:
            actor_name._publish("trial 1")
        except Exception:
            return False, said.getvalue()
        return True, said.getvalue()


@pytest.fixture(scope="module")
def found() -> Iterator[dict[str, tuple[bool, str]]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
        actor: Any = ray.remote(Actor).remote()
        said: dict[str, tuple[bool, str]] = ray.get(actor.take_on_trials.remote(), timeout=100)
        yield said
        ray.shutdown()


@pytest.mark.slow
def test_this_ray_gets_the_name(found: dict[str, tuple[bool, str]]) -> None:
    assert found["this Ray"] == (True, "")


@pytest.mark.slow
@pytest.mark.parametrize("title", OTHER_RAYS)
def test_another_ray_costs_the_name_and_nothing_else(
    found: dict[str, tuple[bool, str]], title: str
) -> None:
    assert found[title] == (False, "")


def test_outside_an_actor_nothing_happens(capfd: pytest.CaptureFixture[str]) -> None:
    show_actor_as("trial 1")
    assert capfd.readouterr() == ("", "")
