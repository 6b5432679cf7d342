"""The coursework's generator and discriminator, layer by layer, and an exported generator loaded
again.

Shapes: B images, Z latent numbers an image. Images are 28 x 28 with values in [-1, 1].
Source: Goodfellow et al., Generative Adversarial Networks, https://arxiv.org/abs/1406.2661
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from trainables.gan.latents import Latent, draw_latents

IMAGE_SIDE = 28
PIXELS = IMAGE_SIDE * IMAGE_SIDE
SLOPE = 0.2
"""Of LeakyReLU below zero, in both networks."""


class SimpleGenerator(nn.Module):
    """Latents (B, Z) to images (B, 28, 28): Linear Z-128-256-512-1024-784, LeakyReLU between, BatchNorm from 256 on, tanh."""

    def __init__(self, latent_dim: int = 100, latent: Latent = "normal") -> None:
        super().__init__()
        self.latent_dim, self.latent = latent_dim, latent
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, 128), nn.LeakyReLU(SLOPE),
            nn.Linear(128, 256), nn.BatchNorm1d(256), nn.LeakyReLU(SLOPE),
            nn.Linear(256, 512), nn.BatchNorm1d(512), nn.LeakyReLU(SLOPE),
            nn.Linear(512, 1024), nn.BatchNorm1d(1024), nn.LeakyReLU(SLOPE),
            nn.Linear(1024, PIXELS), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.layers(z)  # (B, 784)
        return images.view(-1, IMAGE_SIDE, IMAGE_SIDE)

    def draw_latents(self, count: int, generator: torch.Generator) -> Tensor:
        """Fresh latents (count, Z) of the distribution that this network is trained with, on the generator's device."""
        return draw_latents(self.latent, count, self.latent_dim, generator)


class SimpleDiscriminator(nn.Module):
    """Images (B, 28, 28) to the probability (B,) that each is real: Linear 784-512-256-1, LeakyReLU
    between, sigmoid.

    Args:
        dropout: Share of the hidden units dropped in training; the coursework drops none.
        normalised: Whether every layer's largest singular value is held at 1 (Miyato et al. 2018,
            https://arxiv.org/abs/1802.05957).
    """

    def __init__(self, dropout: float = 0.0, normalised: bool = False) -> None:
        super().__init__()

        def linear(inputs: int, outputs: int) -> nn.Module:
            layer = nn.Linear(inputs, outputs)
            return spectral_norm(layer) if normalised else layer

        self.layers = nn.Sequential(
            linear(PIXELS, 512), nn.LeakyReLU(SLOPE), nn.Dropout(dropout),
            linear(512, 256), nn.LeakyReLU(SLOPE), nn.Dropout(dropout),
            linear(256, 1),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        return self.scores(images).sigmoid()

    def scores(self, images: Tensor) -> Tensor:
        """The logits (B,) before the sigmoid, which the losses work on."""
        logits: Tensor = self.layers(images.reshape(-1, PIXELS))  # (B, 1)
        return logits.squeeze(1)


def load_generator(folder: str | Path, device: str = "cpu") -> SimpleGenerator:
    """The generator of an exported trial, such as ``runs/NAME/best``, ready to draw.

    Raises OSError where ``config.json`` or ``model.safetensors`` is missing.
    """
    config = json.loads((Path(folder) / "config.json").read_bytes())
    generator = SimpleGenerator(config["latent_dim"], config["latent"]).to(device)
    generator.load_state_dict(load_file(Path(folder) / "model.safetensors", device=device))
    return generator.eval()
