import copy
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from trainables.gan.images import Images, ImagesUnavailable, to_float
from trainables.gan.judge import JudgeOutput, classify
from trainables.gan.quality import (
    Gaussian,
    check_evaluator,
    check_images,
    class_shares,
    density_and_coverage,
    frechet_distance,
    nearest_training_images,
)
from trainables.gan.shared import Shared


def cloud(count: int, dim: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)) * scale + shift


class TestFrechetDistance:
    def test_of_two_numbers_is_the_closed_form(self) -> None:
        one = Gaussian(
            torch.tensor([1.0], dtype=torch.float64), torch.tensor([[4.0]], dtype=torch.float64)
        )
        other = Gaussian(
            torch.tensor([3.5], dtype=torch.float64), torch.tensor([[9.0]], dtype=torch.float64)
        )
        assert frechet_distance(one, other) == pytest.approx(2.5**2 + (2 - 3) ** 2)

    def test_is_scipys_with_a_matrix_root(self) -> None:
        one, other = (
            Gaussian.of(cloud(300, 16, seed, scale, seed / 3))
            for seed, scale in ((1, 1.0), (2, 2.5))
        )
        c1, c2 = one.covariance.numpy(), other.covariance.numpy()
        root = np.asarray(sqrtm(c1 @ c2)).real
        expected = ((one.mean - other.mean) ** 2).sum().item() + np.trace(c1 + c2 - 2 * root)
        assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-6)

    def test_is_torchmetrics_with_the_judge_as_its_network(
        self, shared: Shared, digits: Images
    ) -> None:
        judge = shared.evaluators["search"].judge

        class Features(nn.Module):
            num_features = 128

            def forward(self, images: Tensor) -> Tensor:  # (N, 1, 28, 28)
                return judge.features(images[:, 0])

        theirs = FrechetInceptionDistance(feature=Features())
        real, made = (
            to_float(torch.from_numpy(digits.test)),
            to_float(torch.from_numpy(digits.train[:400])).flip(2),
        )
        theirs.update(real[:, None], real=True)
        theirs.update(made[:, None], real=False)
        ours = frechet_distance(
            *(Gaussian.of(classify(judge, images).features) for images in (real, made))
        )
        assert ours == pytest.approx(theirs.compute().item(), rel=1e-4)

    def test_of_a_cloud_and_itself_is_nothing_even_where_it_is_flat(self) -> None:
        flat = cloud(50, 16, 0)
        flat[:, 3:] = 0
        assert frechet_distance(Gaussian.of(flat), Gaussian.of(flat)) == pytest.approx(0, abs=1e-6)

    def test_of_what_is_not_finite_is_not_a_number(self) -> None:
        broken = cloud(50, 16, 0)
        broken[3, 3] = math.inf
        assert math.isnan(frechet_distance(Gaussian.of(broken), Gaussian.of(cloud(50, 16, 1))))
        assert math.isnan(frechet_distance(Gaussian.of(cloud(50, 16, 1)), Gaussian.of(broken)))


