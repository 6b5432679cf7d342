"""IDX files, the format of MNIST and similar data sets, plain or gzipped; every fault is named.

A file is a magic number, the sizes of its dimensions (big-endian, four bytes each) and one byte for
each pixel or label (http://yann.lecun.com/exdb/mnist).
"""

import gzip
import stat
import struct
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainables.gan.model import IMAGE_SIDE

Holds = Literal["images", "labels"]

NUM_CLASSES = 10
MAGIC: dict[Holds, bytes] = {"images": bytes((0, 0, 8, 3)), "labels": bytes((0, 0, 8, 1))}
HEADER: dict[Holds, int] = {"images": 16, "labels": 8}
PIECE = 1 << 20


class BadFile(Exception):
    """What is wrong with a file: words that follow its name, such as "is empty"."""


def read_images(file: Path) -> NDArray[np.uint8]:
    """The images (N, 28, 28). Raises BadFile."""
    header, body = _read(file, "images")
    return np.frombuffer(body, np.uint8).reshape(-1, *struct.unpack(">II", header[8:]))


def read_labels(file: Path) -> NDArray[np.int64]:
    """The labels (N,), from 0 to 9. Raises BadFile."""
    labels = np.frombuffer(_read(file, "labels")[1], np.uint8)
    if labels.max() >= NUM_CLASSES:
        place = int((labels >= NUM_CLASSES).argmax())
        raise BadFile(f"has the label {labels[place]} at place {place:,}")
    return labels.astype(np.int64)


def _read(file: Path, holds: Holds) -> tuple[bytes, bytearray]:
    """The header and the bytes after it, as many as the header says."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise BadFile("is a folder" if file.is_dir() else "is no ordinary file")
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            header = stream.read(HEADER[holds])
            size = _size(header, holds)
            body = bytearray()
            while len(body) <= size and (piece := stream.read(PIECE)):
                body += piece
    except FileNotFoundError:
        raise BadFile("is missing, or a link to a file that is missing") from None
    except (gzip.BadGzipFile, zlib.error, EOFError):
        raise BadFile("is cut off or is no gzip file") from None
    except OSError as error:
        raise BadFile(f"cannot be read ({error.strerror})") from None
    whole = f"the {len(header) + size:,} bytes that its header says"
    if len(body) > size:
        raise BadFile(f"is longer than {whole}")
    if len(body) < size:
        raise BadFile(f"ends after {len(header) + len(body):,} of {whole}")
    return header, body


def _size(header: bytes, holds: Holds) -> int:
    """Number of bytes after the header. Raises BadFile if the header is not that of ``holds``."""
    magic, length = MAGIC[holds], HEADER[holds]
    if not header:
        raise BadFile("is empty")
    if not magic.startswith(header[:4]):
        raise BadFile(_beginning(header, magic))
    if len(header) < length:
        raise BadFile(f"ends after {len(header)} bytes, within its header")
    count, *shape = struct.unpack(f">{length // 4 - 1}I", header[4:])
    if count == 0:
        raise BadFile(f"holds no {holds}")
    if holds == "images" and shape != [IMAGE_SIDE, IMAGE_SIDE]:
        raise BadFile(f"holds images of {shape[0]:,} x {shape[1]:,} pixels")
    return int(count * np.prod(shape, dtype=np.int64))


def _beginning(header: bytes, magic: bytes) -> str:
    for holds, other in MAGIC.items():
        if header[:4] == other:
            return f"holds {holds}"
    if header.startswith(b"\x1f\x8b"):
        return "is gzipped (unpack it, or add .gz to its name)"
    text = header.decode("ascii", errors="replace")
    if all(letter.isprintable() or letter.isspace() for letter in text) and text.isascii():
        return f"is a text that begins with {text!r}"
    return f"begins with the bytes {header[:4].hex(' ')}, not {magic.hex(' ')}"
