"""The images: MNIST and its kin in torchvision's layout, or scikit-learn's digits, whole in memory
as uint8 arrays.

A batch is one gather. Nothing is decoded, scaled or collated an image at a time. Files are checked
one by one as they are read. A file that is not there is fetched from torchvision's mirrors, checked
by its published MD5, and put in its place whole; a file that is there is never replaced.
"""

import contextlib
import gzip
import hashlib
import os
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError, URLError

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from trainables.gan.idx import PIECE, BadFile, Holds, read_images, read_labels
from trainables.gan.model import IMAGE_SIDE
from trainables.gan.waiting import Heartbeat, Say, held

Dataset = Literal["mnist", "fashion-mnist", "kmnist", "digits"]

DOWNLOAD_TIMEOUT_S = 20.0

NAMES: dict[Dataset, str] = {
    "mnist": "MNIST",
    "fashion-mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "digits": "digits",
}
"""What torchvision calls each data set, which is also the folder its files lie in."""


FILES: dict[str, Holds] = {
    "train-images-idx3-ubyte": "images",
    "train-labels-idx1-ubyte": "labels",
    "t10k-images-idx3-ubyte": "images",
    "t10k-labels-idx1-ubyte": "labels",
}
"""The files of a data set, each as it is or gzipped with .gz after its name, and what each of them holds."""

SHOULD_HOLD: dict[Holds, str] = {
    "images": f"{IMAGE_SIDE} x {IMAGE_SIDE} images, a byte a pixel, in IDX format",
    "labels": "labels from 0 to 9, a byte each, in IDX format",
}


class ImagesUnavailable(Exception):
    """The images, or the judges made of them, cannot be used; the message is one line and says what to do."""


@dataclass(frozen=True)
class Images:
    """A data set: images (N, 28, 28) uint8 from 0 (background) to 255, labels (N,) int64 from 0 to
    9.

    Arrays, not tensors: Ray's object store hands them to every trial of a node without a copy.
    """

    dataset: Dataset
    train: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test: NDArray[np.uint8]
    test_labels: NDArray[np.int64]


def silent(line: str) -> None:
    """Say nothing."""


def load_images(dataset: Dataset, data_root: str | Path, say: Say = silent) -> Images:
    """The data set, read from ``data_root`` (torchvision's layout); files that are missing there
    are fetched into it.

    ``say`` is given a line now and then if that takes long. Raises ImagesUnavailable if files are
    missing and cannot be fetched, or are not what they should be.
    """
    if dataset == "digits":
        return _digits()
    if not str(data_root):
        raise ImagesUnavailable(
            f"--data-root is empty: give the folder that holds {NAMES[dataset]}/raw"
        )
    folder = _folder(dataset, data_root)
    if any(_find(folder, name) is None for name in FILES):
        _fetch(dataset, folder, say)
    with Heartbeat(say, f"reading the images of {dataset}"):
        return _read_files(dataset, folder)


def to_float(images: Tensor) -> Tensor:
    """uint8 images scaled to [-1, 1], float32."""
    return images.float().div_(127.5).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """The reverse of ``to_float``, rounded."""
    return images.add(1).mul_(127.5).round_().clamp_(0, 255).byte()