class TestDensityAndCoverage:
    @pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.3, 0.0), (1.0, 2.0)])
    def test_are_those_of_a_brute_force_with_another_library(
        self, scale: float, shift: float
    ) -> None:
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
        train = torch.randint(
            0, 256, (11_000, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
        )
        wanted = torch.tensor([3, 5_001, 10_999])
        assert (
            nearest_training_images(to_float(train[wanted]), train).index.tolist()
            == wanted.tolist()
        )


class TestEvaluator:
    def test_clean_and_coverage_by_hand(self, shared: Shared) -> None:
        evaluator = shared.evaluators["search"]
        probabilities = torch.full((4, 10), 0.001)
        for row, (digit, sure) in enumerate([(0, 0.96), (0, 0.94), (1, 0.99), (7, 0.5)]):
            probabilities[row, digit] = sure
        seen = JudgeOutput(cloud(4, 128, 0), probabilities)
        figures = evaluator.measure(seen)
        assert figures["clean"] == 0.5
        made = torch.tensor([0.5, 0.25, 0, 0, 0, 0, 0, 0.25, 0, 0])
        assert figures["coverage"] == pytest.approx(
            1 - (made - evaluator.shares).abs().sum().item() / 2
        )
        assert class_shares(seen.digits).tolist() == made.tolist()

    def test_floors_are_what_real_images_reach_and_noise_falls_short_of_all(
        self, shared: Shared
    ) -> None:
        for evaluator in shared.evaluators.values():
            noise = classify(evaluator.judge, cloud(600, 784, 0).view(-1, 28, 28).clamp(-1, 1))
            figures = {**evaluator.measure(noise), **evaluator.examine(noise)}
            floor = evaluator.floor
            assert floor["fd"] < 20 < 100 < figures["fd"]
            assert floor["clean"] > 0.95
            assert floor["coverage"] > 0.99
            assert floor["manifold_coverage"] > 0.9 > 0.1 > figures["manifold_coverage"]
            assert 0.3 < floor["copied"] < 0.6
            assert set(figures) | {"copied"} == set(floor)

    def test_moves_as_a_whole_to_a_device(self, shared: Shared) -> None:
        moved = copy.deepcopy(shared.evaluators["search"]).to(torch.device("meta"))
        tensors = [
            moved.real.mean,
            moved.real.covariance,
            moved.features,
            moved.shares,
            *moved.judge.state_dict().values(),
        ]
        assert {tensor.device.type for tensor in tensors} == {"meta"}
        assert moved.floor == shared.evaluators["search"].floor


class TestCheckImages:
    def test_digits_are_in_order(self, digits: Images) -> None:
        assert check_images(digits) == []

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            (lambda d: {"train": d.train * 0}, "all 1,198 training images of digits are the same"),
            (lambda d: {"test": d.test * 0 + 77}, "all 599 test images of digits are the same"),
            (
                lambda d: {"train": d.train[np.arange(1198) % 128]},
                "only 128 different training images of digits among 1,198",
            ),
            (
                lambda d: {"test": d.test[:30], "test_labels": d.test_labels[:30]},
                "only 30 different test images of digits",
            ),
            (
                lambda d: {"train": d.train[:1], "train_labels": d.train_labels[:1]},
                "1 training images",
            ),
            (
                lambda d: {"test_labels": d.test_labels * 0 + 4},
                "all 599 test images of digits have the label 4",
            ),
            (
                lambda d: {"train_labels": d.train_labels * 0},
                "all 1,198 training images of digits have the label 0",
            ),
            (
                lambda d: {"test": d.train, "test_labels": d.train_labels},
                "1,198 of the 1,198 test images of digits are training",
            ),
            (
                lambda d: {"test": np.concatenate((d.test[:290], d.train[:309]))},
                "309 of the 599 test images of digits are tr",
            ),
        ],
    )
    def test_images_that_measure_nothing_are_refused(
        self, digits: Images, changed: Any, said: str
    ) -> None:
        with pytest.raises(ImagesUnavailable, match=said) as caught:
            check_images(replace(digits, **changed(digits)))
        assert "--dataset digits" in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            (
                lambda d: {"test": d.test[:300], "test_labels": d.test_labels[:300]},
                "only 300 different test images",
            ),
            (
                lambda d: {"train": d.train[:129], "train_labels": d.train_labels[:129]},
                "only 129 different training images",
            ),
            (
                lambda d: {"test_labels": np.minimum(d.test_labels, 7)},
                "none of the 599 test images of digits has the label 8",
            ),
            (
                lambda d: {"test": np.concatenate((d.test[:590], d.train[:9]))},
                "9 of the 599 test images of digits are train",
            ),
        ],
    )
    def test_images_that_measure_poorly_get_a_caution(
        self, digits: Images, changed: Any, said: str
    ) -> None:
        (caution,) = check_images(replace(digits, **changed(digits)))
        assert said in caution


class TestCheckEvaluator:
    def test_a_good_one_is_in_order(self, shared: Shared, digits: Images) -> None:
        assert check_evaluator(shared.evaluators["search"], 1, digits) == []

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            (
                {"accuracy": 0.1},
                "judge 1 recognises 10.0% of the 599 test images of digits, and needs at least 50%",
            ),
            ({"accuracy": math.nan}, "judge 1 recognises nan%"),
            (
                {"accuracy": 0.92, "shares": torch.tensor([0.9, 0.1] + [0] * 8)},
                "hardly more than the 90.0%",
            ),
            (
                {"floor": {"fd": 0.0}},
                "judge 1 measures an fd of 0 between training and test images",
            ),
            (
                {"floor": {"fd": math.nan, "clean": 1.0, "density": math.inf}},
                "measures no fd and no density",
            ),
        ],
    )
    def test_one_that_measures_nothing_is_refused(
        self, shared: Shared, digits: Images, changed: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(ImagesUnavailable, match=said) as caught:
            check_evaluator(replace(shared.evaluators["search"], **changed), 1, digits)
        assert "\n" not in str(caught.value)

    def test_one_that_is_often_wrong_gets_a_caution_with_its_accuracy(
        self, shared: Shared, digits: Images
    ) -> None:
        (caution,) = check_evaluator(
            replace(shared.evaluators["search"], accuracy=0.913), 2, digits
        )
        assert "judge 2 recognises 91.3% of the 599 test images" in caution
