import contextlib
import gzip
import hashlib
import os
import resource
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision import datasets

from tests.conftest import ROOT
from trainables.gan import images as images_module
from trainables.gan.images import (
    FILES,
    NAMES,
    Batches,
    Dataset,
    Images,
    ImagesUnavailable,
    load_images,
    shifted,
    to_float,
    to_uint8,
)


def idx(*sizes: int) -> bytes:
    """The header of a file of images (three sizes) or labels (one size)."""
    return struct.pack(f">{1 + len(sizes)}I", 0x800 + len(sizes), *sizes)


def write_idx(folder: Path, images: Images) -> None:
    """The four files of an MNIST-like data set, as published (http://yann.lecun.com/exdb/mnist)."""
    folder.mkdir(parents=True)
    for part, pixels, labels in (
        ("train", images.train, images.train_labels),
        ("t10k", images.test, images.test_labels),
    ):
        written = idx(len(pixels), 28, 28) + pixels.tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(written)
        written = idx(len(labels)) + bytes(labels.tolist())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(written)


def test_digits_are_the_1797_of_scikit_learn_a_third_for_testing(digits: Images) -> None:
    assert len(digits.train) + len(digits.test) == 1797
    assert digits.train.shape[1:] == (28, 28)
    assert digits.train.max() == 255
    assert digits.train.min() == 0
    assert abs(len(digits.test) - 1797 / 3) < 1
    shares = [
        np.bincount(labels, minlength=10) / len(labels)
        for labels in (digits.train_labels, digits.test_labels)
    ]
    assert np.abs(shares[0] - shares[1]).max() < 0.01


@pytest.mark.parametrize(
    ("dataset", "folder"),
    [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST")],
)
def test_reads_the_published_files_from_torchvisions_layout(
    dataset: Dataset, folder: str, digits: Images, tmp_path: Path
) -> None:
    write_idx(tmp_path / folder / "raw", digits)
    read = load_images(dataset, tmp_path)
    for name in ("train", "train_labels", "test", "test_labels"):
        np.testing.assert_array_equal(getattr(read, name), getattr(digits, name))


IMAGES, LABELS = "train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


@pytest.fixture
def raw(digits: Images, tmp_path: Path) -> Path:
    """The folder of a whole data set in MNIST's format."""
    write_idx(tmp_path / "MNIST" / "raw", digits)
    return tmp_path / "MNIST" / "raw"


def refusal(root: Path | str, dataset: Dataset = "mnist") -> str:
    """The line with which a data set is refused."""
    with pytest.raises(ImagesUnavailable) as caught:
        load_images(dataset, root)
    line = str(caught.value)
    assert "\n" not in line
    assert "--dataset digits" in line or "--data-root" in line
    foreign = ("invalid literal", "base 16", "Errno", "urlopen", "buffer", "Dataset not found")
    assert [words for words in foreign if words in line] == []
    return line


def test_gzipped_files_are_read_as_they_lie(raw: Path, digits: Images) -> None:
    for file in list(raw.iterdir())[:3]:
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes(), 1))
        file.unlink()
    before = sorted(raw.iterdir())
    np.testing.assert_array_equal(load_images("mnist", raw.parent.parent).train, digits.train)
    assert sorted(raw.iterdir()) == before


