"""What the two networks minimise: four losses of the discriminator's scores, and the gradient
penalties R1 and R2.

``real`` and ``fake`` are the scores (logits, shape (B,)) of real and of made images. Every loss is
a mean over the batch.

- ``non-saturating``: the coursework's binary cross-entropy (Goodfellow et al. 2014,
  https://arxiv.org/abs/1406.2661)
- ``hinge``: Lim & Ye 2017, https://arxiv.org/abs/1705.02894
- ``least-squares``: Mao et al. 2016, https://arxiv.org/abs/1611.04076
- ``relativistic``: a real image should score above a made one (Jolicoeur-Martineau 2018,
  https://arxiv.org/abs/1807.00734), with R1 and R2 as in Huang et al. 2025,
  https://arxiv.org/abs/2501.05441
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

Loss = Literal["non-saturating", "hinge", "least-squares", "relativistic"]


def generator_loss(loss: Loss, fake: Tensor, real: Tensor | None) -> Tensor:
    """What the generator minimises; only the relativistic loss needs ``real``."""
    match loss:
        case "non-saturating":
            return softplus(-fake).mean()
        case "hinge":
            return -fake.mean()
        case "least-squares":
            return (fake - 1).square().mean()
        case "relativistic":
            assert real is not None
            return softplus(real - fake).mean()


def discriminator_loss(
    loss: Loss, real: Tensor, fake: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """What the discriminator minimises, without penalties.

    With ``label_smoothing`` the target of real images is 1 - ``label_smoothing``; for
    ``non-saturating`` only (Salimans et al. 2016, https://arxiv.org/abs/1606.03498).
    """
    match loss:
        case "non-saturating":
            on_real = (1 - label_smoothing) * softplus(-real) + label_smoothing * softplus(real)
            return on_real.mean() + softplus(fake).mean()
        case "hinge":
            return relu(1 - real).mean() + relu(1 + fake).mean()
        case "least-squares":
            return (real - 1).square().mean() + fake.square().mean()
        case "relativistic":
            return softplus(fake - real).mean()


def gradient_penalty(scores: Tensor, images: Tensor) -> Tensor:
    """Mean squared norm of the scores' gradient at ``images`` (B, 28, 28).

    R1 is that of real images, R2 that of made ones.
    Source: Mescheder et al. 2018, https://arxiv.org/abs/1801.04406
    """
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)  # (B, 28, 28)
    return gradient.square().sum((1, 2)).mean()


def probabilities(loss: Loss, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """D(x) and D(G(z)) in [0, 1], means over the batch.

    ``non-saturating``: the sigmoid of the score. ``least-squares``: the score, whose targets are 1
    and 0. ``hinge``: the score's place between its margins -1 and 1. ``relativistic``: the
    probability that a real image scores above a made one, and its complement, since only the
    difference of two scores has a meaning.
    """
    match loss:
        case "non-saturating":
            return real.sigmoid().mean(), fake.sigmoid().mean()
        case "hinge":
            return ((real + 1) / 2).clamp(0, 1).mean(), ((fake + 1) / 2).clamp(0, 1).mean()
        case "least-squares":
            return real.clamp(0, 1).mean(), fake.clamp(0, 1).mean()
        case "relativistic":
            above = (real - fake).sigmoid().mean()
            return above, 1 - above
