"""Images and files that the tests of the data package share."""

import gzip
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def noise(height, width, channels, *, seed, dtype=np.uint8):
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top, (height, width, channels), dtype=dtype, endpoint=True)


def image_bytes(pixels, kind="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def write_images(folder: Path, count, *, height=8, width=12, channels=3, seed=0, dtype=np.uint8):
    """`count` PNG files of noise; returns their pixels, (N, H, W, C)."""
    folder.mkdir(parents=True, exist_ok=True)
    images = [noise(height, width, channels, seed=seed * 1000 + index, dtype=dtype) for index in range(count)]
    for index, pixels in enumerate(images):
        (folder / f"{index:03}.png").write_bytes(image_bytes(pixels))
    return np.stack(images)


def zip_folder(folder: Path, archive: Path, extra=()):
    with zipfile.ZipFile(archive, "w") as target:
        for file in sorted(folder.rglob("*.*")):
            target.write(file, file.relative_to(folder).as_posix())
        for name, data in extra:
            target.writestr(name, data)
    return archive


def idx_bytes(array, *, packed):
    data = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
    return gzip.compress(data) if packed else data
