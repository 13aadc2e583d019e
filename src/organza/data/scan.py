"""Every image of a folder or zip decoded once: what is good, what is bad and why. Nothing unseen reaches a network."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import PIL

from organza.data.files import Files
from organza.data.images import BadImageError, NotAnImageError, pillow_limits, read_pixels, recolour
from organza.data.masks import is_light
from organza.data.progress import progress
from organza.errors import cause

CHUNK = 1024
CACHE_FROM = 1000
"""Scans of fewer files are quick and not remembered."""
VERSION = 1

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"}
    | {".avif", ".heic", ".heif", ".jp2", ".jxl", ".psd", ".ppm", ".pgm", ".tga", ".ico", ".exr", ".svg"}
)
MASK = re.compile(r"(.+)_mask\d*", re.IGNORECASE)
"""Stems of files that show where there are holes in an image beside them."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One good image: where it is and what it decodes to."""

    name: str
    format: str
    mode: str
    """As stored: Pillow's mode, such as L, RGB, P, CMYK."""
    height: int
    width: int
    channels: int
    """1, 3 or 4 once decoded."""
    bits: int
    digest: str
    """Hash of the decoded pixels; equal for exact duplicates whatever their format."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """The good images in the order of their names, and the rest by name with the reason."""

    pictures: tuple[Picture, ...]
    bad: dict[str, str]
    ignored: dict[str, str]


def looks_like_image(name: str) -> bool:
    """Whether a file calls itself an image, by its suffix; then a fault in it is reported."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def scan(files: Files, *, names: Sequence[str], limit: int | None, cache: Path) -> Scan:
    """Decode the files `names`, until there are `limit` good ones. Complete scans of many files are remembered."""
    key = json.dumps([VERSION, PIL.__version__, files.stamp, list(names)])
    memory = cache / "scans" / f"{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}.json"
    worth_keeping = limit is None and len(names) >= CACHE_FROM
    if worth_keeping and (known := _recall(memory)):
        return known
    pictures: list[Picture] = []
    bad, ignored = dict(files.bad), dict(files.ignored)
    chunk = CHUNK if limit is None else min(CHUNK, max(64, limit))
    with (
        pillow_limits(),
        ThreadPoolExecutor(thread_count()) as pool,
        progress(f"Checking the images in {files.path}", total=len(names)) as advance,
    ):
        for start in range(0, len(names), chunk):
            part = names[start : start + chunk]
            for name, found in zip(part, pool.map(partial(_judge, files), part), strict=True):
                if limit is not None and len(pictures) == limit:
                    break
                advance(1)
                if isinstance(found, Picture):
                    pictures.append(found)
                elif isinstance(found, NotAnImageError) and not looks_like_image(name):
                    ignored[name] = "not an image"
                else:
                    bad[name] = str(found)
            if limit is not None and len(pictures) == limit:
                break
    result = Scan(pictures=tuple(pictures), bad=bad, ignored=ignored)
    if worth_keeping:
        _remember(memory, result)
    return result


def thread_count() -> int:
    """Threads that decode at once: few, because each may hold an image of `MAX_PIXELS`."""
    return min(8, os.cpu_count() or 1)


def load_pixels(files: Files, name: str) -> tuple[np.ndarray, str, str]:
    """`read_pixels` of one file. Raises `BadImageError` with the reason for whatever goes wrong on the way."""
    try:
        with files.open(name) as file:
            if not file.read(1):
                raise NotAnImageError("empty (0 bytes)")
            file.seek(0)
            return read_pixels(file)
    except (OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise BadImageError(f"cannot be read ({cause(error)})") from error


def load_half(files: Files, name: str, *, is_right: bool) -> tuple[np.ndarray, str, str]:
    """As `load_pixels`, of one half of an image that holds two side by side."""
    pixels, kind, mode = load_pixels(files, name)
    middle = pixels.shape[1] // 2
    return pixels[:, middle:] if is_right else pixels[:, :middle], kind, mode


def load_holed(files: Files, name: str, *, images: Mapping[str, str]) -> tuple[np.ndarray, str, str]:
    """The image that the mask `name` belongs to, as RGBA: where the mask is light, a hole, black and transparent."""
    mask, _, _ = load_pixels(files, name)
    pixels, kind, mode = load_pixels(files, images[name])
    hole = is_light(mask)
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    holed = recolour(recolour(pixels, 3), 4)
    return np.where(hole[..., None], np.uint8(0), holed), kind, mode


def _judge(files: Files, name: str) -> Picture | BadImageError:
    try:
        pixels, kind, mode = load_pixels(files, name)
    except BadImageError as error:
        return error
    height, width, channels = pixels.shape
    head = f"{pixels.shape} {pixels.dtype}".encode()
    digest = hashlib.blake2b(head + np.ascontiguousarray(pixels).tobytes(), digest_size=16).hexdigest()
    return Picture(
        name=name,
        format=kind,
        mode=mode,
        height=height,
        width=width,
        channels=channels,
        bits=8 * pixels.itemsize,
        digest=digest,
    )


def _recall(memory: Path) -> Scan | None:
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        stored = json.loads(memory.read_text(encoding="utf-8"))
        fields = tuple(Picture.__dataclass_fields__)
        pictures = tuple(Picture(**dict(zip(fields, row, strict=True))) for row in stored["pictures"])
        return Scan(pictures=pictures, bad=dict(stored["bad"]), ignored=dict(stored["ignored"]))
    return None


def _remember(memory: Path, result: Scan) -> None:
    stored = {
        "pictures": [astuple(picture) for picture in result.pictures],
        "bad": result.bad,
        "ignored": result.ignored,
    }
    with suppress(OSError):  # a cache that cannot be written costs time, nothing else
        memory.parent.mkdir(parents=True, exist_ok=True)
        part = memory.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(stored), encoding="utf-8")
        part.replace(memory)
