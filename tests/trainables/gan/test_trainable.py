import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from tests.trainables.gan.conftest import COURSEWORK
from trainables.gan import judge
from trainables.gan.images import Images, ImagesUnavailable, to_float
from trainables.gan.model import SimpleDiscriminator, SimpleGenerator
from trainables.gan.shared import Shared, create_shared
from trainables.gan.trainable import GANTrial
from trainables.resumable import Row

R3GAN = {
    "loss": "relativistic", "penalty": 1.0, "beta1": 0.0, "beta2": 0.99, "ema": 0.99,
    "lr_decay": "linear",
}  # fmt: skip

VARIANTS: list[dict[str, Any]] = [
    {},
    R3GAN,
    {"loss": "hinge", "regulariser": "spectral", "shift": 2, "d_steps": 2, "latent": "uniform"},
    {"loss": "least-squares", "regulariser": "dropout", "dropout": 0.3, "lr_decay": "cosine"},
    {"label_smoothing": 0.1, "ema": 0.9, "batch_size": 32, "latent_dim": 32, "latent": "clusters"},
]


SHORT = {"report_every": 5, "max_steps": 20}
"""Four reports."""


def weights(trial: GANTrial) -> list[Tensor]:
    return [
        p.detach().clone() for p in (*trial.model.parameters(), *trial.discriminator.parameters())
    ]


def report(trial: GANTrial) -> Row:
    return {name: value for name, value in trial.step().items() if name != "files"}


def recorded(trial: GANTrial, method: str) -> list[Tensor]:
    """What the trial's method will have returned, call by call."""
    original = getattr(trial, method)
    returned: list[Tensor] = []

    def wrapper() -> Tensor:
        returned.append(original())
        return returned[-1]

    setattr(trial, method, wrapper)
    return returned


def test_takes_the_courseworks_steps_in_its_order(gan: Any) -> None:
    """The reference follows the coursework's words: sigmoid, BCE, generator first, then made and
    real images."""
    trial = gan(report_every=3, max_steps=3)
    torch.manual_seed(trial.config["seed"])
    generator, discriminator = SimpleGenerator(), SimpleDiscriminator()
    g_optimizer = torch.optim.Adam(generator.parameters(), lr=2e-4)
    d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-4)
    drawn_latents, drawn_images = recorded(trial, "_draw_latents"), recorded(trial, "_draw_real")
    trial.step()
    ones, zeros = torch.ones(64), torch.zeros(64)
    for z, real in zip(drawn_latents, drawn_images, strict=True):
        made = generator(z)
        g_optimizer.zero_grad()
        binary_cross_entropy(discriminator(made), ones).backward()
        g_optimizer.step()
        d_optimizer.zero_grad()
        loss = binary_cross_entropy(discriminator(made.detach()), zeros) + binary_cross_entropy(
            discriminator(real), ones
        )
        loss.backward()
        d_optimizer.step()
    for ours, theirs in zip(
        weights(trial), [*generator.parameters(), *discriminator.parameters()], strict=True
    ):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-3, atol=5e-5)


def test_real_images_are_the_training_images(gan: Any) -> None:
    trial = gan()
    real = trial._draw_real()
    assert real.shape == (64, 28, 28)
    train = {
        image.tobytes() for image in to_float(torch.from_numpy(trial.shared.images.train)).numpy()
    }
    assert all(image.tobytes() in train for image in real.numpy())


@pytest.mark.parametrize(
    "settings",
    [
        *VARIANTS[1:3],
        *(pytest.param(VARIANTS[place], marks=pytest.mark.slow) for place in (0, 3, 4)),
    ],
)
def test_a_trial_cut_off_goes_on_bit_for_bit(
    gan: Any, settings: dict[str, Any], tmp_path: Path
) -> None:
    whole = gan(**settings, **SHORT)
    for _ in range(2):
        whole.step()
    whole.save_checkpoint(str(tmp_path))
    expected = [report(whole) for _ in range(2)]
    again = gan(**settings, **SHORT, restore_from=[str(tmp_path)])
    assert again.step_number == 10
    assert [report(again) for _ in range(2)] == expected
    for ours, theirs in zip(weights(again), weights(whole), strict=True):
        assert torch.equal(ours, theirs)


