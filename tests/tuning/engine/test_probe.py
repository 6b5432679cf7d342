"""Trials measured together, in real processes of Ray on CPU cores: what is counted, what is
repeated, and what happens if one fails.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import ray
import torch
from torch import Tensor

from command_line import UsageError
from trainables import resumable
from trainables.resumable import ResumableTrainable, Row
from tuning.engine import probe
from tuning.engine.probe import (
    Memory,
    ProbedTrial,
    device_words,
    measure,
    most_trials,
    reserved,
)
from tuning.trouble import Trouble

pytestmark = pytest.mark.ray


@pytest.mark.parametrize(
    ("nodes", "cpus", "most"),
    [
        ([], 1.0, 0),
        ([{"CPU": 8.0, "GPU": 1.0}], 1.0, 8),
        ([{"CPU": 8.0, "GPU": 2.0}], 1.0, 4),  # the GPUs share the cores
        ([{"CPU": 8.0, "GPU": 2.0}], 0.3, 13),
        ([{"CPU": 2.0, "GPU": 4.0}], 1.0, 1),  # some GPUs stay idle
        ([{"CPU": 2.0, "GPU": 1.0}], 3.0, 0),
        ([{"CPU": 2.0, "GPU": 1.0}, {"CPU": 16.0, "GPU": 4.0}], 1.0, 4),
    ],
)
def test_the_most_trials_that_a_gpu_has_cores_for(
    nodes: list[dict[str, float]], cpus: float, most: int
) -> None:
    assert most_trials(nodes, cpus) == most


class Sleepy(ResumableTrainable):
    """A step takes 10 ms. ``error`` is what step 25 raises, after the warm-up."""

    saved = ()

    def build(self, config: dict[str, Any]) -> None:
        self.model = torch.nn.Linear(1, 1)

    def advance(self) -> dict[str, Tensor]:
        import time

        time.sleep(0.01)
        if self.step_number == 25 and self.config["error"] == "memory":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        if self.step_number == 25 and self.config["error"] == "own":
            raise ValueError("no such digit")
        assert self.step_number <= self.config["max_steps"]
        return {"loss": torch.zeros(())}

    def evaluate(self, curves: Mapping[str, list[float]]) -> Row:
        return {"loss": 0.0, "ended": None}


CONFIG = {"seed": 1, "trial": 0, "max_steps": 30, "error": None}


@pytest.mark.slow
def test_trials_are_measured_together_and_a_failure_is_told_from_a_lack_of_memory(
    local_ray: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "WINDOW_S", 0.5)
    monkeypatch.setattr(probe, "RESERVED_WITHIN_S", 3.0)
    local_ray(2)
    with reserved(2, gpu=False) as group:
        assert device_words(group).startswith("CPU cores on node ")
        one = measure(group, 1, 1.0, Sleepy, [CONFIG])
        two = measure(group, 2, 1.0, Sleepy, [CONFIG, {**CONFIG, "seed": 2}])
        assert (one.trials, two.trials) == (1, 2)
        assert 30 < one.steps_per_s < 100  # 10 ms each and a little more
        assert 1.3 * one.steps_per_s < two.steps_per_s < 200
        assert len(two.memory) == 2
        for each in two.memory:
            assert 50 * 10**6 < each.held < each.used < each.total
        short = measure(group, 2, 1.0, Sleepy, [{**CONFIG, "error": "memory"}])
        assert (short.trials, short.memory) == (2, ())
        with pytest.raises(Trouble) as failed:
            measure(group, 1, 1.0, Sleepy, [{**CONFIG, "error": "own"}])
        assert str(failed.value) == "a training of the probe failed: ValueError: no such digit"
        assert measure(group, 2, 1.0, Sleepy, [CONFIG]).memory  # the cores are free again
        busy = r"no node has had 2 CPU free for 3 s: probe when other jobs have ended, or lower"
        with pytest.raises(UsageError, match=busy), reserved(2, gpu=False):
            pass
    with reserved(2, gpu=False):
        assert ray.available_resources().get("CPU", 0) == 0


class OnCPU(ProbedTrial):
    """Trains on the CPU, and tells its GPU and its share of it in place of the memory."""

    def start(self, trainable: type[ResumableTrainable], configs: Any) -> None:
        vars(resumable)["assigned_device"] = lambda: torch.device("cpu")
        super().start(trainable, configs)

    def memory(self) -> Memory:
        (gpu,) = ray.get_gpu_ids()
        share = ray.get_runtime_context().get_assigned_resources()["GPU"]
        return Memory(int(gpu), os.getpid(), round(1000 * share))


@pytest.mark.slow
def test_all_trials_have_their_own_process_and_an_equal_share_of_one_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probe, "WINDOW_S", 0.2)
    monkeypatch.setattr(probe, "ProbedTrial", OnCPU)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray.init("local", num_cpus=6, num_gpus=2, include_dashboard=False, log_to_driver=False)
    try:
        with reserved(4, gpu=True) as group:
            levels = [measure(group, trials, 1.0, Sleepy, [CONFIG]) for trials in (1, 2, 4)]
    finally:
        ray.shutdown()
    assert len({gpu for level in levels for gpu, _, _ in level.memory}) == 1
    processes = [process for level in levels for _, process, _ in level.memory]
    assert len({*processes}) == len(processes) == 7
    assert [{share for _, _, share in level.memory} for level in levels] == [{1000}, {500}, {250}]
