"""How good made images are: metrics of what a judge sees in made and in real images, with floors.

A floor is a metric's value on real images: the best that a generator can expect. It is measured on
as many training images against the test images; for ``clean`` and ``copied``, which would be too
good on training images, on the test images. Values of two judges cannot be compared; their ratios
to the judge's own floor can.

- ``fd``: Fréchet distance between the features of made and of test images, each taken as a Gaussian
  (Heusel et al. 2017, https://arxiv.org/abs/1706.08500, with the judge in place of Inception).
- ``clean``: fraction of made images of which the judge is at least 95% sure.
- ``coverage``: how evenly the ten classes appear, 1 - the total variation from their fractions in
  the test images.
- ``density``, ``manifold_coverage``: whether made images lie where real images lie, and reach all
  of them (Naeem et al. 2020, https://arxiv.org/abs/2002.09797).
- ``copied``: fraction of made images that are nearer, in pixels, to a training image than any
  other training image is to it (Alaa et al. 2022, https://arxiv.org/abs/2102.08921).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.gan.idx import NUM_CLASSES
from trainables.gan.images import Images, ImagesUnavailable, to_float
from trainables.gan.judge import FEATURES, Judge, JudgeOutput, accuracy, classify

MADE = 10_000
"""Images made for a measurement, or as many as there are training images if these are fewer."""
SURE = 0.95
NEIGHBOURS = 5
"""k of density and manifold coverage, as in the paper."""
COMPARED = 2_000
"""Images compared with the training images for ``copied``."""
CHUNK = 500

FEW = 4 * FEATURES
"""Number of different images below which a caution is given. A covariance of 128 features needs at
least 129 images, and is biased with few: the floor of MNIST's fd is 2.6 with all 10,000 test
images, 15 with 600, 28 with 300 and 67 with 129. A larger floor makes ``fd_ratio`` smaller and its
goal easier."""
SHARED, MOST_SHARED = 0.01, 0.5
"""Fractions of test images that are also training images: cautioned, and refused."""
SOUND, LEAST_SOUND = 0.95, 0.5
"""Accuracies of a judge on the test images: below the first it is cautioned, the second refused."""
NOTHING = 1e-6
"""A Fréchet distance below this fraction of the features' variance counts as 0."""