def test_a_worker_that_serves_many_trials_gives_each_what_it_would_have_alone(gan: Any) -> None:
    alone = [report(gan(**settings, **SHORT)) for settings in VARIANTS]
    worker = gan(seed=99, **SHORT)
    worker.step()
    for settings, expected in zip(VARIANTS, alone, strict=True):
        worker.reset(gan(**settings, **SHORT).config)
        assert report(worker) == expected


def test_a_report_says_how_good_the_images_are(gan: Any) -> None:
    trial = gan()
    row = report(trial)
    assert row["step"] == 10
    assert row["epoch"] == pytest.approx(10 * 64 / 1198)
    assert report(gan(d_steps=2))["epoch"] == pytest.approx(2 * 10 * 64 / 1198)
    assert row["fd_ratio"] == pytest.approx(
        row["fd"] / trial.shared.evaluators["search"].floor["fd"]
    )
    assert sum(row["digits"]) == pytest.approx(1)
    assert row["ended"] is None
    for name in ("train_g_loss", "train_d_loss", "train_d_real", "train_d_fake"):
        assert len(row[name]) == 1
    last = [report(trial) for _ in range(3)][-1]
    assert last["ended"] == "budget"
    assert "density" not in last


def test_the_final_judge_examines_more_and_shows_the_nearest_training_images(gan: Any) -> None:
    trial = gan(judge="final", max_steps=10)
    row = trial.step()
    assert row["fd_ratio"] == pytest.approx(
        row["fd"] / trial.shared.evaluators["final"].floor["fd"]
    )
    assert {"density", "manifold_coverage", "copied"} <= set(row)
    with np.load(io.BytesIO(row["files"]["nearest.npz"])) as found:
        made, nearest = found["made"], found["nearest"]
        assert made.shape == nearest.shape == (32, 28, 28)
        distance = np.linalg.norm((made.astype(float) - nearest).reshape(32, -1) / 127.5, axis=1)
        np.testing.assert_allclose(found["distance"], distance, rtol=0.01)
    train = {image.tobytes() for image in trial.shared.images.train}
    assert all(image.tobytes() in train for image in nearest)