PAGE = b"<!DOCTYPE html><html><title>302 Found</title></html>"


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        (IMAGES, b"", "is empty"),
        (LABELS, b"", "is empty"),
        (IMAGES, bytes((0, 0, 8)), "ends after 3 bytes, within its header"),
        (LABELS, bytes((0, 0, 8, 1, 0, 0, 0)), "ends after 7 bytes, within its header"),
        (IMAGES, idx(2, 28, 28), "ends after 16 of the 1,584 bytes that its header says"),
        (
            IMAGES,
            idx(2**32 - 1, 28, 28) + bytes(99),
            "ends after 115 of the 3,367,254,359,296 bytes",
        ),
        (
            IMAGES,
            idx(1, 28, 28) + bytes(785),
            "is longer than the 800 bytes that its header says",
        ),
        (LABELS, idx(2) + bytes(3), "is longer than the 10 bytes"),
        (IMAGES, idx(1, 32, 30) + bytes(960), "holds images of 32 x 30 pixels"),
        (IMAGES, idx(0, 28, 28), "holds no images"),
        (LABELS, idx(0), "holds no labels"),
        (IMAGES, idx(2) + bytes(2), "holds labels"),
        (LABELS, idx(1, 28, 28) + bytes(784), "holds images"),
        (
            IMAGES,
            struct.pack(">IIII", 0xD03, 1, 28, 28) + bytes(784),
            "begins with the bytes 00 00 0d 03, not 00 00 08 03",
        ),
        (IMAGES, bytes(1000), "begins with the bytes 00 00 00 00"),
        (IMAGES, gzip.compress(b"x", mtime=0), "is gzipped"),
        (IMAGES, PAGE, "is a text that begins with '<!DOCTYPE html>"),
        (LABELS, b"version https://git-lfs.github.com", "is a text that begins with 'version"),
        (LABELS, idx(3) + bytes((1, 47, 3)), "has the label 47 at place 1"),
        (LABELS, idx(3) + bytes(3), "has 3 labels for the 599 images of t10k-images-idx3-ubyte"),
    ],
)
def test_a_bad_file_is_named_with_what_was_found_and_what_it_should_hold(
    raw: Path, name: str, content: bytes, found: str
) -> None:
    (raw / name).write_bytes(content)
    line = refusal(raw.parent.parent)
    assert line.startswith(f"{raw / name} {found}")
    assert (
        "it should hold " + ("28 x 28 images" if name == IMAGES else "labels from 0 to 9") in line
    )


