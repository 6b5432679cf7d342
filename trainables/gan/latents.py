"""Latents: the distributions that the generator draws from, and paths between two latents.

Shapes: B latents of Z numbers each.
"""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot

Latent = Literal["normal", "uniform", "clusters"]

CLUSTERS = 10
"""Components of the ``clusters`` latent, and its numbers that say which component."""

CLUSTER_HEIGHT = 3.0


def draw_latents(latent: Latent, count: int, dim: int, generator: torch.Generator) -> Tensor:
    """``count`` fresh latents (B, Z) on the generator's device.

    ``normal``: mean 0 and variance 1, as in the coursework. ``uniform``: DCGAN's,
    scaled to the same variance. ``clusters``: normal, except for the first ``CLUSTERS`` numbers (or
    all of fewer): one of them, with equal chances, is ``CLUSTER_HEIGHT``, the others are 0. Digits
    are separate islands. A generator maps a connected latent to a connected set, so it also draws
    shapes between the digits. A latent of separate clusters avoids that.
    Source: Khayatkhoei et al. 2018, https://arxiv.org/abs/1806.00880
    """
    device = generator.device
    if latent == "uniform":
        half_width = math.sqrt(3)
        return (torch.rand(count, dim, generator=generator, device=device) * 2 - 1) * half_width
    z = torch.randn(count, dim, generator=generator, device=device)  # (B, Z)
    if latent == "clusters":
        clusters = min(CLUSTERS, dim)
        choice = torch.randint(clusters, (count,), generator=generator, device=device)  # (B,)
        z[:, :clusters] = CLUSTER_HEIGHT * one_hot(choice, clusters)
    return z


def interpolate_linear(begin: Tensor, end: Tensor, n: int = 9) -> Tensor:
    """The coursework's path from ``end`` to ``begin``, (n + 1, Z).

    f(x) = x/n * begin + (n - x)/n * end for x = 0..n
    """
    t = torch.arange(n + 1, device=begin.device)[:, None] / n  # (n + 1, 1)
    return t * begin + (1 - t) * end


def interpolate_spherical(begin: Tensor, end: Tensor, n: int = 9) -> Tensor:
    """The path from ``end`` to ``begin`` along the great circle, (n + 1, Z).

    f(t) = (sin(t a) begin + sin((1 - t) a) end) / sin(a), with the angle a between them

    The middle of a straight path between two normal latents is shorter by sqrt 2 than the latents
    of training; this path keeps their length.
    Source: White 2016, https://arxiv.org/abs/1609.04468
    """
    t = torch.arange(n + 1, device=begin.device)[:, None] / n  # (n + 1, 1)
    cosine = torch.dot(begin, end) / (begin.norm() * end.norm())
    a = torch.arccos(cosine.clamp(-1, 1))
    if a.sin() < 1e-4:  # nearly on one line
        return interpolate_linear(begin, end, n)
    return (torch.sin(t * a) * begin + torch.sin((1 - t) * a) * end) / torch.sin(a)
