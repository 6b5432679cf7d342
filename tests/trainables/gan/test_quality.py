import copy

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from trainables.gan.images import Images, to_float
from trainables.gan.judge import Seen, look
from trainables.gan.quality import (
    Gaussian,
    class_shares,
    density_and_coverage,
    frechet_distance,
    nearest_training_images,
)
from trainables.gan.trainable import Shared


def cloud(count: int, dim: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)) * scale + shift


class TestFrechetDistance:
    def test_of_two_numbers_is_the_closed_form(self) -> None:
        one = Gaussian(torch.tensor([1.0], dtype=torch.float64), torch.tensor([[4.0]], dtype=torch.float64))
        other = Gaussian(torch.tensor([3.5], dtype=torch.float64), torch.tensor([[9.0]], dtype=torch.float64))
        assert frechet_distance(one, other) == pytest.approx(2.5**2 + (2 - 3) ** 2)

    def test_is_scipys_with_a_matrix_root(self) -> None:
        one, other = (Gaussian.of(cloud(300, 16, seed, scale, seed / 3)) for seed, scale in ((1, 1.0), (2, 2.5)))
        c1, c2 = one.covariance.numpy(), other.covariance.numpy()
        root = np.asarray(sqrtm(c1 @ c2)).real
        expected = ((one.mean - other.mean) ** 2).sum().item() + np.trace(c1 + c2 - 2 * root)
        assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-6)

    def test_is_torchmetrics_with_the_judge_as_its_network(self, shared: Shared, digits: Images) -> None:
        judge = shared.yardsticks["search"].judge

        class Features(nn.Module):
            num_features = 128

            def forward(self, images: Tensor) -> Tensor:  # (N, 1, 28, 28)
                return judge.features(images[:, 0])

        theirs = FrechetInceptionDistance(feature=Features())
        real, made = to_float(torch.from_numpy(digits.test)), to_float(torch.from_numpy(digits.train[:400])).flip(2)
        theirs.update(real[:, None], real=True)
        theirs.update(made[:, None], real=False)
        ours = frechet_distance(*(Gaussian.of(look(judge, images).features) for images in (real, made)))
        assert ours == pytest.approx(theirs.compute().item(), rel=1e-4)

    def test_of_a_cloud_and_itself_is_nothing_even_where_it_is_flat(self) -> None:
        flat = cloud(50, 16, 0)
        flat[:, 3:] = 0
        assert frechet_distance(Gaussian.of(flat), Gaussian.of(flat)) == pytest.approx(0, abs=1e-6)


class TestDensityAndCoverage:
    @pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.3, 0.0), (1.0, 2.0)])
    def test_are_those_of_a_brute_force_with_another_library(self, scale: float, shift: float) -> None:
        real, made, k = cloud(700, 6, 1), cloud(450, 6, 2, scale, shift), 5
        radius = NearestNeighbors(n_neighbors=k + 1).fit(real).kneighbors(real)[0][:, -1]
        distance = np.linalg.norm(real[:, None].numpy() - made[None].numpy(), axis=2)
        held = distance <= radius[:, None]
        density, coverage = density_and_coverage(real, made, k)
        assert density == pytest.approx(held.sum() / (k * len(made)), abs=1e-3)
        assert coverage == pytest.approx(held.any(1).mean(), abs=2e-3)

    def test_points_heaped_on_one_place_are_dense_and_cover_nothing(self) -> None:
        real = cloud(1000, 6, 1)
        density, coverage = density_and_coverage(real, torch.zeros(500, 6))
        assert density == pytest.approx(1, abs=0.3)  # five of a thousand balls hold that place
        assert coverage < 0.02


class TestNeighbours:
    def test_are_those_of_another_library(self, digits: Images) -> None:
        train, test = torch.from_numpy(digits.train), to_float(torch.from_numpy(digits.test[:60]))
        flat = to_float(train).reshape(len(train), -1).numpy()
        search = NearestNeighbors(n_neighbors=2).fit(flat)
        distance, index = search.kneighbors(test.reshape(60, -1).numpy(), n_neighbors=1)
        found = nearest_training_images(test, train)
        assert found.index.tolist() == index[:, 0].tolist()
        np.testing.assert_allclose(found.distance.numpy(), distance[:, 0], rtol=1e-3)
        own = search.kneighbors(flat[index[:, 0]], n_neighbors=2)[0][:, 1]
        np.testing.assert_allclose(found.own.numpy(), own, rtol=1e-3)

    def test_training_images_drawn_again_are_copies_and_noise_is_none(self, digits: Images) -> None:
        train = torch.from_numpy(digits.train)
        assert nearest_training_images(to_float(train[:100]), train).copied == 1
        assert nearest_training_images(cloud(100, 784, 0).view(-1, 28, 28), train).copied == 0

    def test_a_set_larger_than_a_chunk_is_searched_to_its_end(self) -> None:
        train = torch.randint(0, 256, (11_000, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        wanted = torch.tensor([3, 5_001, 10_999])
        assert nearest_training_images(to_float(train[wanted]), train).index.tolist() == wanted.tolist()


class TestYardstick:
    def test_clean_and_coverage_by_hand(self, shared: Shared) -> None:
        yardstick = shared.yardsticks["search"]
        probabilities = torch.full((4, 10), 0.001)
        for row, (digit, sure) in enumerate([(0, 0.96), (0, 0.94), (1, 0.99), (7, 0.5)]):
            probabilities[row, digit] = sure
        seen = Seen(cloud(4, 128, 0), probabilities)
        figures = yardstick.measure(seen)
        assert figures["clean"] == 0.5
        made = torch.tensor([0.5, 0.25, 0, 0, 0, 0, 0, 0.25, 0, 0])
        assert figures["coverage"] == pytest.approx(1 - (made - yardstick.shares).abs().sum().item() / 2)
        assert class_shares(seen.digits).tolist() == made.tolist()

    def test_floors_are_what_real_images_reach_and_noise_falls_short_of_all(self, shared: Shared) -> None:
        for yardstick in shared.yardsticks.values():
            noise = look(yardstick.judge, cloud(600, 784, 0).view(-1, 28, 28).clamp(-1, 1))
            figures = {**yardstick.measure(noise), **yardstick.examine(noise)}
            floor = yardstick.floor
            assert floor["fd"] < 20 < 100 < figures["fd"]
            assert floor["clean"] > 0.97
            assert floor["coverage"] > 0.99
            assert floor["manifold_coverage"] > 0.9 > 0.1 > figures["manifold_coverage"]
            assert 0.3 < floor["copied"] < 0.6
            assert set(figures) | {"copied"} == set(floor)

    def test_moves_as_a_whole_to_a_device(self, shared: Shared) -> None:
        moved = copy.deepcopy(shared.yardsticks["search"]).to(torch.device("meta"))
        tensors = [moved.real.mean, moved.real.covariance, moved.features, moved.shares, *moved.judge.state_dict().values()]
        assert {tensor.device.type for tensor in tensors} == {"meta"}
        assert moved.floor == shared.yardsticks["search"].floor
