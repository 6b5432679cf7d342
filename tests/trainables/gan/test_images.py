import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trainables.gan.images import Batches, Dataset, Images, ImagesUnavailable, load_images, shifted, to_float, to_uint8


def write_idx(folder: Path, images: Images) -> None:
    """The four files of an MNIST-like data set, as published (http://yann.lecun.com/exdb/mnist)."""
    folder.mkdir(parents=True)
    for part, pixels, labels in (("train", images.train, images.train_labels), ("t10k", images.test, images.test_labels)):
        header = struct.pack(">IIII", 0x803, len(pixels), 28, 28)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, len(labels)) + bytes(labels.tolist()))


def test_digits_are_the_1797_of_scikit_learn_a_third_for_testing(digits: Images) -> None:
    assert len(digits.train) + len(digits.test) == 1797
    assert digits.train.shape[1:] == (28, 28)
    assert digits.train.max() == 255
    assert digits.train.min() == 0
    assert abs(len(digits.test) - 1797 / 3) < 1
    shares = [np.bincount(labels, minlength=10) / len(labels) for labels in (digits.train_labels, digits.test_labels)]
    assert np.abs(shares[0] - shares[1]).max() < 0.01


@pytest.mark.parametrize(("dataset", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST")])
def test_reads_the_published_files_from_torchvisions_layout(
    dataset: Dataset, folder: str, digits: Images, tmp_path: Path
) -> None:
    write_idx(tmp_path / folder / "raw", digits)
    read = load_images(dataset, tmp_path)
    for name in ("train", "train_labels", "test", "test_labels"):
        np.testing.assert_array_equal(getattr(read, name), getattr(digits, name))


def test_files_that_are_cut_off_are_refused_in_one_line(digits: Images, tmp_path: Path) -> None:
    folder = tmp_path / "MNIST" / "raw"
    write_idx(folder, digits)
    file = folder / "train-images-idx3-ubyte"
    whole = file.read_bytes()
    for content in (b"", whole[:3], whole[: len(whole) // 2], gzip.compress(whole)):
        file.write_bytes(content)
        with pytest.raises(ImagesUnavailable, match="mnist") as caught:
            load_images("mnist", tmp_path)
        assert "\n" not in str(caught.value)


def test_labels_that_do_not_fit_the_images_are_refused(digits: Images, tmp_path: Path) -> None:
    folder = tmp_path / "MNIST" / "raw"
    write_idx(folder, digits)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 3) + bytes([1, 2, 3]))
    with pytest.raises(ImagesUnavailable, match="28 x 28 images with labels 0 to 9"):
        load_images("mnist", tmp_path)


def test_without_files_or_network_says_where_they_go_and_names_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(ImagesUnavailable, match="use --dataset digits") as caught:
        load_images("kmnist", tmp_path / "new")
    assert str(tmp_path / "new" / "KMNIST" / "raw") in str(caught.value)
    assert not (tmp_path / "new").exists()
    assert "\n" not in str(caught.value)


def test_scaling_is_undone_exactly() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    scaled = to_float(levels)
    assert (scaled.min().item(), scaled.max().item()) == (-1, 1)
    assert torch.equal(to_uint8(scaled), levels)


def test_each_image_is_moved_by_its_own_few_pixels_and_background_moves_in() -> None:
    images = to_float(torch.from_numpy(load_images("digits", "nowhere").train[:200]))
    moved = shifted(images, 2, torch.Generator().manual_seed(0))
    padded = np.pad(images.numpy(), ((0, 0), (2, 2), (2, 2)), constant_values=-1)
    found = [
        [(y, x) for y in range(5) for x in range(5) if np.array_equal(image, large[y : y + 28, x : x + 28])]
        for image, large in zip(moved.numpy(), padded, strict=True)
    ]
    assert all(found)
    assert {places[0] for places in found if len(places) == 1} == {(y, x) for y in range(5) for x in range(5)}


class TestBatches:
    def places(self, batches: Batches, count: int) -> NDArray[np.int64]:
        return np.concatenate([batches.draw().numpy() for _ in range(count)])

    def test_an_epoch_shows_every_image_once_and_the_next_in_another_order(self) -> None:
        batches = Batches(12, 4, torch.Generator().manual_seed(0))
        first, second = self.places(batches, 3), self.places(batches, 3)
        assert sorted(first) == sorted(second) == list(range(12))
        assert first.tolist() != second.tolist()

    def test_goes_on_in_the_middle_of_an_epoch(self) -> None:
        batches = Batches(50, 4, torch.Generator().manual_seed(0))
        self.places(batches, 17)
        again = Batches(50, 4, torch.Generator().manual_seed(9))
        again.load_state_dict(batches.state_dict())
        assert self.places(again, 30).tolist() == self.places(batches, 30).tolist()

    def test_fewer_images_than_a_batch_are_a_batch(self) -> None:
        assert sorted(Batches(3, 64, torch.Generator()).draw().tolist()) == [0, 1, 2]
