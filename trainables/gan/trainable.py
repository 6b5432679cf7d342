"""One GAN trial: the coursework's update order on images that stay on the device, measured by a
judge at every report.

A step draws latents, makes images, updates the generator on how they score, then updates the
discriminator on the same images and on real ones. What is measured and exported is the generator,
or the running average of its weights where the settings ask for one. A trial ends by itself with a
reason when it can come to nothing: the discriminator has won outright, the generator has collapsed,
a figure is no longer finite.
"""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torchvision.utils import make_grid

from trainables.gan.images import Batches, Images, shifted, to_float, to_uint8
from trainables.gan.judge import (
    EVALUATION_BATCH,
    FINAL_JUDGE,
    SEARCH_JUDGE,
    classify,
    fingerprint,
    load_judge,
)
from trainables.gan.losses import (
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    probabilities,
)
from trainables.gan.model import SimpleDiscriminator, SimpleGenerator
from trainables.gan.outcomes import DISCRIMINATOR_WON, GENERATOR_COLLAPSED, OUTCOMES
from trainables.gan.quality import (
    COMPARED,
    MADE,
    Evaluator,
    check_evaluator,
    check_images,
    class_shares,
    create_evaluator,
    nearest_training_images,
)
from trainables.gan.waiting import Heartbeat, Say
from trainables.resumable import ResumableTrainable, Row, generator

Role = Literal["search", "final"]

GRID_EVERY = 500
"""Training steps between two sample grids, as in the coursework. One more is drawn at the end of the budget."""
GRID_SIDE = 5

FAILING_REPORTS = 3
"""Reports in a row that must look hopeless before a trial ends."""
WON = 0.995
"""Share of pairs of a real and a made image told apart, from which on the discriminator has won outright."""
COLLAPSED = 0.15
"""Coverage of the ten classes up to which the generator has collapsed: hardly more than one of them."""
FAILING_FROM = 500
"""Steps, or a third of the budget where that is more, before which many a generator looks collapsed that will be none."""

LATE = 3
"""A late decay has the last 1/3 of the steps to itself."""

EMA_WARM_UP = 10
"""Steps over which the running average starts: early it averages over the last tenth of training, whatever its decay."""

SHOWN_NEIGHBOURS = 32
"""Made images that are stored beside their nearest training images."""


@dataclass(frozen=True)
class Shared:
    """What all trials read: the images, and an evaluator for trials of the search and one for the
    final figures.

    ``cautions``: what may mislead whoever reads the figures, a sentence each.
    """

    images: Images
    evaluators: Mapping[Role, Evaluator]
    cautions: tuple[str, ...] = ()

    def about(self) -> dict[str, Any]:
        """What a report needs to know of it: the data set's size and class shares, the judges, their floors, the cautions."""
        judges = {
            role: {
                "accuracy": evaluator.accuracy,
                "floor": evaluator.floor,
                "fingerprint": fingerprint(evaluator.judge),
            }
            for role, evaluator in self.evaluators.items()
        }
        counts = {"train": len(self.images.train), "test": len(self.images.test)}
        shares = self.evaluators["search"].shares.tolist()
        return {
            "images": {**counts, "shares": shares},
            "judges": judges,
            "cautions": list(self.cautions),
        }


def create_shared(
    images: Images, say: Say, judges: Path, before: Mapping[str, Mapping[str, Any]] | None = None
) -> Shared:
    """The images with an evaluator for each role. ``judges``: the run's folder of them (see
    ``load_judge``).

    ``before`` is what ``about`` said of the judges when the run began. ``say`` is given a line
    about all that takes long, and every caution. Raises ImagesUnavailable if the run began with
    other images or judges, or if figures measured with these would mean nothing.
    """
    cautions: list[str] = []

    def caution(found: list[str]) -> None:
        cautions.extend(found)
        for one in found:
            say(f"caution: {one}")

    caution(check_images(images))
    seeds: dict[Role, int] = {"search": SEARCH_JUDGE, "final": FINAL_JUDGE}
    evaluators: dict[Role, Evaluator] = {}
    for role, seed in seeds.items():
        began_with = (before or {}).get(role, {}).get("fingerprint")
        judge = load_judge(images, seed, say, judges, began_with)
        with Heartbeat(say, f"judge {seed}: measuring the real images"):
            evaluators[role] = create_evaluator(images, judge)
        caution(check_evaluator(evaluators[role], seed, images))
    return Shared(images, evaluators, tuple(cautions))


