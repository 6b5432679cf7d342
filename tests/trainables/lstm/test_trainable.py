import json
import math
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from search_spaces.lstm import COURSEWORK
from trainables.lstm.model import load_model
from trainables.lstm.palindromes import draw_batch
from trainables.lstm.trainable import CONVERGED, STAYS, LSTMTrial, ladder

CONFIG: dict[str, Any] = {
    "model": "lstm", "input_length": 3, "lr": 0.003, "max_norm": 1.0,
    "hidden_dim": 32, "max_steps": 2000, "seed": 5, **COURSEWORK, "batch_size": 64,
}  # fmt: skip


def trial(**changes: Any) -> LSTMTrial:
    return LSTMTrial({**CONFIG, **changes})


def to_the_end(one: LSTMTrial) -> list[dict[str, Any]]:
    rows = [one.step()]
    while not rows[-1]["done"]:
        rows.append(one.step())
    return rows


GROWING: dict[str, Any] = {
    "input_length": 12, "curriculum": "growing", "start_length": 3, "length_growth": 1.5,
    "length_threshold": 0.9, "lr_schedule": "settling", "averaging": 0.9, "forget_bias": 3.0,
    "init_scale": 0.2, "encoding": "standardised",
}  # fmt: skip
"""A trial with everything that the extended space adds."""


def weights(one: LSTMTrial) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in one.model.parameters()])


@pytest.fixture(scope="module")
def fast() -> list[dict[str, Any]]:
    """What a trial reports that converges."""
    return to_the_end(trial())


@pytest.fixture(scope="module")
def slow() -> list[dict[str, Any]]:
    """The same with a third of the lr; it converges later."""
    return to_the_end(trial(lr=0.001))


def test_a_trial_that_stays_converged_ends_by_itself(fast: list[dict[str, Any]]) -> None:
    rows, last = fast, fast[-1]
    assert last["ended"] == "converged"
    assert last["test_accuracy"] >= 0.99
    assert all(row["accuracy"] >= CONVERGED for row in rows[-STAYS:])
    assert last["steps_to_converge"] == rows[-STAYS]["step"]
    assert last["step"] < CONFIG["max_steps"]


