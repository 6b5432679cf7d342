"""A trial of several seeds: each seed trains as it would alone. The trial reports what the worst
seed reports, or the mean of all seeds."""

import math
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from records.objective import Objective
from trainables.lstm.trainable import LSTMTrial
from trainables.resumable import ResumableTrainable, Row
from trainables.several_seeds import OverSeeds, SeveralSeeds, several_seeds

ACCURACY = Objective("mean_accuracy", "max")
LSTM = {
    "model": "lstm", "input_length": 3, "hidden_dim": 16, "batch_size": 16, "max_steps": 50,
    "report_every": 10, "optimizer": "rmsprop", "lr": 0.01, "max_norm": 1.0, "averaging": 0.0,
    "lr_schedule": "constant", "encoding": "raw", "init_scale": 1.0, "recurrent_init": "normal",
    "curriculum": "none", "forget_init": "constant", "forget_bias": 0.0, "seed": 40, "trial": 2,
}  # fmt: skip


def lstm(over_seeds: OverSeeds = "worst", **settings: Any) -> SeveralSeeds:
    kind = several_seeds(LSTMTrial, ACCURACY, over_seeds, "step")
    return kind({**LSTM, "seeds_per_trial": 3, **settings})


def report(trial: ResumableTrainable) -> Row:
    """The next report, without Ray Tune's ``done``."""
    return {name: value for name, value in trial.step().items() if name != "done"}


def reports(trial: ResumableTrainable) -> list[Row]:
    found = [report(trial)]
    while found[-1]["ended"] is None:
        found.append(report(trial))
    return found


def by_seed(rows: list[Row], seed: int) -> list[Row]:
    found = [one for row in rows for one in row["seeds"] if one["seed"] == seed]
    return [{name: value for name, value in one.items() if name != "seed"} for one in found]


def test_each_seed_trains_as_it_would_alone_to_the_last_bit() -> None:
    trial = lstm()
    together = reports(trial)
    assert [row["step"] for row in together] == [10, 20, 30, 40, 50]
    for place, seed in enumerate((40, 41, 42)):
        single = LSTMTrial({**LSTM, "seed": seed})
        alone = [
            {name: value for name, value in row.items() if not isinstance(value, list)}
            for row in reports(single)
        ]
        assert by_seed(together, seed) == alone
        for name, own in single.model.state_dict().items():
            assert torch.equal(own, trial.trainings[place].model.state_dict()[name])


def test_the_worst_seed_is_reported_whole_and_the_mean_is_of_every_number() -> None:
    for row in reports(lstm("worst")):
        worst = min(row["seeds"], key=lambda one: float(one["mean_accuracy"]))
        assert {name: row[name] for name in worst if name != "seed"} == {
            name: value for name, value in worst.items() if name != "seed"
        }
    for row in reports(lstm("mean")):
        for name in ("mean_accuracy", "loss", "progress"):
            assert row[name] == pytest.approx(fmean(one[name] for one in row["seeds"]))
        assert row["steps_to_converge"] is None
        assert isinstance(row["step"], int)


@pytest.mark.parametrize("reports_before", [1, 3])
@pytest.mark.parametrize("over_seeds", ["worst", "mean"])
def test_it_goes_on_from_a_checkpoint_bit_for_bit(
    over_seeds: OverSeeds, reports_before: int, tmp_path: Path
) -> None:
    until = {"first_seed_until": 20}
    whole, cut = reports(lstm(over_seeds, **until)), lstm(over_seeds, **until)
    for _ in range(reports_before):
        cut.step()
    cut.save_checkpoint(str(tmp_path))
    again = lstm(over_seeds, **until, restore_from=[str(tmp_path)])
    assert again.step_number == 10 * reports_before
    assert reports(again) == whole[reports_before:]


def test_the_first_seed_trains_alone_up_to_the_first_rung_and_the_others_catch_up() -> None:
    rows = reports(lstm(first_seed_until=20))
    assert [len(row["seeds"]) for row in rows] == [1, 1, 3, 3, 3]
    assert rows[2:] == reports(lstm())[2:]


def test_a_worker_that_serves_many_trials_gives_each_what_it_would_have_alone() -> None:
    worker = lstm(seed=7, seeds_per_trial=2)
    worker.step()
    worker.reset(dict(lstm().config))
    assert reports(worker) == reports(lstm())


def test_a_training_of_the_first_seed_goes_on_from_the_trials_weights(tmp_path: Path) -> None:
    several, single = lstm(), LSTMTrial(dict(LSTM))
    for trial in (several, single):
        trial.step(), trial.step()
    several.save_checkpoint(str(tmp_path))
    again = LSTMTrial({**LSTM, "restore_from": [str(tmp_path)]})
    assert again.step_number == 20
    assert reports(again) == reports(single)


class Scripted(ResumableTrainable):
    """Its metric is the seed's digit in ``values``; seed 1 ends as ``ends`` says, at step 20."""

    def build(self, config: dict[str, Any]) -> None:
        self.model = torch.nn.Linear(1, 1)

    def advance(self) -> dict[str, torch.Tensor]:
        return {"loss": torch.tensor(0.0)}

    def evaluate(self, curves: Any) -> Row:
        one = self.config["seed"] == 1 and self.step_number == 20
        ended = self.config["ends"] if one else None
        value = (
            math.nan if ended == "diverged" else float(self.config["values"][self.config["seed"]])
        )
        return {"value": value, "ended": ended}


@pytest.mark.parametrize("over_seeds", ["worst", "mean"])
@pytest.mark.parametrize(
    ("ends", "steps", "ended"),
    [("diverged", 20, "diverged"), ("gave up", 20, "gave up"), ("converged", 40, "budget")],
)
def test_one_seed_that_gives_up_ends_the_trial(
    ends: str, steps: int, ended: str, over_seeds: OverSeeds
) -> None:
    kind = several_seeds(Scripted, Objective("value", "min"), over_seeds, "step")
    trial = kind(
        {"seed": 0, "seeds_per_trial": 3, "max_steps": 40, "report_every": 10, "ends": ends}
        | {"values": "142"}
    )
    rows = reports(trial)
    assert (rows[-1]["step"], rows[-1]["ended"]) == (steps, ended)
    assert trial.trainings[2].step_number == steps - (10 if steps == 20 else 0)
    assert rows[0]["value"] == (4 if over_seeds == "worst" else pytest.approx(7 / 3))
