import random
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest
import ray
import torch
from torch import Tensor

from records.outcome import Outcome, outcome_of
from tests.trainables.lstm.test_trainable import CONFIG, trial
from trainables.device import assigned_device
from trainables.lstm.trainable import LSTMTrial
from trainables.random_states import STREAMS, generator
from trainables.resumable import ResumableTrainable, Row

CPU = torch.device("cpu")


def test_the_streams_of_a_seed_and_of_its_neighbours_are_unrelated() -> None:
    draws = {
        tuple(torch.randint(0, 10**6, (4,), generator=generator(seed, stream, CPU)).tolist())
        for seed in range(20)
        for stream in STREAMS
    }
    assert len(draws) == 20 * len(STREAMS)


def test_goes_on_from_the_latest_checkpoint_that_can_be_read(tmp_path: Path) -> None:
    one = trial()
    folders = []
    for name in ("early", "late"):
        one.step()
        folders.append(tmp_path / name)
        folders[-1].mkdir()
        one.save_checkpoint(str(folders[-1]))
    early, late = folders
    assert LSTMTrial({**CONFIG, "restore_from": [str(late), str(early)]}).step_number == 200

    whole = (late / "state.pt").read_bytes()
    for cut in (0, 1, len(whole) // 2, len(whole) - 1):
        (late / "state.pt").write_bytes(whole[:cut])
        assert LSTMTrial({**CONFIG, "restore_from": [str(late), str(early)]}).step_number == 100

    (early / "model.safetensors").write_bytes(b"not a tensor file")
    from_scratch = LSTMTrial({**CONFIG, "restore_from": [str(late), str(early)]})
    assert from_scratch.step_number == 0
    assert from_scratch.step() == trial().step()


def test_an_ended_trial_restored_reports_its_end_and_trains_no_more(tmp_path: Path) -> None:
    one = trial(max_steps=100)
    row = one.step()
    one.save_checkpoint(str(tmp_path))
    restored = LSTMTrial({**CONFIG, "max_steps": 100, "restore_from": [str(tmp_path)]})
    assert restored.step() == row
    assert restored.step_number == 100


class TiedTrial(ResumableTrainable):
    """A model whose two layers share a weight and whose third lies in memory in another order, and
    a training that draws from Python's and numpy's random numbers."""

    saved = ()

    def build(self, config: dict[str, Any]) -> None:
        self.one, self.other = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
        self.other.weight = self.one.weight
        convolution = torch.nn.Conv2d(2, 2, 3).to(memory_format=torch.channels_last)
        self.model = torch.nn.ModuleList([self.one, self.other, convolution])

    def advance(self) -> dict[str, Tensor]:
        with torch.no_grad():
            self.one.weight += random.random() + np.random.rand()
        return {"loss": self.other.weight.sum()}

    def evaluate(self, curves: Mapping[str, list[float]]) -> Row:
        return {"loss": curves["train_loss"][-1], "ended": None}


def test_any_module_and_any_random_numbers_are_kept_to_the_last_bit(tmp_path: Path) -> None:
    config = {"seed": 5, "trial": 0, "max_steps": 30, "report_every": 10}
    whole = TiedTrial(config)
    whole.step()
    whole.save_checkpoint(str(tmp_path))
    expected = [whole.step()["loss"] for _ in range(2)]
    again = TiedTrial({**config, "restore_from": [str(tmp_path)]})
    assert again.step_number == 10
    assert [again.step()["loss"] for _ in range(2)] == expected
    assert again.one.weight is again.other.weight


class SavingTrial(ResumableTrainable):
    """A trial with one more attribute in its checkpoints, whose report has numpy's numbers."""

    saved = ("kept",)
    kept: Any = 1

    def build(self, config: dict[str, Any]) -> None:
        self.model = torch.nn.Linear(1, 1)

    def advance(self) -> dict[str, Tensor]:
        return {"loss": torch.zeros(())}

    def evaluate(self, curves: Mapping[str, list[float]]) -> Row:
        loss = np.float32(self.config.get("loss", 0.5))
        return {"loss": loss, "count": np.int64(3), "ended": None}


SAVING = {"seed": 5, "trial": 0, "max_steps": 20, "report_every": 10}


@pytest.mark.parametrize(
    ("kept", "kind"),
    [
        (np.float64(1.5), "numpy.float64"),
        ([1, {"mean": (np.int64(2),)}], "builtins.list"),
        (np.zeros(3), "numpy.ndarray"),
        (deque([1]), "collections.deque"),
        (Path, "builtins.type"),
        (lambda: None, "builtins.function"),
        (Lock(), "_thread.lock"),
    ],
)
def test_what_a_checkpoint_could_not_give_back_is_refused_by_its_name(
    kept: Any, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(self: SavingTrial, config: dict[str, Any]) -> None:
        self.kept = kept

    one = SavingTrial(SAVING)
    build(one, SAVING)
    monkeypatch.setattr(SavingTrial, "build", build)
    for refuse in (
        lambda: SavingTrial(SAVING),
        lambda: one.save_checkpoint(str(tmp_path)),  # if it became so in the training
    ):
        with pytest.raises(TypeError) as refused:
            refuse()
        cannot_hold = f"a checkpoint cannot hold SavingTrial.kept, a {kind}: make it a tensor or "
        assert str(refused.value).startswith(cannot_hold)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "kept", [True, 2, 0.5, "word", None, (1, 2), [1], {"a": {1}}, b"x", 1j, torch.ones(2), CPU]
)
def test_what_a_checkpoint_holds_comes_back(kept: Any, tmp_path: Path) -> None:
    one = SavingTrial(SAVING)
    one.kept = kept
    one.save_checkpoint(str(tmp_path))
    again = SavingTrial({**SAVING, "restore_from": [str(tmp_path)]}).kept
    assert type(again) is type(kept)
    assert torch.equal(again, kept) if isinstance(kept, Tensor) else again == kept


def test_a_tensor_comes_back_on_its_device() -> None:
    one = SavingTrial(SAVING)
    one.kept = torch.zeros(2, device="meta")
    one.load_state_dict({"kept": torch.ones(2)})  # on the CPU, as a checkpoint is read
    assert one.kept.device.type == "meta"


class TooLarge(SavingTrial):
    """A trial whose GPU has no memory for its checkpoint."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")


def test_without_memory_for_its_checkpoint_a_trial_fails_and_does_not_start_anew(
    tmp_path: Path,
) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        TooLarge({**SAVING, "restore_from": [str(tmp_path)]})


def test_numpys_numbers_in_a_report_become_pythons(tmp_path: Path) -> None:
    one = SavingTrial(SAVING)
    row = one.step()
    assert (type(row["loss"]), type(row["count"])) == (float, int)
    one.save_checkpoint(str(tmp_path))
    again = SavingTrial({**SAVING, "restore_from": [str(tmp_path)]})
    assert (again.step_number, again.last_row) == (10, one.last_row)
    assert SavingTrial({**SAVING, "loss": np.nan}).step()["ended"] == "diverged"


def test_the_outcomes_of_a_class_are_known_once_it_is_defined() -> None:
    own = Outcome("dozed off", "stopped", "ended: it dozed off", "<")
    type("SleepyTrial", (ResumableTrainable,), {"outcomes": (own,)})
    assert outcome_of("dozed off") == own


def test_names_itself_by_trial_and_settings() -> None:
    assert repr(trial(trial=7)).startswith(
        "trial 7: model=lstm input_length=3 lr=0.003 max_norm=1 "
    )


@pytest.mark.slow
def test_in_a_worker_tiny_numbers_are_zero_and_a_gpu_that_torch_cannot_use_is_an_error() -> None:
    def left() -> tuple[int, int]:
        trial()
        weight = torch.full((1_000,), 1e-20, requires_grad=True)
        made = weight * 1e-20
        made.backward(torch.full((1_000,), 1e-20))
        assert weight.grad is not None
        return int(made.count_nonzero()), int(weight.grad.count_nonzero())

    assert left() == (1_000, 1_000)
    ray.init("local", num_cpus=1, num_gpus=1, include_dashboard=False, log_to_driver=False)
    try:
        assert ray.get(ray.remote(left).remote()) == (0, 0)
        if not torch.cuda.is_available():  # a GPU that Ray counts and torch cannot use
            with pytest.raises(
                RuntimeError,
                match=r"Ray gave this trial 0\.5 GPU on .*, but torch .* cannot use it: install",
            ):
                ray.get(ray.remote(num_gpus=0.5)(assigned_device).remote())
    finally:
        ray.shutdown()
