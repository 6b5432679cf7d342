"""How good made images are: pure functions of what a judge sees in them and in real ones, each
beside its floor.

A floor is the same figure measured on real images: what a perfect generator could expect to reach.
It is that of as many training images against the test images; for ``clean`` and ``copied``, which
training images would flatter, that of the test images. Figures of two judges do not compare; their
ratios to the judge's own floor do.

- ``fd``: Fréchet distance between the features of made and of test images, each taken as a Gaussian
  (Heusel et al. 2017, https://arxiv.org/abs/1706.08500, with the judge in place of Inception).
- ``clean``: share of made images of which the judge is at least 95% sure.
- ``coverage``: how evenly the ten classes appear, 1 less the total variation from the test images'
shares.
- ``density``, ``manifold_coverage``: whether made images lie where real ones do, and reach all of
  them (Naeem et al. 2020, https://arxiv.org/abs/2002.09797).
- ``copied``: share of made images that lie nearer, in pixels, to a training image than any other
  training image does to it (Alaa et al. 2022, https://arxiv.org/abs/2102.08921).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from trainables.gan.idx import NUM_CLASSES
from trainables.gan.images import Images, ImagesUnavailable, to_float
from trainables.gan.judge import FEATURES, Judge, JudgeOutput, accuracy, classify

MADE = 10_000
"""Images drawn for a measurement, or as many as there are training images where these are fewer."""
SURE = 0.95
NEIGHBOURS = 5
"""k of density and manifold coverage, as in the paper."""
COMPARED = 2_000
"""Images searched for among the training images for ``copied``."""
CHUNK = 500

FEW = 4 * FEATURES
"""Different images below which a caution is due. A covariance of 128 features needs 129 images at
the least, and is biased with some more: the floor of MNIST's fd, which is 2.6 with all 10,000 test
images, is 15 with 600, 28 with 300 and 67 with
129. ``fd_ratio`` is the smaller by as much, and a goal for it the easier to reach."""
SHARED = 0.01
MOST_SHARED = 0.5
"""Fraction of the test images that are training images too, from which on a caution is due or they are refused."""
SOUND = 0.95
LEAST_SOUND = 0.5
"""Accuracy of a judge on the test images below which a caution is due or it is refused."""
NOTHING = 1e-6
"""Fraction of the features' variance that a Fréchet distance cannot be told from 0."""


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

    The trace of the root is that of (C1^(1/2) C2 C1^(1/2))^(1/2), a symmetric matrix: its
    eigenvalues are real and need no complex root. Source: Dowson & Landau 1982,
    https://doi.org/10.1016/0047-259X(82)90077-X
    """
    if not (one.covariance.isfinite().all() and other.covariance.isfinite().all()):
        return math.nan
    values, vectors = torch.linalg.eigh(one.covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ other.covariance @ root).clamp(min=0).sqrt().sum()
    distance = (
        (one.mean - other.mean).square().sum()
        + one.covariance.trace()
        + other.covariance.trace()
        - 2 * cross
    )
    return float(distance.clamp(min=0))


def class_shares(digits: Tensor) -> Tensor:
    """Share of each of the ten classes among class numbers (N,)."""
    return torch.bincount(digits, minlength=NUM_CLASSES) / len(digits)


def density_and_coverage(real: Tensor, made: Tensor, k: int = NEIGHBOURS) -> tuple[float, float]:
    """Density and coverage of made features (M, F) over real ones (N, F).

    A real point's ball reaches to its k-th nearest real neighbour. Density: the balls that hold a
    made point, over k, mean over made points (above 1 where they crowd the dense parts). Coverage:
    share of balls that hold a made point at all.
    """
    inside = torch.zeros(len(made), device=real.device)
    covered = 0
    for start in range(0, len(real), CHUNK):
        chunk = real[start : start + CHUNK]
        radius = (
            torch.cdist(chunk, real).kthvalue(min(k + 1, len(real)), dim=1).values
        )  # the nearest is the point itself
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
        """Share of the images nearer to their training image than any other training image is."""
        return (self.distance < self.own).float().mean().item()


def nearest_training_images(images: Tensor, train: Tensor) -> Neighbours:
    """Search training images (M, 28, 28) uint8, M at least 2, for the nearest of each of ``images`` (N, 28, 28) in [-1, 1]."""
    distance, index = _nearest(images, train, None)
    own, _ = _nearest(to_float(train[index]), train, index)
    return Neighbours(index, distance, own)


def _nearest(images: Tensor, train: Tensor, excluded: Tensor | None) -> tuple[Tensor, Tensor]:
    """Distance and place (N,) of the nearest training image, each search leaving out the place ``excluded`` (N,)."""
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
    """A judge with what it sees in the real images: all that a trial needs to be measured.

    Attributes:
        accuracy: The judge's, on the test images.
        real: The test images' features as a Gaussian.
        features: The test images' features (N, F).
        shares: The test images' shares of the ten classes, by their labels.
        floor: Each figure's value on real images.
    """

    judge: Judge
    accuracy: float
    real: Gaussian
    features: Tensor
    shares: Tensor
    floor: dict[str, float]

    def to(self, device: torch.device) -> "Evaluator":
        real = Gaussian(self.real.mean.to(device), self.real.covariance.to(device))
        return replace(
            self,
            judge=self.judge.to(device),
            real=real,
            features=self.features.to(device),
            shares=self.shares.to(device),
        )

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
    """Measure the real images by ``judge``, and with them the floors of all figures."""
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
    copied = nearest_training_images(to_float(test[:COMPARED]), train).copied
    clean = {
        "clean": bare.measure(seen)["clean"]
    }  # of test images: the judge has learned the training images by heart
    return replace(
        bare, floor={**bare.measure(fellow), **bare.examine(fellow), **clean, "copied": copied}
    )


def check_images(images: Images) -> list[str]:
    """Whether figures measured by these images can mean anything: cautions. Raises ImagesUnavailable if they cannot."""
    cautions: list[str] = []
    remedy = f"get the files of {images.dataset} again, or use --dataset digits"
    different = {}
    for part, pixels, labels in (
        ("training", images.train, images.train_labels),
        ("test", images.test, images.test_labels),
    ):
        named = f"{part} images of {images.dataset}"
        different[part] = found = {image.tobytes() for image in pixels}
        if len(found) == 1:
            raise ImagesUnavailable(f"all {len(pixels):,} {named} are the same: {remedy}")
        if len(found) <= FEATURES:
            raise ImagesUnavailable(
                f"there are only {len(found):,} different {named} among {len(pixels):,}, and the covariance of {FEATURES}"
                f" features needs at least {FEATURES + 1}: {remedy}"
            )
        if len(found) < FEW:
            cautions.append(
                f"there are only {len(found):,} different {named} for {FEATURES} features, so fd is biased: compare it within"
                " this run only"
            )
        counts = np.bincount(labels, minlength=NUM_CLASSES)
        if (counts > 0).sum() == 1:
            raise ImagesUnavailable(
                f"all {len(pixels):,} {named} have the label {counts.argmax()}: {remedy}"
            )
        if not counts.all():
            absent = ", ".join(map(str, np.flatnonzero(counts == 0)))
            cautions.append(f"none of the {len(pixels):,} {named} has the label {absent}")
    both = sum(image.tobytes() in different["training"] for image in images.test)
    shared = f"{both:,} of the {len(images.test):,} test images of {images.dataset} are training images too"
    if both >= MOST_SHARED * len(images.test):
        raise ImagesUnavailable(f"{shared}, so they cannot say how good new images are: {remedy}")
    if both >= SHARED * len(images.test):
        cautions.append(f"{shared}, so the figures of real images are too good")
    return cautions


def check_evaluator(evaluator: Evaluator, seed: int, images: Images) -> list[str]:
    """Whether the judge of this seed can measure anything: cautions. Raises ImagesUnavailable if it cannot."""
    commonest, count = float(evaluator.shares.max()), len(images.test)
    chance = commonest + 3 * math.sqrt(
        commonest * (1 - commonest) / count
    )  # three standard errors above the best guess
    right = f"judge {seed} names {evaluator.accuracy:.1%} of the {count:,} test images of {images.dataset} rightly"
    remedy = "check that the labels are those of the images, or use --dataset digits"
    if not evaluator.accuracy >= LEAST_SOUND:
        raise ImagesUnavailable(f"{right}, and must name {LEAST_SOUND:.0%}: {remedy}")
    if evaluator.accuracy <= chance:
        raise ImagesUnavailable(
            f"{right}, hardly more than the {commonest:.1%} that have the commonest label: {remedy}"
        )
    floor = evaluator.floor
    unmeasured = [name for name, value in floor.items() if not math.isfinite(value)]
    if unmeasured:
        raise ImagesUnavailable(
            f"judge {seed} measures no {' and no '.join(unmeasured)} of the real images: {remedy}"
        )
    if floor["fd"] <= NOTHING * float(evaluator.real.covariance.trace()):
        raise ImagesUnavailable(
            f"judge {seed} measures an fd of {floor['fd']:.1g} between training and test images of {images.dataset}, by which"
            f" fd_ratio would be divided: {remedy}"
        )
    return (
        [f"{right}: clean, coverage and fd are no better than that"]
        if evaluator.accuracy < SOUND
        else []
    )