@dataclass(frozen=True)
class Gaussian:
    """Mean (F,) and covariance (F, F) of features, float64."""

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Gaussian":
        """Fitted to features (N, F), N at least 2."""
        wide = features.double()
        return cls(wide.mean(0), torch.cov(wide.T))


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

    The root has the same trace as (C1^(1/2) C2 C1^(1/2))^(1/2), which is symmetric: its eigenvalues
    are real. Source: Dowson & Landau 1982, https://doi.org/10.1016/0047-259X(82)90077-X
    """
    if not (one.covariance.isfinite().all() and other.covariance.isfinite().all()):
        return math.nan
    values, vectors = torch.linalg.eigh(one.covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ other.covariance @ root).clamp(min=0).sqrt().sum()
    means = (one.mean - other.mean).square().sum()
    distance = means + one.covariance.trace() + other.covariance.trace() - 2 * cross
    return float(distance.clamp(min=0))


def class_shares(digits: Tensor) -> Tensor:
    """Fraction (10,) of each class among class numbers (N,)."""
    return torch.bincount(digits, minlength=NUM_CLASSES) / len(digits)


def density_and_coverage(real: Tensor, made: Tensor, k: int = NEIGHBOURS) -> tuple[float, float]:
    """Density and coverage of made features (M, F) over real features (N, F).

    The ball of a real point reaches to its k-th nearest real neighbour. Density: the number of
    balls that a made point is in, divided by k, mean over the made points; above 1 if they crowd
    where real points are dense. Coverage: the fraction of balls with a made point in them.
    """
    inside = torch.zeros(len(made), device=real.device)
    covered = 0
    for start in range(0, len(real), CHUNK):
        chunk = real[start : start + CHUNK]  # (CHUNK, F)
        kth = min(k + 1, len(real))  # the nearest is the point itself
        radius = torch.cdist(chunk, real).kthvalue(kth, dim=1).values  # (CHUNK,)
        held = torch.cdist(chunk, made) <= radius[:, None]  # (CHUNK, M)
        inside += held.sum(0)
        covered += int(held.any(1).sum())
    return inside.mean().item() / k, covered / len(real)


@dataclass(frozen=True)
class Neighbours:
    """The nearest training image of each of N images.

    Attributes:
        index: Its place (N,) in the training set.
        distance: Euclidean distance (N,) to it, in pixels scaled to [-1, 1].
        own: Distance (N,) from that training image to its own nearest fellow.
    """

    index: Tensor
    distance: Tensor
    own: Tensor

    @property
    def copied(self) -> float:
        """Fraction of images nearer to their training image than any other training image is."""
        return (self.distance < self.own).float().mean().item()


def nearest_training_images(images: Tensor, train: Tensor) -> Neighbours:
    """Find the nearest of the training images ``train`` (M, 28, 28), uint8, M at least 2, for each
    of ``images`` (N, 28, 28) in [-1, 1]."""
    distance, index = _nearest(images, train, None)
    own, _ = _nearest(to_float(train[index]), train, index)
    return Neighbours(index, distance, own)


def _nearest(images: Tensor, train: Tensor, excluded: Tensor | None) -> tuple[Tensor, Tensor]:
    """Distance and place (N,) of each nearest training image, except those ``excluded`` (N,)."""
    sought = images.reshape(len(images), -1)
    best = torch.full((len(sought),), torch.inf, device=sought.device)
    place = torch.zeros(len(sought), dtype=torch.long, device=sought.device)
    for start in range(0, len(train), 10 * CHUNK):
        chunk = to_float(train[start : start + 10 * CHUNK]).reshape(-1, sought.shape[1])
        distances = torch.cdist(sought, chunk)  # (N, 10 CHUNK)
        if excluded is not None:
            here = ((excluded >= start) & (excluded < start + len(chunk))).nonzero().squeeze(1)
            distances[here, excluded[here] - start] = torch.inf
        value, at = distances.min(1)
        nearer = value < best
        best, place = torch.where(nearer, value, best), torch.where(nearer, at + start, place)
    return best, place


@dataclass(frozen=True)
class Evaluator:
    """A judge with what it sees in the real images: all that is needed to measure a trial.

    Attributes:
        accuracy: The judge's accuracy on the test images.
        real: The test images' features as a Gaussian.
        features: The test images' features (N, F).
        shares: Fractions of the ten classes in the test images, by their labels.
        floor: Each metric's value on real images.
    """

    judge: Judge
    accuracy: float
    real: Gaussian
    features: Tensor
    shares: Tensor
    floor: dict[str, float]

    def to(self, device: torch.device) -> "Evaluator":
        moved = {name: getattr(self, name).to(device) for name in ("judge", "features", "shares")}
        real = Gaussian(self.real.mean.to(device), self.real.covariance.to(device))
        return replace(self, real=real, **moved)

    def measure(self, seen: JudgeOutput) -> dict[str, float]:
        """fd, clean and coverage of the images that the judge has seen."""
        shares = class_shares(seen.digits)
        return {
            "fd": frechet_distance(Gaussian.of(seen.features), self.real),
            "clean": (seen.probabilities.amax(1) >= SURE).float().mean().item(),
            "coverage": 1 - (shares - self.shares).abs().sum().item() / 2,
        }

    def examine(self, seen: JudgeOutput) -> dict[str, float]:
        """density and manifold_coverage, which take some seconds."""
        density, coverage = density_and_coverage(self.features, seen.features)
        return {"density": density, "manifold_coverage": coverage}


def create_evaluator(images: Images, judge: Judge) -> Evaluator:
    """Let ``judge`` see the real images, and measure the floors of all metrics."""
    test, labels = torch.from_numpy(images.test), torch.from_numpy(images.test_labels)
    seen = classify(judge, test)
    bare = Evaluator(
        judge=judge,
        accuracy=accuracy(judge, images.test, images.test_labels),
        real=Gaussian.of(seen.features),
        features=seen.features,
        shares=class_shares(labels),
        floor={},
    )
    train = torch.from_numpy(images.train)
    sample = train[torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:MADE]]
    fellow = classify(judge, sample)
    floor = {**bare.measure(fellow), **bare.examine(fellow)}
    floor["clean"] = bare.measure(seen)["clean"]  # the judge knows the training images by heart
    floor["copied"] = nearest_training_images(to_float(test[:COMPARED]), train).copied
    return replace(bare, floor=floor)


def check_images(images: Images) -> list[str]:
    """Cautions about metrics measured on these images. Raises ImagesUnavailable if none can be."""
    dataset, count = images.dataset, len(images.test)
    remedy = f"get the files of {dataset} again, or use --dataset digits"
    cautions = [
        *_check_part(f"training images of {dataset}", images.train, images.train_labels, remedy),
        *_check_part(f"test images of {dataset}", images.test, images.test_labels, remedy),
    ]
    train = {image.tobytes() for image in images.train}
    both = sum(image.tobytes() in train for image in images.test)
    shared = f"{both:,} of the {count:,} test images of {dataset} are training images too"
    if both >= MOST_SHARED * count:
        raise ImagesUnavailable(f"{shared}, so they cannot say how good new images are: {remedy}")
    if both >= SHARED * count:
        cautions.append(f"{shared}, so the metrics of real images are too good")
    return cautions


def _check_part(
    named: str, images: NDArray[np.uint8], labels: NDArray[np.int64], remedy: str
) -> list[str]:
    """Cautions about the training or the test images. Raises ImagesUnavailable."""
    cautions: list[str] = []
    count, different = len(images), len({image.tobytes() for image in images})
    if different == 1:
        raise ImagesUnavailable(f"all {count:,} {named} are the same: {remedy}")
    if different <= FEATURES:
        raise ImagesUnavailable(
            f"there are only {different:,} different {named} among {count:,}, and the covariance of"
            f" {FEATURES} features needs at least {FEATURES + 1}: {remedy}"
        )
    if different < FEW:
        cautions.append(
            f"there are only {different:,} different {named} for {FEATURES} features, so fd is"
            " biased: compare it within this run only"
        )
    classes = np.bincount(labels, minlength=NUM_CLASSES)
    if (classes > 0).sum() == 1:
        raise ImagesUnavailable(f"all {count:,} {named} have the label {labels[0]}: {remedy}")
    if not classes.all():
        absent = ", ".join(map(str, np.flatnonzero(classes == 0)))
        cautions.append(f"none of the {count:,} {named} has the label {absent}")
    return cautions


def check_evaluator(evaluator: Evaluator, seed: int, images: Images) -> list[str]:
    """Cautions about the judge of this seed. Raises ImagesUnavailable if it can measure nothing."""
    commonest, count = float(evaluator.shares.max()), len(images.test)
    # Three standard errors above what the best constant guess scores
    chance = commonest + 3 * math.sqrt(commonest * (1 - commonest) / count)
    tested = f"the {count:,} test images of {images.dataset}"
    recognised = f"judge {seed} recognises {evaluator.accuracy:.1%} of {tested}"
    remedy = "check that the labels are those of the images, or use --dataset digits"
    if not evaluator.accuracy >= LEAST_SOUND:
        raise ImagesUnavailable(f"{recognised}, and needs at least {LEAST_SOUND:.0%}: {remedy}")
    if evaluator.accuracy <= chance:
        raise ImagesUnavailable(
            f"{recognised}, hardly more than the {commonest:.1%} with the commonest label: {remedy}"
        )
    floor = evaluator.floor
    unmeasured = [name for name, value in floor.items() if not math.isfinite(value)]
    if unmeasured:
        names = " and no ".join(unmeasured)
        raise ImagesUnavailable(f"judge {seed} measures no {names} of the real images: {remedy}")
    if floor["fd"] <= NOTHING * float(evaluator.real.covariance.trace()):
        raise ImagesUnavailable(
            f"judge {seed} measures an fd of {floor['fd']:.1g} between training and test images of"
            f" {images.dataset}, and fd_ratio cannot be divided by it: {remedy}"
        )
    if evaluator.accuracy >= SOUND:
        return []
    return [f"{recognised}: clean, coverage and fd are no more accurate than that"]