class GANTrial(ResumableTrainable):
    """Config: ``lr_g``, ``lr_d``, ``beta1``, ``beta2`` (Adam, both sides), ``batch_size``,
    ``latent_dim``, ``latent``; ``loss`` and with it ``label_smoothing`` (non-saturating) or
    ``penalty`` (relativistic: the weight of R1 and R2); ``ema`` (decay of the generator's running
    average; 0: none); the discriminator's ``regulariser`` (none, dropout, spectral) and with it
    ``dropout``; ``shift`` (pixels by which it sees its images moved at most); ``lr_decay`` (none,
    or both rates to 0 at ``max_steps``: linear or cosine from step ``decay_from`` on, late in the
    last third only); ``d_steps`` (discriminator updates a generator update); ``judge`` (search,
    final), ``report_every``, ``max_steps``, ``seed``.

    A report's row: ``step``; ``epoch`` (real images shown to the discriminator, over their number);
    on fresh latents ``fd``, ``fd_ratio`` (fd over its real-against-real floor), ``clean``,
    ``coverage`` and ``digits`` (shares of the ten classes); ``train_g_loss``, ``train_d_loss``,
    ``train_d_real`` (D(x)), ``train_d_fake`` (D(G(z))) and ``train_told_apart`` (pairs in which the
    real image scores higher, a share), one value every 10 steps; ``ended``; and in the last row by
    the final judge ``density``, ``manifold_coverage`` and ``copied`` too. Its files: sample grids
    of a fixed latent under ``gan_images/``, every 500 steps and at the end of the budget; with the
    final judge's last row ``nearest.npz``.
    """

    shared: Shared
    outcomes = OUTCOMES

    @cached_property
    def images(self) -> Tensor:
        """The training images (N, 28, 28), uint8, on the device for all trials of this worker."""
        return torch.from_numpy(self.shared.images.train).to(self.device)

    @cached_property
    def evaluators(self) -> dict[Role, Evaluator]:
        return {
            role: evaluator.to(self.device) for role, evaluator in self.shared.evaluators.items()
        }

    def build(self, config: dict[str, Any]) -> None:
        seed = int(config["seed"])
        self.generator = SimpleGenerator(int(config["latent_dim"]), config["latent"]).to(
            self.device
        )
        regulariser = config["regulariser"]
        dropout = float(config["dropout"]) if regulariser == "dropout" else 0.0
        self.discriminator = SimpleDiscriminator(dropout, normalised=regulariser == "spectral").to(
            self.device
        )
        self.averaged = self._average(float(config["ema"])) if config["ema"] else None
        self.model = self.averaged.module if self.averaged else self.generator
        betas = float(config["beta1"]), float(config["beta2"])
        self.g_optimizer = torch.optim.Adam(
            self.generator.parameters(), float(config["lr_g"]), betas, fused=True
        )
        self.d_optimizer = torch.optim.Adam(
            self.discriminator.parameters(), float(config["lr_d"]), betas, fused=True
        )
        self.train_stream = generator(seed, "train", self.device)
        self.evaluation_stream = generator(seed, "evaluation", self.device)
        batches_stream = generator(seed, "weights", self.device)
        self.batches = Batches(len(self.images), int(config["batch_size"]), batches_stream)
        self.evaluator = self.evaluators[config["judge"]]
        self.grid_latents = self.generator.draw_latents(
            GRID_SIDE**2, generator(seed, "samples", self.device)
        )
        self.images_shown = 0
        self.won_reports = self.collapsed_reports = 0

    def _average(self, decay: float) -> AveragedModel:
        """The running average of the generator's weights and BatchNorm statistics."""

        def average(averaged: Any, current: Any, count: Any) -> None:
            past = min(decay, self.step_number / (self.step_number + EMA_WARM_UP))
            if averaged[0].is_floating_point():
                torch._foreach_lerp_(averaged, current, 1 - past)
            else:
                torch._foreach_copy_(averaged, current)

        return AveragedModel(self.generator, multi_avg_fn=average, use_buffers=True)

    def advance(self) -> dict[str, Tensor]:
        self._set_lr()
        real, made = self._draw_real(), self.generator(self._draw_latents())  # (B, 28, 28)
        g_loss = self._update_generator(made, real)
        d_loss, real_scores, fake_scores = self._update_discriminator(made.detach(), real)
        for _ in range(int(self.config["d_steps"]) - 1):
            with torch.no_grad():
                made = self.generator(self._draw_latents())
            self._update_discriminator(made, self._draw_real())
        if self.averaged:
            self.averaged.update_parameters(self.generator)
        if self.step_number % GRID_EVERY == 0 or self.step_number == self.config["max_steps"]:
            self.files[f"gan_images/step_{self.step_number:06d}.png"] = grid_png(
                self._make(self.grid_latents)
            )
        d_real, d_fake = probabilities(self.config["loss"], real_scores, fake_scores)
        told_apart = (real_scores > fake_scores).float().mean()
        return {
            "g_loss": g_loss,
            "d_loss": d_loss,
            "d_real": d_real,
            "d_fake": d_fake,
            "told_apart": told_apart,
        }

    def _update_generator(self, made: Tensor, real: Tensor) -> Tensor:
        self.discriminator.requires_grad_(False)
        relativistic = self.config["loss"] == "relativistic"
        real_scores = self.discriminator.scores(self._shown(real)) if relativistic else None
        loss = generator_loss(
            self.config["loss"], self.discriminator.scores(self._shown(made)), real_scores
        )
        self.g_optimizer.zero_grad()
        loss.backward()
        self.g_optimizer.step()
        self.discriminator.requires_grad_(True)
        return loss.detach()

    def _update_discriminator(self, made: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the loss without penalties, and the scores of real and of made images, all detached."""
        penalty = float(self.config.get("penalty", 0.0))
        images = self._shown(
            torch.cat((real, made))
        )  # (2B, 28, 28): one pass for both, as no layer looks across the batch
        if penalty:
            images.requires_grad_()
        scores = self.discriminator.scores(images)
        real_scores, fake_scores = scores.chunk(2)
        smoothing = float(self.config.get("label_smoothing", 0.0))
        loss = discriminator_loss(self.config["loss"], real_scores, fake_scores, smoothing)
        # The mean over both halves is half of R1 + R2, whose weight is penalty / 2 each.
        total = loss + penalty * gradient_penalty(scores, images) if penalty else loss
        self.d_optimizer.zero_grad()
        total.backward()
        self.d_optimizer.step()
        return loss.detach(), real_scores.detach(), fake_scores.detach()

    def _set_lr(self) -> None:
        start, end = int(self.config.get("decay_from", 0)), int(self.config["max_steps"])
        share = max(0, self.step_number - 1 - start) / max(1, end - start)
        left = 1 - share
        factor = {
            "none": 1.0,
            "linear": left,
            "cosine": (1 - math.cos(math.pi * left)) / 2,
            "late": min(1.0, LATE * left),
        }
        for optimizer, lr in (
            (self.g_optimizer, self.config["lr_g"]),
            (self.d_optimizer, self.config["lr_d"]),
        ):
            for group in optimizer.param_groups:
                group["lr"] = float(lr) * factor[self.config["lr_decay"]]

    def evaluate(self, curves: Mapping[str, list[float]]) -> Row:
        made = self._make(
            self.generator.draw_latents(min(MADE, len(self.images)), self.evaluation_stream)
        )
        if (
            not made.isfinite().all()
        ):  # since the last of the training points, or in the running average alone
            return {"fd": math.nan, "ended": None}
        seen = classify(self.evaluator.judge, made)
        row: Row = self.evaluator.measure(seen)
        row["fd_ratio"] = row["fd"] / self.evaluator.floor["fd"]
        row["epoch"] = self.images_shown / len(self.images)
        row["digits"] = class_shares(seen.digits).tolist()
        row["ended"] = self._hopeless(row, curves)
        if self.config["judge"] == "final" and self.step_number == self.config["max_steps"]:
            row |= self.evaluator.examine(seen)
            row["copied"] = self._compare_with_training_images(made[:COMPARED])
        return row

    def _hopeless(self, row: Row, curves: Mapping[str, list[float]]) -> str | None:
        """Why the trial can come to nothing, if the last reports say so; settings known beforehand
        have their whole budget.

        A discriminator that wins from the start leaves a generator that looks collapsed: it is the
        cause, and named.
        """
        if "baseline" in self.config or self.step_number < max(
            FAILING_FROM, self.config["max_steps"] // 3
        ):
            return None
        self.won_reports = self.won_reports + 1 if mean(curves["train_told_apart"]) >= WON else 0
        self.collapsed_reports = self.collapsed_reports + 1 if row["coverage"] <= COLLAPSED else 0
        if self.won_reports >= FAILING_REPORTS:
            return DISCRIMINATOR_WON.name
        return GENERATOR_COLLAPSED.name if self.collapsed_reports >= FAILING_REPORTS else None

    def _compare_with_training_images(self, made: Tensor) -> float:
        found = nearest_training_images(made, self.images)
        content = io.BytesIO()
        np.savez_compressed(
            content,
            made=to_uint8(made[:SHOWN_NEIGHBOURS].clone()).cpu().numpy(),
            nearest=self.images[found.index[:SHOWN_NEIGHBOURS]].cpu().numpy(),
            distance=found.distance[:SHOWN_NEIGHBOURS].cpu().numpy(),
            own=found.own[:SHOWN_NEIGHBOURS].cpu().numpy(),
        )
        self.files["nearest.npz"] = content.getvalue()
        return found.copied

    def diverged_row(self) -> Row:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "g_optimizer": self.g_optimizer.state_dict(),
            "d_optimizer": self.d_optimizer.state_dict(),
            "averaged": self.averaged.state_dict() if self.averaged else None,
            "train_stream": self.train_stream.get_state(),
            "evaluation_stream": self.evaluation_stream.get_state(),
            "batches": self.batches.state_dict(),
            "images_shown": self.images_shown,
            "won_reports": self.won_reports,
            "collapsed_reports": self.collapsed_reports,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.g_optimizer.load_state_dict(state["g_optimizer"])
        self.d_optimizer.load_state_dict(state["d_optimizer"])
        for optimizer in (self.g_optimizer, self.d_optimizer):
            for group in optimizer.param_groups:  # the state brings the betas of its own config
                group["betas"] = float(self.config["beta1"]), float(self.config["beta2"])
        if (
            self.averaged and state["averaged"]
        ):  # else the average starts here, from the generator's weights
            self.averaged.load_state_dict(state["averaged"])
        self.train_stream.set_state(state["train_stream"])
        self.evaluation_stream.set_state(state["evaluation_stream"])
        self.batches.load_state_dict(state["batches"])
        self.images_shown = state["images_shown"]
        self.won_reports = state["won_reports"]
        self.collapsed_reports = state["collapsed_reports"]

    def _draw_real(self) -> Tensor:
        places = self.batches.draw()
        self.images_shown += len(places)
        return to_float(self.images[places])

    def _shown(self, images: Tensor) -> Tensor:
        """What the discriminator is shown of images."""
        shift = int(self.config["shift"])
        return shifted(images, shift, self.train_stream) if shift else images

    def _draw_latents(self) -> Tensor:
        return self.generator.draw_latents(self.batches.batch_size, self.train_stream)

    @torch.no_grad()
    def _make(self, z: Tensor) -> Tensor:
        """Images (N, 28, 28) as the exported generator would draw them."""
        self.model.eval()
        made = torch.cat([self.model(batch) for batch in z.split(EVALUATION_BATCH)])
        self.model.train()
        return made


def grid_png(images: Tensor) -> bytes:
    """Images (N, 28, 28) in [-1, 1] as a square PNG grid."""
    grid = make_grid(
        to_uint8(images.clone())[:, None].cpu(),
        nrow=math.isqrt(len(images)),
        padding=2,
        pad_value=64,
    )
    content = io.BytesIO()
    Image.fromarray(grid[0].numpy()).save(content, "PNG")
    return content.getvalue()