def test_draws_a_grid_of_one_latent_every_500_steps_and_at_the_end(
    gan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.gan.trainable.GRID_EVERY", 5)
    trial = gan()
    files = trial.step()["files"]
    assert list(files) == ["gan_images/step_000005.png", "gan_images/step_000010.png"]
    grid = np.asarray(Image.open(io.BytesIO(files["gan_images/step_000010.png"])))
    assert grid.shape == (152, 152)
    # The second row's second image; two pixels lie between images
    expected = trial._make(trial.grid_latents)[6]
    np.testing.assert_allclose(grid[32:60, 32:60] / 127.5 - 1, expected.numpy(), atol=0.01)
    assert "files" not in gan(report_every=4, max_steps=8).step()
    assert list(gan(report_every=4, max_steps=4).step()["files"]) == ["gan_images/step_000004.png"]


def test_what_is_measured_and_kept_is_the_running_average(gan: Any) -> None:
    trial = gan(ema=0.9)
    average: dict[str, Tensor] = {}
    for step in range(1, 31):
        trial.step_number = step
        trial.advance()
        current = {
            name: value.clone().float() for name, value in trial.generator.state_dict().items()
        }
        past = min(0.9, step / (step + 10)) if average else 0.0
        average = {
            name: past * average.get(name, value) + (1 - past) * value
            for name, value in current.items()
        }
    kept = trial.model.state_dict()
    for name, value in average.items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(kept[name], value, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(
        kept["layers.0.weight"], trial.generator.state_dict()["layers.0.weight"]
    )


@pytest.mark.parametrize(
    ("decay", "factors"),
    [
        ("none", [1, 1, 1]),
        ("linear", [1, 0.75, 0.025]),
        ("cosine", [1, 0.8535, 0.00154]),
        ("late", [1, 1, 0.075]),
    ],
)
def test_both_rates_follow_the_schedule(gan: Any, decay: str, factors: list[float]) -> None:
    trial = gan(lr_decay=decay, lr_g=1e-3, lr_d=2e-3, max_steps=140, decay_from=100)
    for step, factor in zip((101, 111, 140), factors, strict=True):
        trial.step_number = step
        trial._set_lr()
        assert trial.g_optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * factor, rel=1e-3)
        assert trial.d_optimizer.param_groups[0]["lr"] == pytest.approx(2e-3 * factor, rel=1e-3)


@pytest.fixture(scope="module")
def collapsing(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A trial 300 steps on whose generator makes one image, for others to go on from."""
    folder = tmp_path_factory.mktemp("collapsing")
    settings = {"lr_d": 1e-7, "lr_g": 1e-3, "batch_size": 16, "report_every": 50}

    def go_on(**own: Any) -> GANTrial:
        restored = {"restore_from": [str(folder)]} if any(folder.iterdir()) else {}
        return GANTrial({**COURSEWORK, **settings, "max_steps": 900, **restored, **own})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GANTrial, "shared", shared)
        patch.setattr("trainables.gan.trainable.FAILING_FROM", 250)
        begun = go_on()
        for _ in range(6):
            begun.step()
        begun.save_checkpoint(str(folder))
        yield go_on


class TestEndsWithAReason:
    def end(self, trial: GANTrial, reports: int = 40) -> Row:
        for _ in range(reports):
            row = report(trial)
            if row["ended"]:
                return row
        raise AssertionError("did not end")

    @pytest.mark.parametrize(
        "settings",
        [
            pytest.param({"beta1": 0.5}, marks=pytest.mark.slow),
            pytest.param({"label_smoothing": 0.1}, marks=pytest.mark.slow),
            pytest.param({"loss": "hinge"}, marks=pytest.mark.slow),
            pytest.param({"loss": "least-squares"}, marks=pytest.mark.slow),
            {"loss": "relativistic", "penalty": 0.1, "beta1": 0.0},
        ],
    )
    def test_a_discriminator_that_wins_outright(
        self, gan: Any, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With every loss; the generator's one class of noise is the effect, not the cause."""
        monkeypatch.setattr("trainables.gan.trainable.FAILING_FROM", 50)
        small = {"batch_size": 16, "report_every": 50, "max_steps": 300}
        row = self.end(gan(**settings, **small, lr_d=1e-3, lr_g=1e-6))
        assert row["ended"] == "discriminator won"
        assert row["step"] == 200  # a third of the budget, and two reports more
        assert min(row["train_told_apart"]) > 0.98

    @pytest.mark.slow
    @pytest.mark.parametrize("baseline", [False, True])
    def test_a_generator_that_makes_one_image(self, baseline: bool, collapsing: Any) -> None:
        """The trial ends, unless it is a baseline: those are given their whole budget."""
        own = {"baseline": "hand-tuned", "max_steps": 400} if baseline else {}
        trial = collapsing(**own)
        row = self.end(trial)
        assert row["ended"] == ("budget" if baseline else "generator collapsed")
        assert row["step"] == 400
        assert row["coverage"] < 0.15

    def test_a_loss_that_is_not_a_number(self, gan: Any) -> None:
        row = self.end(gan(lr_g=1e30, beta1=0.5))
        assert row["ended"] == "diverged"
        assert "fd" not in row
        assert row["step"] <= 20

    def test_an_image_that_is_not_a_number_after_the_last_training_point(self, gan: Any) -> None:
        trial = gan(report_every=12)
        advance = trial.advance

        def poisoned() -> dict[str, Tensor]:
            curves: dict[str, Tensor] = advance()
            if trial.step_number == 12:
                with torch.no_grad():
                    trial.generator.layers[0].bias.fill_(torch.nan)
            return curves

        trial.advance = poisoned
        row = self.end(trial)
        assert row["ended"] == "diverged"
        assert row["step"] == 12
        assert "fd" not in row


def test_a_trial_that_used_its_budget_goes_on_when_it_has_grown(gan: Any, tmp_path: Path) -> None:
    trial = gan(**R3GAN)
    for _ in range(4):
        row = report(trial)
    assert row["ended"] == "budget"
    trial.save_checkpoint(str(tmp_path))
    longer = gan(**R3GAN, restore_from=[str(tmp_path)], max_steps=60, decay_from=40, judge="final")
    row = report(longer)
    assert row["step"] == 50
    assert row["ended"] is None
    assert longer.g_optimizer.param_groups[0]["lr"] == pytest.approx(2e-4 * 11 / 20)
    assert report(longer)["ended"] == "budget"


CHANGES: list[dict[str, Any]] = [
    {
        "lr_g": 4e-4, "lr_d": 1e-4, "beta1": 0.5, "beta2": 0.99, "batch_size": 32, "ema": 0.99,
        "shift": 1, "label_smoothing": 0.1,
    },
    {"ema": 0.0, "lr_g": 3e-4, "batch_size": 64},
]  # fmt: skip
SCHEDULE = [[5, CHANGES[0]], [15, CHANGES[1]]]


def test_a_schedule_is_bit_for_bit_what_a_population_did(gan: Any, tmp_path: Path) -> None:
    """In a population each change is a trial with its own seed that continues the one before."""
    settings: dict[str, Any] = {"lr_decay": "linear", **SHORT}
    alone = gan(schedule=SCHEDULE, **settings)
    rows = [report(alone) for _ in range(4)]
    member, populated = gan(**settings), []
    for number, (reports, change) in enumerate(((1, CHANGES[0]), (2, CHANGES[1]), (1, {}))):
        populated += [report(member) for _ in range(reports)]
        if change:
            member.save_checkpoint(str(tmp_path))
            settings |= change
            member = gan(**settings, seed=100 + number)
            member.load_checkpoint(str(tmp_path))
    assert rows == populated
    assert all(
        torch.equal(ours, theirs)
        for ours, theirs in zip(weights(alone), weights(member), strict=True)
    )
    assert alone.g_optimizer.param_groups[0]["betas"] == (0.5, 0.99)
    assert rows[-1]["epoch"] == (5 * 64 + 10 * 32 + 5 * 64) / len(alone.images)
    unchanged = gan(lr_decay="linear", **SHORT)
    assert rows[:2] != [report(unchanged) for _ in range(2)]


@pytest.mark.parametrize(
    "reports", [2, *(pytest.param(reports, marks=pytest.mark.slow) for reports in (1, 3))]
)
def test_a_trial_cut_off_goes_on_in_its_schedule(reports: int, gan: Any, tmp_path: Path) -> None:
    whole, cut = gan(schedule=SCHEDULE, **SHORT), gan(schedule=SCHEDULE, **SHORT)
    rows = [report(whole) for _ in range(4)]
    for _ in range(reports):
        report(cut)
    cut.save_checkpoint(str(tmp_path))
    again = gan(schedule=SCHEDULE, **SHORT, restore_from=[str(tmp_path / "torn"), str(tmp_path)])
    assert [report(again) for _ in range(4 - reports)] == rows[reports:]


def test_dropout_can_change_and_files_are_kept_over_a_change(gan: Any) -> None:
    trial = gan(
        regulariser="dropout", dropout=0.3, schedule=[[10, {"dropout": 0.1}]], report_every=20
    )
    trial.files["kept"] = b"content"
    row = trial.step()
    assert row["files"]["kept"] == b"content"
    assert [
        module.p for module in trial.discriminator.modules() if isinstance(module, torch.nn.Dropout)
    ] == [0.1, 0.1]


class TestCreateShared:
    def test_says_its_cautions_and_puts_them_where_a_report_finds_them(
        self, digits: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(judge, "TRAINING_STEPS", 15)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        few = replace(digits, test=digits.test[:200], test_labels=digits.test_labels[:200])
        said: list[str] = []
        about = create_shared(few, said.append, tmp_path / "judges").about()
        cautions = [line.removeprefix("caution: ") for line in said if line.startswith("caution: ")]
        assert about["cautions"] == cautions
        assert "only 200 different test images of digits" in cautions[0]
        assert said[0].startswith("caution: ")  # before anything that takes long
        assert {len(one["fingerprint"]) for one in about["judges"].values()} == {64}
        assert json.loads(json.dumps(about)) == about

    def test_a_judge_that_has_learned_nothing_is_refused_before_another_is_trained(
        self, digits: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(judge, "TRAINING_STEPS", 15)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        labels = np.random.default_rng(0).permutation(digits.train_labels)
        shuffled = replace(digits, train_labels=labels)
        said: list[str] = []
        with pytest.raises(
            ImagesUnavailable,
            match=r"judge 1 recognises \d+\.\d% of the 599 test images of digits, and needs",
        ):
            create_shared(shuffled, said.append, tmp_path / "judges")
        assert not any(line.startswith("training judge 2") for line in said)
