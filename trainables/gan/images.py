"""The images: MNIST and its kin through torchvision, or scikit-learn's digits, whole in memory as uint8 arrays.

A batch is one gather. Nothing is decoded, scaled or collated an image at a time.
"""

import contextlib
import io
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from trainables.gan.model import IMAGE_SIDE

Dataset = Literal["mnist", "fashion-mnist", "kmnist", "digits"]

NUM_CLASSES = 10
DOWNLOAD_TIMEOUT_S = 20.0

NAMES: dict[Dataset, str] = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST", "digits": "digits"}
"""What torchvision calls each data set, which is also the folder its files lie in."""


class ImagesUnavailable(Exception):
    """The data set can be neither read nor fetched; the message is one line and says what to do."""


@dataclass(frozen=True)
class Images:
    """A data set: images (N, 28, 28) uint8 from 0 (background) to 255, labels (N,) int64 from 0 to 9.

    Arrays, not tensors: Ray's object store hands them to every trial of a node without a copy.
    """

    dataset: Dataset
    train: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test: NDArray[np.uint8]
    test_labels: NDArray[np.int64]


def load_images(dataset: Dataset, data_root: str | Path) -> Images:
    """The data set, read from ``data_root`` (torchvision's layout), fetched into it where it is not there.

    Raises ImagesUnavailable where the files are missing and cannot be fetched, or are not what they should be.
    """
    images = _digits() if dataset == "digits" else _torchvision(dataset, Path(data_root))
    for part, labels in ((images.train, images.train_labels), (images.test, images.test_labels)):
        shaped = part.ndim == 3 and part.shape[1:] == (IMAGE_SIDE, IMAGE_SIDE) and len(part) == len(labels)
        if not shaped or len(part) < 2 or labels.min() < 0 or labels.max() >= NUM_CLASSES:
            raise ImagesUnavailable(f"the files of {dataset} under {data_root} do not hold 28 x 28 images with labels 0 to 9")
    return images


def to_float(images: Tensor) -> Tensor:
    """uint8 images scaled to [-1, 1], float32."""
    return images.float().div_(127.5).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """The reverse of ``to_float``, rounded."""
    return images.add(1).mul_(127.5).round_().clamp_(0, 255).byte()


def shifted(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Each of images (B, 28, 28) in [-1, 1] moved by up to ``most`` pixels either way, background moving in."""
    down, right = torch.randint(2 * most + 1, (2, len(images)), generator=generator, device=images.device)
    padded = pad(images, (most, most, most, most), value=-1.0)
    places = padded.unfold(1, IMAGE_SIDE, 1).unfold(2, IMAGE_SIDE, 1)  # (B, 2 most + 1, 2 most + 1, 28, 28), nothing copied
    return places[torch.arange(len(images), device=images.device), down, right]


class Batches:
    """Endless epochs over ``count`` images, shuffled anew each time: places in the data set, ``batch_size`` at a time.

    What an epoch leaves over is dropped; a data set smaller than a batch is a batch.
    """

    def __init__(self, count: int, batch_size: int, generator: torch.Generator) -> None:
        self.count, self.batch_size, self.generator = count, min(batch_size, count), generator
        self._shuffle()

    def _shuffle(self) -> None:
        self.epoch_state = self.generator.get_state()
        self.order = torch.randperm(self.count, generator=self.generator, device=self.generator.device)
        self.position = 0

    def draw(self) -> Tensor:
        """The next places (batch_size,), on the generator's device."""
        if self.position + self.batch_size > self.count:
            self._shuffle()
        places = self.order[self.position : self.position + self.batch_size]
        self.position += self.batch_size
        return places

    def state_dict(self) -> dict[str, Any]:
        return {"epoch_state": self.epoch_state, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["epoch_state"])
        self._shuffle()
        self.position = state["position"]


def _digits() -> Images:
    """scikit-learn's 1,797 digits of 8 x 8, resized to 28 x 28; a third of each class for testing."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    small = torch.from_numpy(bunch.images / 16).float()[:, None]  # (N, 1, 8, 8)
    large = torch.nn.functional.interpolate(small, (IMAGE_SIDE, IMAGE_SIDE), mode="bicubic")[:, 0].clamp(0, 1)
    images = (large * 255).round().byte().numpy()
    labels = bunch.target.astype(np.int64)
    train, test, train_labels, test_labels = train_test_split(images, labels, test_size=1 / 3, random_state=0, stratify=labels)
    return Images("digits", train, train_labels, test, test_labels)


def _torchvision(dataset: Dataset, root: Path) -> Images:
    from torchvision import datasets

    kind = getattr(datasets, NAMES[dataset])
    folder = root / NAMES[dataset] / "raw"
    if not all((folder / Path(name).stem).exists() for name, _ in kind.resources):
        _fetch(kind, dataset, root)
    try:
        train, test = kind(root, train=True), kind(root, train=False)
    except Exception as error:  # a torn file raises whatever its first torn byte happens to mean
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ImagesUnavailable(f"the files of {dataset} under {folder} cannot be read: {reason}") from None
    arrays = [part for each in (train, test) for part in (each.data.numpy(), each.targets.numpy())]
    return Images(dataset, *arrays)


def _fetch(kind: Any, dataset: Dataset, root: Path) -> None:
    """Download the files, whose MD5 torchvision checks. Raises ImagesUnavailable."""
    raw, lock = root / NAMES[dataset] / "raw", root / ".download.lock"
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(lock), contextlib.redirect_stdout(io.StringIO()):
            kind(root, download=True)
    except Exception as error:  # no network, no such mirror, a checksum that is wrong, a folder that cannot be written
        reason = (str(error).splitlines() or [type(error).__name__])[-1]  # torchvision says what it tried before why it failed
        with contextlib.suppress(OSError):  # leave no empty folders behind
            lock.unlink()
            for folder in (raw, raw.parent, root):
                folder.rmdir()
        raise ImagesUnavailable(
            f"{dataset} is not under {root} and cannot be fetched ({reason}): put its four IDX files into {raw}, or use"
            " --dataset digits, which needs no network"
        ) from None
    finally:
        socket.setdefaulttimeout(timeout)
