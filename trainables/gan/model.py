"""The coursework's generator and discriminator, and how to load an exported generator.

Shapes: B images, Z latent numbers for each. Images are 28 x 28 with values in [-1, 1].
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
"""Slope of LeakyReLU below zero, in both networks."""


class SimpleGenerator(nn.Module):
    """Latents (B, Z) to images (B, 28, 28): x = tanh(Linear(h_4)),
    h_1 = LeakyReLU(Linear(z)), h_i = LeakyReLU(BatchNorm(Linear(h_i-1))) for i = 2, 3, 4.
    """

    def __init__(self, latent_dim: int = 100, latent: Latent = "normal") -> None:
        super().__init__()
        self.latent_dim, self.latent = latent_dim, latent
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, 128), nn.LeakyReLU(SLOPE),  # (B, 128)
            nn.Linear(128, 256), nn.BatchNorm1d(256), nn.LeakyReLU(SLOPE),  # (B, 256)
            nn.Linear(256, 512), nn.BatchNorm1d(512), nn.LeakyReLU(SLOPE),  # (B, 512)
            nn.Linear(512, 1024), nn.BatchNorm1d(1024), nn.LeakyReLU(SLOPE),  # (B, 1024)
            nn.Linear(1024, PIXELS), nn.Tanh(),  # (B, 784)
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.layers(z)  # (B, 784)
        return x.view(-1, IMAGE_SIDE, IMAGE_SIDE)  # (B, 28, 28)

    def draw_latents(self, count: int, generator: torch.Generator) -> Tensor:
        """Fresh latents (count, Z) of this network's distribution, on the generator's device."""
        return draw_latents(self.latent, count, self.latent_dim, generator)


class SimpleDiscriminator(nn.Module):
    """Images (B, 28, 28) to the probability (B,) that each is real: p = sigmoid(Linear(h_2)),
    h_1 = Dropout(LeakyReLU(Linear(x))), h_2 = Dropout(LeakyReLU(Linear(h_1))).

    Args:
        dropout: Fraction of the hidden units dropped in training; the coursework drops none.
        normalised: Whether every layer's largest singular value is held at 1 (Miyato et al. 2018,
            https://arxiv.org/abs/1802.05957).
    """

    def __init__(self, dropout: float = 0.0, normalised: bool = False) -> None:
        super().__init__()

        def linear(inputs: int, outputs: int) -> nn.Module:
            layer = nn.Linear(inputs, outputs)
            return spectral_norm(layer) if normalised else layer

        self.layers = nn.Sequential(
            linear(PIXELS, 512), nn.LeakyReLU(SLOPE), nn.Dropout(dropout),  # (B, 512)
            linear(512, 256), nn.LeakyReLU(SLOPE), nn.Dropout(dropout),  # (B, 256)
            linear(256, 1),  # (B, 1)
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(x).sigmoid()  # (B,)

    def scores(self, x: Tensor) -> Tensor:
        """The logits (B,) before the sigmoid: what the losses take."""
        logits: Tensor = self.layers(x.reshape(-1, PIXELS))  # (B, 1)
        return logits.squeeze(1)  # (B,)


def load_generator(folder: str | Path, device: str = "cpu") -> SimpleGenerator:
    """The generator in the folder of an exported trial, such as ``runs/NAME/best``, ready to draw.

    Raises OSError if ``config.json`` or ``model.safetensors`` is missing.
    """
    config = json.loads((Path(folder) / "config.json").read_bytes())
    generator = SimpleGenerator(config["latent_dim"], config["latent"]).to(device)
    generator.load_state_dict(load_file(Path(folder) / "model.safetensors", device=device))
    return generator.eval()
