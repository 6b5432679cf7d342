"""The images: MNIST and similar sets in torchvision's layout, or scikit-learn's digits.

They are held in memory as uint8 arrays, so that a batch is one gather. Each file is checked as it
is read. A missing file is fetched from torchvision's mirrors, checked by its published MD5 and
written whole or not at all; an existing file is never replaced.
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
from torch.nn.functional import interpolate, pad

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
"""torchvision's name of each data set, and of the folder with its files."""

FILES: dict[str, Holds] = {
    "train-images-idx3-ubyte": "images",
    "train-labels-idx1-ubyte": "labels",
    "t10k-images-idx3-ubyte": "images",
    "t10k-labels-idx1-ubyte": "labels",
}
"""The files of a data set (plain, or gzipped with .gz after the name) and what each holds."""

SHOULD_HOLD: dict[Holds, str] = {
    "images": f"{IMAGE_SIDE} x {IMAGE_SIDE} images, one byte for each pixel, in IDX format",
    "labels": "labels from 0 to 9, one byte each, in IDX format",
}


class ImagesUnavailable(Exception):
    """The images or their judges cannot be used. The message is one line and says what to do."""


@dataclass(frozen=True)
class Images:
    """A data set: images (N, 28, 28) uint8, background 0, and labels (N,) int64 from 0 to 9.

    Ray's object store gives arrays, unlike tensors, to every trial of a node without a copy.
    """

    dataset: Dataset
    train: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test: NDArray[np.uint8]
    test_labels: NDArray[np.int64]


def silent(line: str) -> None:
    """Say nothing."""


def load_images(dataset: Dataset, data_root: str | Path, say: Say = silent) -> Images:
    """The data set in ``data_root`` (torchvision's layout); missing files are fetched into it.

    ``say`` is given a line now and then if that takes long. Raises ImagesUnavailable if a file
    cannot be fetched or does not hold what it should.
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
    """Images (B, 28, 28) in [-1, 1], each moved by up to ``most`` pixels in both directions.

    Background fills the edge.
    """
    count, places, device = len(images), 2 * most + 1, images.device
    down, right = torch.randint(places, (2, count), generator=generator, device=device)  # (B,)
    padded = pad(images, (most, most, most, most), value=-1.0)  # (B, 28 + 2 most, 28 + 2 most)
    moved = padded.unfold(1, IMAGE_SIDE, 1).unfold(2, IMAGE_SIDE, 1)  # (B, places, places, 28, 28)
    return moved[torch.arange(count, device=device), down, right]  # (B, 28, 28)


class Batches:
    """Endless epochs over ``count`` images, each in a new order, as places in the data set.

    ``batch_size`` places are drawn at a time. The rest of an epoch is dropped; a data set smaller
    than a batch is one batch.
    """

    def __init__(self, count: int, batch_size: int, generator: torch.Generator) -> None:
        self.count, self.batch_size, self.generator = count, min(batch_size, count), generator
        self._shuffle()

    def _shuffle(self) -> None:
        self.epoch_state = self.generator.get_state()
        device = self.generator.device
        self.order = torch.randperm(self.count, generator=self.generator, device=device)
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
    """scikit-learn's 1,797 digits, resized from 8 x 8 to 28 x 28, a third of each class as test."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    small = torch.from_numpy(bunch.images / 16).float()[:, None]  # (N, 1, 8, 8)
    large = interpolate(small, (IMAGE_SIDE, IMAGE_SIDE), mode="bicubic")[:, 0].clamp(0, 1)
    images = (large * 255).round().byte().numpy()  # (N, 28, 28)
    labels = bunch.target.astype(np.int64)
    train, test, train_labels, test_labels = train_test_split(
        images, labels, test_size=1 / 3, random_state=0, stratify=labels
    )
    return Images("digits", train, train_labels, test, test_labels)


def _folder(dataset: Dataset, data_root: str | Path) -> Path:
    """The folder of the data set's files, which need not exist."""
    with contextlib.suppress(RuntimeError):  # "~name" of no user is a folder's name
        data_root = Path(data_root).expanduser()
    folder = Path(data_root) / NAMES[dataset] / "raw"
    for part in (folder.parent.parent, folder.parent, folder):
        if not os.path.lexists(part):
            break
        is_folder = os.path.isdir(part)  # noqa: PTH112 (Path.is_dir raises)
        if not is_folder or not os.access(part, os.R_OK | os.X_OK):
            fault = "cannot be read (no permission)" if is_folder else "is not a folder"
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
            if images in read and (count := len(read[images])) != len(read[name]):
                raise BadFile(
                    f"has {len(read[name]):,} labels for the {count:,} images of {images}"
                )
        except BadFile as fault:
            bad.append(f"{file} {fault}; it should hold {SHOULD_HOLD[holds]}")
    if bad:
        others = f" ({len(bad) - 1} more of the {len(FILES)} files cannot be used either)"
        raise ImagesUnavailable(
            f"{bad[0]}{others if len(bad) > 1 else ''}: get the files of {dataset} again (delete a"
            " file and it is fetched), or use --dataset digits"
        )
    return Images(dataset, *read.values())


def _find(folder: Path, name: str) -> Path | None:
    """The file or its gzipped form, if there is one, even as a broken link."""
    return next(filter(os.path.lexists, (folder / name, folder / f"{name}.gz")), None)


def _fetch(dataset: Dataset, folder: Path, say: Say) -> None:
    """Fetch the missing files. Raises ImagesUnavailable; leaves no partial file or empty folder."""
    from torchvision import datasets

    published = getattr(datasets, NAMES[dataset])
    root = folder.parent.parent
    lock = root / ".download.lock"
    made = [part for part in (folder, *folder.parents) if not os.path.lexists(part)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with held(lock, say, f"fetching {dataset}"):
            for resource, md5 in published.resources:
                if _find(folder, name := Path(resource).stem) is None:
                    addresses = [mirror + resource for mirror in published.mirrors]
                    write_whole(folder / name, gzip.decompress(_download(addresses, md5, say)))
    except OSError as error:
        missing = [name for name in FILES if not _find(folder, name)]
        what, put = f"{dataset} is not under {root}", "its four IDX files"
        if len(missing) < len(FILES):
            what, put = f"{' and '.join(missing)} of {dataset} not found in {folder}", "it"
        raise ImagesUnavailable(
            f"{what} and cannot be fetched ({error.strerror or error}): put {put} into {folder},"
            " or use --dataset digits, which needs no network"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            lock.unlink(missing_ok=True)
            for part in made:
                part.rmdir()


def _download(addresses: Sequence[str], md5: str, say: Say) -> bytes:
    """The first address's content that has the checksum. Raises OSError with the last reason."""
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
        except (OSError, HTTPException, ValueError) as error:  # ValueError: of a proxy's address
            cause = error.reason if isinstance(error, URLError) else error
            reason = f"{address}: {getattr(cause, 'strerror', None) or cause}"
        else:
            if hashlib.md5(content, usedforsecurity=False).hexdigest() == md5:
                return bytes(content)
            size = f"{len(content):,} bytes"
            reason = f"{address}: {size} came, whose MD5 checksum is not the published one"
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
