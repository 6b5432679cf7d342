"""Memory and disk that a GAN trial needs, as a formula of its settings.

B images in a batch, Z latent numbers for each. The sizes of the networks' hidden layers never
change, so their weights and activations are constants here;
tests/trainables/gan/test_demand.py measures them again.
"""

from collections.abc import Mapping
from typing import Any

from trainables.demand import Demand
from trainables.gan.model import PIXELS
from trainables.gan.quality import MADE

FLOAT = 4
"""Bytes of a number."""
GENERATOR, FIRST_LAYER, DISCRIMINATOR = 1_500_000, 128, 535_000
"""Weights of the generator without its first layer, of the first layer for each latent number, and
of the discriminator."""
STEP_IMAGE = 120_000
"""Bytes that a training step keeps for one image of the batch, with both gradient penalties."""
MEASURED_IMAGE = 20_000
"""Bytes that an evaluation keeps for one image."""
DIGITS = 1_198
"""Training images of scikit-learn's digits: no more images are made for a measurement."""


def demand(settings: Mapping[str, Any]) -> Demand:
    """What a trial with these ``settings`` needs, with a running average and both penalties, which
    need most."""
    B, Z = settings["batch_size"], settings["latent_dim"]
    made = min(MADE, DIGITS) if settings["dataset"] == "digits" else MADE
    generator, discriminator = FLOAT * (GENERATOR + FIRST_LAYER * Z), FLOAT * DISCRIMINATOR
    # The backward pass keeps one real and one made image for each place that a shift can reach
    places = (2 * settings.get("shift", 0) + 1) ** 2
    step = B * (STEP_IMAGE + 3 * FLOAT * Z + 2 * FLOAT * PIXELS * (places - 1))
    evaluation = made * (MEASURED_IMAGE + 2 * FLOAT * Z)
    saved = 5 * generator + 3 * discriminator  # with the running average and both optimizers
    return Demand(saved + generator + discriminator + max(step, evaluation), saved)
