"""One GAN trial: the coursework's update order, on images that stay on the device.

A step draws latents, makes images and updates the generator by the discriminator's scores of them.
Then it updates the discriminator on the same images and on real ones. At every report a judge
measures the generator, or the running average of its weights if the settings ask for one; the same
network is exported. A trial ends early if it is hopeless: the discriminator has won outright, the
generator has collapsed, or a value is not finite.
"""

import io
import math
from collections.abc import Mapping
from functools import cached_property
from statistics import mean
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torchvision.utils import make_grid

from trainables.gan.images import Batches, shifted, to_float, to_uint8
from trainables.gan.judge import EVALUATION_BATCH, classify
from trainables.gan.losses import (
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    probabilities,
)
from trainables.gan.model import SimpleDiscriminator, SimpleGenerator
from trainables.gan.outcomes import DISCRIMINATOR_WON, GENERATOR_COLLAPSED, OUTCOMES
from trainables.gan.quality import COMPARED, MADE, Evaluator, class_shares, nearest_training_images
from trainables.gan.shared import Role, Shared
from trainables.random_states import generator
from trainables.resumable import ResumableTrainable, Row

GRID_EVERY = 500
"""Training steps between two sample grids, as in the coursework. The last step has one too."""
GRID_SIDE = 5

FAILING_REPORTS = 3
"""Hopeless reports in a row after which a trial ends."""
WON = 0.995
"""Fraction of real and made pairs told apart at which the discriminator has won outright."""
COLLAPSED = 0.15
"""Coverage of the ten classes at which the generator has collapsed, to hardly more than one."""
FAILING_FROM = 500
"""Steps before which no trial is hopeless, or a third of the budget if that is more: early on,
healthy generators often look collapsed."""

LATE = 3
"""A late decay takes the last 1/3 of the steps."""

EMA_WARM_UP = 10
"""At step n the running average's decay is at most n / (n + 10): it covers the last tenth of
training until the decay of the settings covers less."""

SHOWN_NEIGHBOURS = 32
"""Made images that are stored with their nearest training images."""