def shifted(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Each of images (B, 28, 28) in [-1, 1] moved by up to ``most`` pixels either way, background moving in."""
    down, right = torch.randint(
        2 * most + 1, (2, len(images)), generator=generator, device=images.device
    )
    padded = pad(images, (most, most, most, most), value=-1.0)
    places = padded.unfold(1, IMAGE_SIDE, 1).unfold(
        2, IMAGE_SIDE, 1
    )  # (B, 2 most + 1, 2 most + 1, 28, 28), nothing copied
    return places[torch.arange(len(images), device=images.device), down, right]


class Batches:
    """Endless epochs over ``count`` images, shuffled anew each time: places in the data set,
    ``batch_size`` at a time.

    What an epoch leaves over is dropped; a data set smaller than a batch is a batch.
    """

    def __init__(self, count: int, batch_size: int, generator: torch.Generator) -> None:
        self.count, self.batch_size, self.generator = count, min(batch_size, count), generator
        self._shuffle()

    def _shuffle(self) -> None:
        self.epoch_state = self.generator.get_state()
        self.order = torch.randperm(
            self.count, generator=self.generator, device=self.generator.device
        )
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
    large = torch.nn.functional.interpolate(small, (IMAGE_SIDE, IMAGE_SIDE), mode="bicubic")[
        :, 0
    ].clamp(0, 1)
    images = (large * 255).round().byte().numpy()
    labels = bunch.target.astype(np.int64)
    train, test, train_labels, test_labels = train_test_split(
        images, labels, test_size=1 / 3, random_state=0, stratify=labels
    )
    return Images("digits", train, train_labels, test, test_labels)


def _folder(dataset: Dataset, data_root: str | Path) -> Path:
    """Where the data set's files lie or are to lie."""
    with contextlib.suppress(RuntimeError):  # no such user: then the folder is named so
        data_root = Path(data_root).expanduser()
    folder = Path(data_root) / NAMES[dataset] / "raw"
    for part in (folder.parent.parent, folder.parent, folder):
        if not os.path.lexists(part):
            break
        fault = "cannot be read (no permission)" if os.path.isdir(part) else "is not a folder"  # noqa: PTH112 (raises)
        if not os.path.isdir(part) or not os.access(part, os.R_OK | os.X_OK):  # noqa: PTH112 (raises)
            raise ImagesUnavailable(
                f"{part} {fault}: --data-root must be a folder that holds {NAMES[dataset]}/raw"
            )
    return folder


def _read_files(dataset: Dataset, folder: Path) -> Images:
    read: dict[str, NDArray[Any]] = {}
    bad: list[str] = []
    for name, holds in FILES.items():
        file = _find(folder, name) or folder / name
        try:
            read[name] = read_images(file) if holds == "images" else read_labels(file)
            images = name.replace("labels-idx1", "images-idx3")
            if images in read and len(read[images]) != len(read[name]):
                raise BadFile(
                    f"has {len(read[name]):,} labels for the {len(read[images]):,} images of {images}"
                )
        except BadFile as fault:
            bad.append(f"{file} {fault}; it should hold {SHOULD_HOLD[holds]}")
    if bad:
        more = (
            f" ({len(bad) - 1} more of the {len(FILES)} files cannot be used either)"
            if len(bad) > 1
            else ""
        )
        raise ImagesUnavailable(
            f"{bad[0]}{more}: get the files of {dataset} again (those you delete are fetched), or use --dataset digits"
        )
    return Images(dataset, *read.values())


def _find(folder: Path, name: str) -> Path | None:
    """The file, or the gzipped one, if either is there (if only as a broken link)."""
    return next(
        (file for file in (folder / name, folder / f"{name}.gz") if os.path.lexists(file)), None
    )


def _fetch(dataset: Dataset, folder: Path, say: Say) -> None:
    """Fetch the files that are missing. Raises ImagesUnavailable; leaves no part of a file and no empty folder behind."""
    from torchvision import datasets

    published = getattr(datasets, NAMES[dataset])
    root = folder.parent.parent
    lock = root / ".download.lock"
    made = [part for part in (folder, *folder.parents) if not os.path.exists(part)]  # noqa: PTH110 (likewise)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with held(lock, say, f"fetching {dataset}"):
            for resource, md5 in published.resources:
                if _find(folder, name := Path(resource).stem) is None:
                    content = _download(
                        [mirror + resource for mirror in published.mirrors], md5, say
                    )
                    write_whole(folder / name, gzip.decompress(content))
    except OSError as error:
        there = [name for name in FILES if _find(folder, name)]
        what = f"{dataset} is not under {root}"
        if there:
            missing = [name for name in FILES if name not in there]
            what = f"{' and '.join(missing)} of {dataset} not found in {folder}"
        raise ImagesUnavailable(
            f"{what} and cannot be fetched ({error.strerror or error}): put {'it' if there else 'its four IDX files'} into"
            f" {folder}, or use --dataset digits, which needs no network"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            lock.unlink(missing_ok=True)
            for part in made:
                part.rmdir()


def _download(addresses: Sequence[str], md5: str, say: Say) -> bytes:
    """The content of the first address that has what the checksum says. Raises OSError, which says why none had."""
    reason = ""
    for address in addresses:
        content = bytearray()
        try:
            with (
                Heartbeat(say, f"fetching {address}: byte") as beat,
                urllib.request.urlopen(address, timeout=DOWNLOAD_TIMEOUT_S) as response,
            ):
                beat.total = int(response.headers.get("Content-Length") or 0)
                while piece := response.read(PIECE):
                    content += piece
                    beat.done = len(content)
        except HTTPError as error:
            reason = f"{address}: HTTP status {error.code}"
        except TimeoutError:
            reason = f"{address}: no answer for {DOWNLOAD_TIMEOUT_S:.0f} s"
        except (
            OSError,
            HTTPException,
            ValueError,
        ) as error:  # ValueError: a proxy's address that is none
            cause = error.reason if isinstance(error, URLError) else error
            reason = f"{address}: {getattr(cause, 'strerror', None) or cause}"
        else:
            if hashlib.md5(content, usedforsecurity=False).hexdigest() == md5:
                return bytes(content)
            reason = f"{address}: {len(content):,} bytes came, whose MD5 checksum is not the published one"
    raise OSError(reason)


def write_whole(file: Path, content: bytes) -> None:
    """Write the file whole or, if that fails or is interrupted, not at all. Raises OSError."""
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        new.write_bytes(content)
        new.replace(file)
    finally:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
