import math

import pytest
import torch

from trainables.gan.latents import (
    CLUSTER_HEIGHT,
    CLUSTERS,
    Latent,
    draw_latents,
    interpolate_linear,
    interpolate_spherical,
)


def stream() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("latent", ["normal", "uniform"])
def test_latents_have_mean_0_and_variance_1(latent: Latent) -> None:
    z = draw_latents(latent, 20_000, 8, stream())
    assert z.mean(0).abs().max() < 0.03
    assert (z.var(0) - 1).abs().max() < 0.05


def test_uniform_latents_stay_in_their_box() -> None:
    z = draw_latents("uniform", 5_000, 8, stream())
    assert 1.7 < z.abs().max() <= math.sqrt(3)


def test_clusters_choose_one_of_ten_evenly() -> None:
    z = draw_latents("clusters", 20_000, 16, stream())
    chosen = z[:, :CLUSTERS]
    assert ((chosen == CLUSTER_HEIGHT).sum(1) == 1).all()
    assert ((chosen == 0).sum(1) == CLUSTERS - 1).all()
    assert ((chosen.argmax(1).bincount() / 20_000 - 0.1).abs() < 0.01).all()
    assert z[:, CLUSTERS:].std() == pytest.approx(1, abs=0.02)


def test_the_straight_path_is_the_courseworks_formula() -> None:
    begin, end = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    path = interpolate_linear(begin, end, n=9)
    assert path.shape == (10, 2)
    for x in range(10):
        torch.testing.assert_close(path[x], x / 9 * begin + (9 - x) / 9 * end)


def test_the_great_circle_keeps_its_length_and_turns_evenly() -> None:
    begin, end = torch.tensor([3.0, 0.0, 0.0]), torch.tensor([0.0, 3.0, 0.0])
    path = interpolate_spherical(begin, end, n=9)
    torch.testing.assert_close(path[0], end)
    torch.testing.assert_close(path[-1], begin, atol=1e-5, rtol=0)
    torch.testing.assert_close(path.norm(dim=1), torch.full((10,), 3.0))
    turns = torch.arccos((path[1:] * path[:-1]).sum(1) / 9)
    torch.testing.assert_close(turns, torch.full((9,), math.pi / 18), atol=1e-3, rtol=0)


def test_the_great_circle_between_latents_on_one_line_is_straight() -> None:
    z = torch.tensor([1.0, 2.0])
    torch.testing.assert_close(
        interpolate_spherical(z, 2 * z, n=4), interpolate_linear(z, 2 * z, n=4)
    )
    assert interpolate_spherical(z, -z, n=4).isfinite().all()