def test_a_file_that_is_cut_off_at_any_byte_is_refused(raw: Path) -> None:
    for name in FILES:
        whole = (raw / name).read_bytes()
        size = len(whole)
        for end in (*range(20), size // 2, size - 785, size - 784, size - 1):
            (raw / name).write_bytes(whole[: max(end, 0)])
            assert refusal(raw.parent.parent).startswith(str(raw / name))
        packed = gzip.compress(whole, 1)
        (raw / name).unlink()
        for end in (0, 1, 2, 9, 10, 20, len(packed) // 2, len(packed) - 8, len(packed) - 1):
            (raw / f"{name}.gz").write_bytes(packed[:end])
            assert refusal(raw.parent.parent).startswith(f"{raw / name}.gz")
        (raw / f"{name}.gz").unlink()
        (raw / name).write_bytes(whole)


def folder(file: Path) -> None:
    file.mkdir()


def pipe(file: Path) -> None:
    os.mkfifo(file)


def loop(file: Path) -> None:
    file.symlink_to(file)


def broken_link(file: Path) -> None:
    file.symlink_to("nowhere")


def unreadable(file: Path) -> None:
    file.symlink_to("/proc/self/mem")  # looks ordinary, and is an error to read, for root too


@pytest.mark.parametrize(
    ("put", "found"),
    [
        (folder, "is a folder"),
        (pipe, "is no ordinary file"),
        (loop, "cannot be read (Too many levels of symbolic links)"),
        (broken_link, "is missing, or a link to a file that is missing"),
        (unreadable, "cannot be read (Input/output error)"),
    ],
)
def test_what_is_no_file_at_all_is_named_and_not_waited_for(
    raw: Path, put: Callable[[Path], None], found: str
) -> None:
    (raw / LABELS).unlink()
    put(raw / LABELS)
    assert refusal(raw.parent.parent).startswith(f"{raw / LABELS} {found}")


def test_gzipped_files_of_the_wrong_thing_are_refused(raw: Path) -> None:
    (raw / IMAGES).unlink()
    for content, found in (
        (PAGE, "is cut off or is no gzip file"),
        (gzip.compress(PAGE), "is a text that begins with"),
    ):
        (raw / f"{IMAGES}.gz").write_bytes(content)
        assert refusal(raw.parent.parent).startswith(f"{raw / IMAGES}.gz {found}")


def test_of_several_bad_files_the_first_is_named_and_the_others_counted(raw: Path) -> None:
    for name in FILES:
        (raw / name).write_bytes(b"")
    assert refusal(raw.parent.parent).startswith(f"{raw / IMAGES} is empty")
    assert "(3 more of the 4 files cannot be used either)" in refusal(raw.parent.parent)


def test_a_data_root_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    assert refusal("").startswith("--data-root is empty")
    (tmp_path / "file").write_text("x")
    loop(tmp_path / "loop")
    for root in (tmp_path / "file", tmp_path / "loop"):
        assert refusal(root).startswith(f"{root} is not a folder")
    (tmp_path / "MNIST").write_text("x")
    assert refusal(tmp_path).startswith(f"{tmp_path / 'MNIST'} is not a folder")
    for root in (tmp_path / "file" / "below", tmp_path / ("x" * 300), Path("/proc/none")):
        assert "cannot be fetched" in refusal(root)


def test_without_files_or_network_says_where_they_go_and_names_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(ImagesUnavailable, match="use --dataset digits") as caught:
        load_images("kmnist", tmp_path / "new")
    assert str(tmp_path / "new" / "KMNIST" / "raw") in str(caught.value)
    assert not (tmp_path / "new").exists()
    assert "\n" not in str(caught.value)


UNREADABLE = """
import os, sys
from trainables.gan.images import ImagesUnavailable, load_images
root, *folders = sys.argv[1:]
for folder in folders:
    if not os.fork():
        os.chmod(folder, 0)
        os.getuid() or os.setuid(65534)
        try:
            load_images("mnist", root)
        except ImagesUnavailable as error:
            print(error, flush=True)
        os._exit(0)
    os.wait()
    os.chmod(folder, 0o755)
"""
"""Prints why the images cannot be loaded, with one folder after another closed to a user."""


def test_a_folder_that_may_not_be_read_is_named(raw: Path) -> None:
    root = raw.parent.parent
    for parent in (root, *root.parents):
        if not parent.stat().st_mode & 0o005:
            parent.chmod(0o755)
    folders = (raw, raw.parent, root)
    command = [sys.executable, "-c", UNREADABLE, *map(str, (root, *folders))]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = result.stdout.splitlines()
    assert len(lines) == len(folders)
    for line, folder in zip(lines, folders, strict=True):
        assert line.startswith(f"{folder} cannot be read (no permission)")


class Mirror:
    """A server on this machine with the files of KMNIST, but with other images."""

    def __init__(self, folder: Path, images: Images) -> None:
        write_idx(folder / "plain", images)
        self.folder, self.asked = folder, list[str]()
        for name in FILES:
            (folder / f"{name}.gz").write_bytes(
                gzip.compress((folder / "plain" / name).read_bytes(), 1)
            )
        self.md5 = [
            (f"{name}.gz", hashlib.md5((folder / f"{name}.gz").read_bytes()).hexdigest())
            for name in FILES
        ]

    @contextlib.contextmanager
    def serving(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        asked = self.asked

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *args: Any) -> None:
                asked.append(self.path)

        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(Handler, directory=str(self.folder))
        ) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            monkeypatch.setattr(
                datasets.KMNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"]
            )
            monkeypatch.setattr(datasets.KMNIST, "resources", self.md5)
            yield
            server.shutdown()
            thread.join()


@pytest.fixture
def mirror(tmp_path: Path, digits: Images, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    made = Mirror(tmp_path / "mirror", digits)
    with made.serving(monkeypatch):
        yield made


class TestFetching:
    def test_missing_files_are_fetched_and_those_that_are_there_are_left_alone(
        self, mirror: Mirror, digits: Images, tmp_path: Path
    ) -> None:
        raw = tmp_path / "data" / "KMNIST" / "raw"
        raw.mkdir(parents=True)
        plain = (mirror.folder / "plain" / IMAGES).read_bytes()
        own = gzip.compress(plain, 2)  # not the published file
        (raw / f"{IMAGES}.gz").write_bytes(own)
        np.testing.assert_array_equal(load_images("kmnist", tmp_path / "data").test, digits.test)
        assert (raw / f"{IMAGES}.gz").read_bytes() == own
        assert {file.name for file in raw.iterdir()} == {
            f"{IMAGES}.gz",
            *(name for name in FILES if name != IMAGES),
        }
        assert [file.name for file in (tmp_path / "data").iterdir()] == ["KMNIST"]
        mirror.asked.clear()
        load_images("kmnist", tmp_path / "data")
        assert mirror.asked == []

    def test_a_wrong_checksum_and_a_file_that_the_mirror_has_not_are_refused(
        self, mirror: Mirror, tmp_path: Path
    ) -> None:
        first = mirror.folder / f"{IMAGES}.gz"
        first.write_bytes(first.read_bytes()[:-1])
        assert "MD5 checksum is not the published one" in refusal(tmp_path / "data", "kmnist")
        first.unlink()
        assert "HTTP status 404" in refusal(tmp_path / "data", "kmnist")
        assert not (tmp_path / "data").exists()

    def test_a_second_mirror_is_asked(
        self, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            datasets.KMNIST, "mirrors", ["http://127.0.0.1:9/", *datasets.KMNIST.mirrors]
        )
        load_images("kmnist", tmp_path / "data")

    def test_no_room_for_a_file_leaves_none_and_those_before_it_whole(
        self, mirror: Mirror, tmp_path: Path
    ) -> None:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
        try:
            line = refusal(tmp_path / "data", "kmnist")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert "cannot be fetched (File too large)" in line
        assert not (tmp_path / "data").exists()

    def test_ctrl_c_half_way_leaves_no_half_file(
        self, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write = images_module.write_whole

        def interrupted(file: Path, content: bytes) -> None:
            if file.name == LABELS:
                raise KeyboardInterrupt
            write(file, content)

        monkeypatch.setattr(images_module, "write_whole", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load_images("kmnist", tmp_path / "data")
        there = {file.name for file in (tmp_path / "data").rglob("*") if file.is_file()}
        assert there == set(FILES) - {LABELS}
        monkeypatch.undo()
        assert f"{LABELS} of kmnist" in refusal_without_network(tmp_path / "data")


def refusal_without_network(root: Path) -> str:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "HTTP_PROXY"):
            patch.setenv(name, "http://127.0.0.1:9")
        return refusal(root, "kmnist")


def test_a_data_set_is_read_from_the_folder_of_its_name(digits: Images, tmp_path: Path) -> None:
    for dataset in ("mnist", "fashion-mnist", "kmnist"):
        write_idx(tmp_path / NAMES[dataset] / "raw", digits)
        (tmp_path / NAMES[dataset] / "raw" / LABELS).write_bytes(b"")
        assert refusal(tmp_path, dataset).startswith(
            f"{tmp_path / NAMES[dataset] / 'raw' / LABELS} is empty"
        )


def test_scaling_is_undone_exactly() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    scaled = to_float(levels)
    assert (scaled.min().item(), scaled.max().item()) == (-1, 1)
    assert torch.equal(to_uint8(scaled), levels)


def test_each_image_is_moved_by_its_own_few_pixels_and_background_moves_in() -> None:
    images = to_float(torch.from_numpy(load_images("digits", "nowhere").train[:200]))
    moved = shifted(images, 2, torch.Generator().manual_seed(0))
    padded = np.pad(images.numpy(), ((0, 0), (2, 2), (2, 2)), constant_values=-1)
    every = [(y, x) for y in range(5) for x in range(5)]
    found = [
        [(y, x) for y, x in every if np.array_equal(image, large[y : y + 28, x : x + 28])]
        for image, large in zip(moved.numpy(), padded, strict=True)
    ]
    assert all(found)
    assert {places[0] for places in found if len(places) == 1} == set(every)


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
