"""The options themselves: what a value may be, and what is refused."""

import pytest

from command_line import UsageError
from tune_gan import GANOptions
from tune_lstm import LSTMOptions
from tuning.options import seconds
from tuning.seeds import confirmation_seeds, trial_seed


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("90", 90),
        ("90s", 90),
        ("1.5m", 90),
        ("2h", 7200),
        ("1d", 86400),
        ("", 0),
        ("-3m", 0),
        ("3w", 0),
    ],
)
def test_seconds(time: str, expected: float) -> None:
    assert seconds(time) == expected


TEXTS = (
    "storage_path",
    "name",
    "address",
    "data_root",
    "space_file",
    "optuna_storage",
    "warm_start",
)


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must not be empty"),
        ("  ", "must not be empty"),
        ("a\0b", "must be printable text, on one line, got 'a\\x00b'"),
        ("a\nb", "must be printable text, on one line, got 'a\\nb'"),
        ("a\udcffb", "must be printable text, on one line, got 'a\\udcffb'"),
        ("x" * 5_000, "may have 1,000 characters at most, got 5,000"),
    ],
)
def test_text_that_no_path_name_or_address_can_be_is_refused(
    field: str, text: str, message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        GANOptions(**{field: (text,) if field == "warm_start" else text})  # type: ignore[arg-type]
    assert str(refused.value) == f"--{field.replace('_', '-')} {message}" + (
        f", got {text!r}" if not text.strip() else ""
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "x" * 256}, "--name may have 255 characters, got 256"),
        (
            {"cpus_per_trial": 1e-7},
            "--cpus-per-trial may have at most 4 decimals (Ray counts in 0.0001), got 1e-07",
        ),
        (
            {"gpus_per_trial": 0.33333},
            "--gpus-per-trial may have at most 4 decimals (Ray counts in 0.0001), got 0.33333",
        ),
        ({"gpus_per_trial": 1e-300}, "--gpus-per-trial may have at most 4 decimals"),
        ({"cpus_per_trial": float("nan")}, "--cpus-per-trial must be above 0"),
        ({"max_concurrent": 2**70}, "--max-concurrent must be 0 to 900,000, got "),
        ({"confirm": 10**5000}, "--confirm must be 0 to 1,000, got "),
        ({"seed": 2**31}, "--seed must be 0 to 2,147,483,647"),
        ({"time_budget": "9" * 15 + "d"}, "--time-budget may be 3,650 days at most"),
        ({"time_budget": "9" * 400}, "--time-budget takes a time"),
        ({"time_budget": "\u0661m"}, "--time-budget takes a time"),
        ({"time_budget": "1e3"}, "--time-budget takes a time"),
        (
            {"max_steps": 10**30},
            "--max-steps must be 1 to 10,000,000, got 1000000000000000000000000000000",
        ),
        ({"seeds_per_trial": 0}, "--seeds-per-trial must be 1 to 18,000, got 0"),
        (
            {"num_samples": 450_000, "seeds_per_trial": 3},
            "--seeds-per-trial must be 1 to 2, got 3",
        ),
        (
            {"scheduler": "pbt", "seeds_per_trial": 2},
            "--seeds-per-trial cannot be used with --scheduler pbt",
        ),
        ({"target": 1.5}, "--target is a test accuracy here: it must be 1 at most, got 1.5"),
        ({"target": 0.0}, "--target must be above 0 and finite, got 0"),
        ({"target": float("inf")}, "--target must be above 0 and finite, got inf"),
    ],
)
def test_numbers_at_the_edge_of_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        LSTMOptions(**options)  # type: ignore[arg-type]
    assert str(refused.value).startswith(message)
    assert len(str(refused.value)) < 250


def test_fractions_that_ray_counts_are_taken() -> None:
    LSTMOptions(
        cpus_per_trial=1.5, gpus_per_trial=0.3333, name="x" * 255, target=1.0, time_budget="3650d"
    )
    GANOptions(target=2.5, final_steps=0)


def test_seeds_of_a_search_and_its_confirmation_never_meet() -> None:
    searched = {trial_seed(search, number) for search in (0, 1, 2) for number in range(2000)}
    confirmed = {seed for search in (0, 1, 2) for seed in confirmation_seeds(search, 1000)}
    assert len(searched) == 6000
    assert len(confirmed) == 3000
    assert not searched & confirmed
    blocks = [range(first, first + 4) for first in (trial_seed(1, n, 4) for n in range(225_000))]
    every = {seed for block in blocks for seed in block}
    assert len(every) == 900_000
    assert not every & confirmed