def test_mean_accuracy_covers_the_whole_budget_at_the_last_accuracy(
    fast: list[dict[str, Any]],
) -> None:
    rows, seen = fast, [row["accuracy"] for row in fast]
    unused = CONFIG["max_steps"] // 100 - len(rows)
    expected = (sum(seen) + unused * seen[-1]) / (CONFIG["max_steps"] // 100)
    assert rows[-1]["mean_accuracy"] == pytest.approx(expected, abs=1e-9)
    assert rows[2]["mean_accuracy"] == pytest.approx(sum(seen[:3]) / 3, abs=1e-9)


def test_faster_settings_score_higher_where_both_reach_the_same_accuracy(
    fast: list[dict[str, Any]], slow: list[dict[str, Any]]
) -> None:
    assert fast[-1]["steps_to_converge"] < slow[-1]["steps_to_converge"]
    assert fast[-1]["mean_accuracy"] > slow[-1]["mean_accuracy"]


def test_a_budget_that_is_no_multiple_of_the_report_is_used_to_the_last_step() -> None:
    rows = to_the_end(trial(max_steps=250, lr=1e-6))
    assert [row["step"] for row in rows] == [100, 200, 250]
    assert [len(row["train_loss"]) for row in rows] == [10, 10, 5]
    assert rows[-1]["ended"] == "budget"
    assert rows[-1]["steps_to_converge"] is None
    assert 0.05 < rows[-1]["test_accuracy"] < 0.2


def test_one_that_used_its_budget_of_work_before_its_steps_has_still_ended_when_restored(
    tmp_path: Path,
) -> None:
    config = {**CONFIG, "batch_size": 256, "max_steps": 20, "report_every": 10}
    trial = LSTMTrial(config)
    while not trial.step()["done"]:
        pass
    assert trial.last_row["ended"] == "budget"
    assert trial.step_number < 20
    trial.save_checkpoint(str(tmp_path))
    again = LSTMTrial({**config, "restore_from": [str(tmp_path)]})
    assert again.step() == {**trial.last_row, "done": True}


def test_a_budget_shorter_than_a_training_point_still_reports() -> None:
    (row,) = to_the_end(trial(max_steps=3))
    assert row["step"] == 3
    assert len(row["train_loss"]) == 1


def test_a_non_finite_loss_ends_the_trial_with_its_reason() -> None:
    diverging = trial(lr=1e38)
    row = to_the_end(diverging)[-1]
    assert row["ended"] == "diverged"
    assert row["loss"] is None
    assert row["accuracy"] == 0.1
    assert None in row["train_loss"]
    assert diverging.step() == row  # and it stays ended


def test_gradients_are_clipped_to_max_norm() -> None:
    one = trial(max_norm=0.01)
    for _ in range(3):
        one.advance()
        norms = torch.stack([p.grad.norm() for p in one.model.parameters() if p.grad is not None])
        assert norms.norm().item() == pytest.approx(0.01, rel=1e-3)


def test_lr_gamma_is_the_factor_over_a_thousand_steps() -> None:
    one = trial(lr_schedule="exponential", lr_gamma=0.5, max_steps=1000, lr=1e-5)
    to_the_end(one)
    assert one.optimizer.param_groups[0]["lr"] == pytest.approx(0.5e-5, rel=1e-6)


def test_a_settling_lr_falls_from_the_step_on_that_solves_the_task() -> None:
    one = trial(lr_schedule="settling")
    for row in to_the_end(one):
        rate = one.optimizer.param_groups[0]["lr"]
        assert row["step"] > 0
    assert rate == pytest.approx(CONFIG["lr"] * 0.99**one.solved_steps)
    assert 0 < one.solved_steps < row["step"]


@pytest.mark.parametrize("changes", [{"lr_schedule": "exponential", "lr_gamma": 0.8}, GROWING])
def test_a_restored_trial_continues_exactly(changes: dict[str, Any], tmp_path: Path) -> None:
    whole = trial(**changes)
    rows = [whole.step() for _ in range(5)]
    half = trial(**changes)
    for _ in range(2):
        half.step()
    half.save_checkpoint(str(tmp_path))
    other = trial(**changes)
    other.load_checkpoint(str(tmp_path))
    assert [other.step() for _ in range(3)] == rows[2:]
    assert torch.equal(weights(other), weights(whole))


def test_a_reused_actor_trains_like_a_new_one() -> None:
    reused = trial(seed=1, lr=0.01)
    reused.step()
    cast(Any, reused).reset({**CONFIG, "seed": 9})
    new = trial(seed=9)
    assert [reused.step() for _ in range(2)] == [new.step() for _ in range(2)]
    assert torch.equal(weights(reused), weights(new))


def test_seeds_give_other_weights_and_other_palindromes() -> None:
    one, other = trial(seed=1), trial(seed=2)
    assert not torch.equal(weights(one), weights(other))
    assert one.step()["train_loss"] != other.step()["train_loss"]


def test_evaluating_does_not_shift_the_training_stream() -> None:
    one, other = trial(), trial()
    one.step(), other.step()
    other.evaluate({})
    assert one.step()["train_loss"] == other.step()["train_loss"]


def test_the_rnn_trains_too() -> None:
    rows = to_the_end(trial(model="rnn", lr=0.001, input_length=2, max_steps=1500))
    assert rows[-1]["accuracy"] > 0.5


def test_a_curriculum_solves_what_a_cold_start_does_not_at_the_same_work() -> None:
    grown = to_the_end(trial(**GROWING))[-1]
    assert grown["ended"] == "converged"
    assert grown["length"] == 12
    assert grown["work_to_converge"] < grown["steps_to_converge"] * 12  # some were shorter
    cold = trial(**{**GROWING, "curriculum": "none"})
    row = cold.step()
    while row["ended"] is None and row["work"] < grown["work_to_converge"]:
        row = cold.step()
    assert row["accuracy"] < 0.9


def test_log_work_ranks_sooner_before_later_and_the_unsolved_by_how_far_they_remember(
    fast: list[dict[str, Any]], slow: list[dict[str, Any]]
) -> None:
    sooner, later = fast[-1], slow[-1]
    assert sooner["log_work"] == pytest.approx(math.log10(sooner["work_to_converge"]))
    unsolved, hopeless = (
        to_the_end(trial(lr=lr, max_steps=200, input_length=8))[-1] for lr in (0.003, 1e-7)
    )
    budget = math.log10(200 * 8)
    assert sooner["log_work"] < later["log_work"] < math.log10(2000 * 3)
    assert budget < unsolved["log_work"] < hopeless["log_work"] <= budget + 1


def test_work_counts_time_steps_in_batches_of_128_and_bounds_a_trial() -> None:
    one = trial(batch_size=256, lr=1e-6, max_steps=200)
    rows = to_the_end(one)
    assert [row["work"] for row in rows] == [600.0]
    assert rows[-1]["step"] == 100
    assert rows[-1]["ended"] == "budget"


def test_averaged_weights_are_what_is_measured_and_exported(tmp_path: Path) -> None:
    one = trial(averaging=0.98)
    one.step()
    one.save_checkpoint(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(one.config))
    exported = load_model(tmp_path)
    raw = torch.cat([parameter.detach().flatten() for parameter in one.network.parameters()])
    assert torch.equal(
        weights(one), torch.cat([parameter.flatten() for parameter in exported.parameters()])
    )
    assert not torch.equal(weights(one), raw)


@pytest.mark.parametrize("encoding", ["raw", "standardised", "one-hot"])
def test_an_exported_network_reads_raw_digits_of_any_length(encoding: str, tmp_path: Path) -> None:
    one = trial(encoding=encoding, max_steps=400)
    row = to_the_end(one)[-1]
    one.save_checkpoint(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(one.config))
    x, target = draw_batch(5000, 3, torch.Generator().manual_seed(8))
    read = load_model(tmp_path)(x)
    assert (read.argmax(1) == target).float().mean().item() == pytest.approx(
        row["accuracy"], abs=0.02
    )
    assert load_model(tmp_path)(x.repeat(3, 1, 1)).shape == (5000, 10)


def test_progress_counts_a_delay_as_remembered_where_a_longer_one_is() -> None:
    rows = to_the_end(trial(input_length=6, lr=0.01))
    assert rows[-1]["accuracy"] >= CONVERGED
    assert rows[-1]["progress"] > 0.98
    assert ladder(20) == [2, 3, 4, 6, 10, 15, 20]
    assert ladder(2) == [2]