class GANTrial(ResumableTrainable):
    """Config: ``lr_g``, ``lr_d``, ``beta1``, ``beta2`` (Adam, both networks), ``batch_size``,
    ``latent_dim``, ``latent``; ``loss`` and with it ``label_smoothing`` (non-saturating) or
    ``penalty`` (relativistic: the weight of R1 and R2); ``ema``: the decay of the generator's
    running average; 0: none; the discriminator's ``regulariser`` (none, dropout, spectral) and with
    it ``dropout``; ``shift``: the most pixels by which the images that it sees are moved;
    ``lr_decay``: none, or both rates to 0 at ``max_steps``, linear or cosine from step
    ``decay_from`` on, late in the last third of these steps; ``d_steps``: discriminator updates for
    each generator update; ``judge`` (search, final), ``report_every``, ``max_steps``, ``seed``.

    A report's row: ``step``; ``epoch``: real images shown to the discriminator, over their number;
    on fresh latents ``fd``, ``fd_ratio`` (fd over its floor, see ``quality.py``), ``clean``,
    ``coverage`` and ``digits`` (fractions of the ten classes); ``train_g_loss``, ``train_d_loss``,
    ``train_d_real`` (D(x)), ``train_d_fake`` (D(G(z))) and ``train_told_apart`` (the fraction of
    pairs in which the real image has the higher score), one value every 10 steps; ``ended``; and,
    by the final judge at step ``max_steps``, ``density``, ``manifold_coverage`` and ``copied``.
    Files: sample grids of a fixed latent in ``gan_images/``, every 500 steps and at the last one;
    with the final judge's last row ``nearest.npz``.
    """

    outcomes = OUTCOMES
    saved = (
        "generator", "discriminator", "g_optimizer", "d_optimizer", "averaged", "train_stream",
        "evaluation_stream", "batches", "images_shown", "won_reports", "collapsed_reports",
    )  # fmt: skip
    shared: Shared

    @cached_property
    def images(self) -> Tensor:
        """The training images (N, 28, 28), uint8, on the device, for all trials of this worker."""
        return torch.from_numpy(self.shared.images.train).to(self.device)

    @cached_property
    def evaluators(self) -> dict[Role, Evaluator]:
        return {role: one.to(self.device) for role, one in self.shared.evaluators.items()}

    def build(self, config: dict[str, Any]) -> None:
        seed, latent_dim = int(config["seed"]), int(config["latent_dim"])
        self.generator = SimpleGenerator(latent_dim, config["latent"]).to(self.device)
        dropout = float(config["dropout"]) if config["regulariser"] == "dropout" else 0.0
        normalised = config["regulariser"] == "spectral"
        self.discriminator = SimpleDiscriminator(dropout, normalised).to(self.device)
        self.model, self.averaged = self.generator, None
        if config["ema"]:
            self.averaged = self._average(float(config["ema"]))
            self.model = self.averaged.module
        self.g_optimizer = self._adam(self.generator, float(config["lr_g"]))
        self.d_optimizer = self._adam(self.discriminator, float(config["lr_d"]))
        self.train_stream = generator(seed, "train", self.device)
        self.evaluation_stream = generator(seed, "evaluation", self.device)
        batches_stream = generator(seed, "weights", self.device)
        self.batches = Batches(len(self.images), int(config["batch_size"]), batches_stream)
        self.evaluator = self.evaluators[config["judge"]]
        samples_stream = generator(seed, "samples", self.device)
        self.grid_latents = self.generator.draw_latents(GRID_SIDE**2, samples_stream)
        self.images_shown = self.won_reports = self.collapsed_reports = 0

    @property
    def betas(self) -> tuple[float, float]:
        return float(self.config["beta1"]), float(self.config["beta2"])

    def _adam(self, network: nn.Module, lr: float) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), lr, self.betas, fused=True)

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
            grid = grid_png(self._make(self.grid_latents))
            self.files[f"gan_images/step_{self.step_number:06d}.png"] = grid
        d_real, d_fake = probabilities(self.config["loss"], real_scores, fake_scores)
        told_apart = (real_scores > fake_scores).float().mean()
        losses = {"g_loss": g_loss, "d_loss": d_loss}
        return {**losses, "d_real": d_real, "d_fake": d_fake, "told_apart": told_apart}

    def _update_generator(self, made: Tensor, real: Tensor) -> Tensor:
        self.discriminator.requires_grad_(False)
        name, score = self.config["loss"], self.discriminator.scores
        real_scores = score(self._shown(real)) if name == "relativistic" else None  # (B,)
        loss = generator_loss(name, score(self._shown(made)), real_scores)
        self.g_optimizer.zero_grad()
        loss.backward()
        self.g_optimizer.step()
        self.discriminator.requires_grad_(True)
        return loss.detach()

    def _update_discriminator(self, made: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the loss without penalties, and the scores of real and made images, detached."""
        # One pass for both halves, since no layer looks across the batch
        images = self._shown(torch.cat((real, made)))  # (2B, 28, 28)
        if penalty := float(self.config.get("penalty", 0.0)):
            images.requires_grad_()
        scores = self.discriminator.scores(images)  # (2B,)
        real_scores, fake_scores = scores.chunk(2)  # each (B,)
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
        left = 1 - max(0, self.step_number - 1 - start) / max(1, end - start)
        factor = {
            "none": 1.0,
            "linear": left,
            "cosine": (1 - math.cos(math.pi * left)) / 2,
            "late": min(1.0, LATE * left),
        }[self.config["lr_decay"]]
        for optimizer, name in ((self.g_optimizer, "lr_g"), (self.d_optimizer, "lr_d")):
            for group in optimizer.param_groups:
                group["lr"] = float(self.config[name]) * factor

    def evaluate(self, curves: Mapping[str, list[float]]) -> Row:
        count = min(MADE, len(self.images))
        made = self._make(self.generator.draw_latents(count, self.evaluation_stream))
        if not made.isfinite().all():  # training points may still be finite
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
        """The outcome if the last reports were hopeless; a baseline has its whole budget.

        A discriminator that wins from the start leaves a generator that looks collapsed; then the
        discriminator is named, as the cause.
        """
        earliest = max(FAILING_FROM, self.config["max_steps"] // 3)
        if "baseline" in self.config or self.step_number < earliest:
            return None
        self.won_reports = self.won_reports + 1 if mean(curves["train_told_apart"]) >= WON else 0
        self.collapsed_reports = self.collapsed_reports + 1 if row["coverage"] <= COLLAPSED else 0
        if self.won_reports >= FAILING_REPORTS:
            return DISCRIMINATOR_WON.name
        return GENERATOR_COLLAPSED.name if self.collapsed_reports >= FAILING_REPORTS else None

    def _compare_with_training_images(self, made: Tensor) -> float:
        found = nearest_training_images(made, self.images)
        first, content = slice(SHOWN_NEIGHBOURS), io.BytesIO()
        np.savez_compressed(
            content,
            made=to_uint8(made[first].clone()).cpu().numpy(),
            nearest=self.images[found.index[first]].cpu().numpy(),
            distance=found.distance[first].cpu().numpy(),
            own=found.own[first].cpu().numpy(),
        )
        self.files["nearest.npz"] = content.getvalue()
        return found.copied

    def load_state_dict(self, state: dict[str, Any]) -> None:
        # A population changes ema and the betas. A new average starts from the generator's weights.
        super().load_state_dict(state if self.averaged else {**state, "averaged": None})
        for optimizer in (self.g_optimizer, self.d_optimizer):
            for group in optimizer.param_groups:
                group["betas"] = self.betas

    def _draw_real(self) -> Tensor:
        places = self.batches.draw()
        self.images_shown += len(places)
        return to_float(self.images[places])

    def _shown(self, images: Tensor) -> Tensor:
        """The images as the discriminator sees them."""
        shift = int(self.config["shift"])
        return shifted(images, shift, self.train_stream) if shift else images

    def _draw_latents(self) -> Tensor:
        return self.generator.draw_latents(self.batches.batch_size, self.train_stream)

    @torch.no_grad()
    def _make(self, z: Tensor) -> Tensor:
        """Images (N, 28, 28) that the exported generator makes of latents (N, Z)."""
        self.model.eval()
        made = torch.cat([self.model(batch) for batch in z.split(EVALUATION_BATCH)])
        self.model.train()
        return made


def grid_png(images: Tensor) -> bytes:
    """Images (N, 28, 28) in [-1, 1] as a square PNG grid."""
    levels = to_uint8(images.clone())[:, None].cpu()  # (N, 1, 28, 28)
    grid = make_grid(levels, nrow=math.isqrt(len(images)), padding=2, pad_value=64)
    content = io.BytesIO()
    Image.fromarray(grid[0].numpy()).save(content, "PNG")
    return content.getvalue()
