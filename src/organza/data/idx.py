"""MNIST-style idx files: the embedded MNIST, Fashion-MNIST, and folders or single files of the same format."""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from pathlib import Path

import numpy as np

from organza.data.arrays import memory_source
from organza.data.download import fetch
from organza.data.options import DataOptions
from organza.data.source import Source
from organza.errors import DataError

MAX_BYTES = 2**34
IMAGES = re.compile(r"images[-.]idx3[-.]ubyte(\.gz)?$", re.IGNORECASE)
MNIST = Path(__file__).parent / "mnist"
DIGITS = tuple(str(digit) for digit in range(10))

FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FASHION_SHA256 = {
    "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}
GARMENTS = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


def open_mnist(name: str, *, options: DataOptions) -> Source:
    """The MNIST that is part of this package."""
    return open_idx(find_images(MNIST, split=options.split), options=options, name=name, classes=DIGITS)


def open_fashion(name: str, *, options: DataOptions, folder: Path | None = None) -> Source:
    """Fashion-MNIST from `folder`, or from Debian's package, or from the cache, downloaded once if need be."""
    folder = folder or (FASHION_DEBIAN if FASHION_DEBIAN.is_dir() else None)
    if folder is None:
        folder = options.cache_folder / "fashion-mnist"
        prefix = "train" if options.split == "train" else "t10k"
        for file, sha256 in FASHION_SHA256.items():
            if file.startswith(prefix):
                fetch(FASHION_URL + file, to=folder / file, sha256=sha256, offline=options.offline)
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder. It needs to hold train-images-idx3-ubyte.gz and the other files of "
            f"Fashion-MNIST. To download them run: organza data check {name}"
        )
    return open_idx(find_images(folder, split=options.split), options=options, name=name, classes=GARMENTS)


def find_images(folder: Path, *, split: str) -> Path:
    """The idx file in `folder` that holds the images of `split`."""
    found = sorted(file for file in folder.iterdir() if IMAGES.search(file.name))
    wanted = [file for file in found if _split_of(file) == split]
    if not wanted:
        raise DataError(
            f"{folder} holds {', '.join(file.name for file in found) or 'no idx images'}, but no {split} images. Put "
            f"{'train' if split == 'train' else 't10k'}-images-idx3-ubyte.gz there, or choose another --split."
        )
    return wanted[0]


def _split_of(file: Path) -> str:
    return "test" if re.search(r"t10k|test", file.name, re.IGNORECASE) else "train"


def open_idx(path: Path, *, options: DataOptions, name: str, classes: tuple[str, ...] = ()) -> Source:
    """An idx file of images, with labels from the file of matching name beside it, if there is one."""
    images = read_idx(path)
    if images.ndim != 3:
        raise DataError(f"{path} holds an array of shape {images.shape}; images need three axes: count, height, width.")
    labels = None
    beside = path.with_name(re.sub(r"images([-.])idx3", r"labels\1idx1", path.name, flags=re.IGNORECASE))
    if options.labels and beside != path and beside.is_file():
        labels = read_idx(beside)
    return memory_source(images[..., None], labels, name=name, where=str(path), options=options, classes=classes)


def read_idx(path: Path) -> np.ndarray:
    """The bytes of an idx file, gzipped or not, in the shape its header tells."""
    try:
        packed = path.read_bytes()
        data = packed if packed[:2] != b"\x1f\x8b" else _unpack(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}). Get the file again.") from error
    if len(data) < 4 or data[:3] != b"\x00\x00\x08" or len(data) < 4 + 4 * data[3]:
        raise DataError(
            f"{path} is not an idx file of bytes: it begins with {data[:4].hex(' ') or 'nothing'}, not 00 00 08."
        )
    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    found, needed = len(data) - 4 - 4 * data[3], int(np.prod(shape, dtype=object))
    if found != needed:
        raise DataError(
            f"{path} holds {found:,} bytes of data, its header needs {needed:,} {shape}. Get the file again."
        )
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def _unpack(packed: bytes) -> bytes:
    """Gunzip, but never to more than the idx header announces and `MAX_BYTES` allows."""
    head = zlib.decompressobj(31).decompress(packed, 20)
    axes = head[3] if len(head) >= 4 else 0
    shape = struct.unpack_from(f">{axes}I", head, 4) if 0 < axes <= 4 and len(head) >= 4 + 4 * axes else ()
    size = 4 + 4 * axes + int(np.prod(shape, dtype=object))
    if size > MAX_BYTES:
        raise EOFError(f"its header announces {size:,} bytes, more than the {MAX_BYTES:,} that are accepted")
    return zlib.decompressobj(31).decompress(packed, size + 1)


def looks_like_idx(path: Path) -> bool:
    """Whether the file at `path` begins as an idx file of bytes does, gzipped or not."""
    with path.open("rb") as file:
        head = file.read(4)
    if head[:2] == b"\x1f\x8b":
        try:
            with gzip.open(path) as file:
                head = file.read(4)
        except (OSError, EOFError, zlib.error):
            return False
    return head[:3] == b"\x00\x00\x08"
