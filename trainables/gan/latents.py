"""What the generator draws from: latent distributions, and the paths between two latents.

Shapes: B latents of Z numbers each.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot

Latent = Literal["normal", "uniform", "clusters"]

CLUSTERS = 10
"""Components of the ``clusters`` latent, and the numbers of it that say which."""

CLUSTER_HEIGHT = 3.0


def draw_latents(latent: Latent, count: int, dim: int, generator: torch.Generator) -> Tensor:
    """``count`` fresh latents (B, Z) on the generator's device; every kind has mean 0 and variance
    1, but for the choice.

    ``normal``: the coursework's. ``uniform``: as in DCGAN. ``clusters``: normal, but for the first
    ``CLUSTERS`` numbers, of which one, chosen evenly, is ``CLUSTER_HEIGHT`` and the others 0.
    Digits are separate islands, which the image of one connected latent can cover only with bridges
    between them; with a choice in the latent there need be none.
    Source: Khayatkhoei et al. 2018, https://arxiv.org/abs/1806.00880
    """
    if latent == "uniform":
        half_width = math.sqrt(3)
        return (
            torch.rand(count, dim, generator=generator, device=generator.device) * 2 - 1
        ) * half_width
    z = torch.randn(count, dim, generator=generator, device=generator.device)
    if latent == "clusters":
        choice = torch.randint(CLUSTERS, (count,), generator=generator, device=generator.device)
        z[:, :CLUSTERS] = CLUSTER_HEIGHT * one_hot(choice, CLUSTERS)
    return z


Path = Callable[[Tensor, Tensor, int], Tensor]


def interpolate_linear(begin: Tensor, end: Tensor, n: int = 9) -> Tensor:
    """The coursework's path, f(x) = x/n * begin + (n - x)/n * end for x = 0..n: (n + 1, Z), from ``end`` to ``begin``."""
    share = torch.arange(n + 1, device=begin.device)[:, None] / n
    return share * begin + (1 - share) * end


def interpolate_spherical(begin: Tensor, end: Tensor, n: int = 9) -> Tensor:
    """The same along the great circle: (n + 1, Z), from ``end`` to ``begin``, lengths between
    theirs.

    The middle of two normal latents is shorter by sqrt 2 than any latent seen in training; this
    path's is not.
    Source: White 2016, https://arxiv.org/abs/1609.04468
    """
    share = torch.arange(n + 1, device=begin.device)[:, None] / n
    cosine = torch.dot(begin, end) / (begin.norm() * end.norm())
    angle = torch.arccos(cosine.clamp(-1, 1))
    if angle.sin() < 1e-4:  # as good as on one line
        return interpolate_linear(begin, end, n)
    return (torch.sin(share * angle) * begin + torch.sin((1 - share) * angle) * end) / torch.sin(
        angle
    )
