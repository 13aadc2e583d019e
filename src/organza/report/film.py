"""Pictures as data URIs, and the series of sample grids as a film."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, final

import numpy as np
from PIL import Image

from organza.pictures import Picture, on_screen

MOST_FRAMES = 60
FEWEST_FRAMES = 16
"""Of a heavy film."""
MOST_BYTES = 2_400_000
"""PNG bytes of a whole film; heavier films are embedded as JPEG, and with fewer frames."""
MOST_PIXELS = 22_000_000
"""Pixels to encode again in about a second on two slow cores; it limits the frames of heavy films."""
LONGEST_SIDE = 1024

T = TypeVar("T")


@final
@dataclass(frozen=True)
class Frame:
    """One picture of the film."""

    samples: int
    uri: str


@final
@dataclass(frozen=True)
class Film:
    """What the page shows of samples/."""

    frames: list[Frame]
    total: int
    """How many pictures there are in the folder."""
    is_recoded: bool = False
    """Whether the frames are JPEG copies."""
    size: tuple[int, int] = (1, 1)
    """Width and height of the last frame's file."""


def read_film(folder: Path) -> Film:
    """The film of a samples folder: whole pictures only, in the order of samples seen, evenly picked."""
    whole = [(int(path.stem), path, size) for path in numbered(folder) if (size := size_of(path))]
    if not whole:
        return Film([], 0)
    size = whole[-1][2]
    picked = pick_evenly(whole, MOST_FRAMES)
    if sum(path.stat().st_size for _, path, _ in picked) <= MOST_BYTES:
        frames = [Frame(samples, encode_bytes(path.read_bytes(), "png")) for samples, path, _ in picked]
        return Film(frames, len(whole), size=size)
    picked = pick_evenly(picked, max(FEWEST_FRAMES, min(MOST_FRAMES, MOST_PIXELS // (size[0] * size[1]))))
    frames = [Frame(samples, recode(path)) for samples, path, _ in picked]
    # Base64 takes 4 bytes for 3; frames of like size are dropped evenly until the film fits.
    share = MOST_BYTES * 4 / 3 / sum(len(frame.uri) for frame in frames)
    frames = pick_evenly(frames, max(FEWEST_FRAMES, int(len(frames) * share)))
    return Film(frames, len(whole), is_recoded=True, size=size)


def numbered(folder: Path) -> list[Path]:
    """The pictures named after sample counts, ascending."""
    return sorted((path for path in folder.glob("*.png") if path.stem.isdecimal()), key=lambda path: int(path.stem))


def size_of(path: Path) -> tuple[int, int] | None:
    """Width and height of a whole picture; None if the file is damaged or was cut short."""
    try:
        with Image.open(path) as image:
            image.verify()
            return image.size
    except (OSError, SyntaxError, ValueError):
        return None


def pick_evenly(items: Sequence[T], most: int) -> list[T]:
    """At most `most` items with even gaps, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, most).round().astype(int)]


def picture_uri(path: Path) -> str | None:
    """A picture file as it is, or as a JPEG if it is heavy; None if it is not there or damaged."""
    if size_of(path) is None:
        return None
    return encode_bytes(path.read_bytes(), "png") if path.stat().st_size <= MOST_BYTES // 4 else recode(path)


def recode(path: Path) -> str:
    """A lighter copy: 8 bits, at most 1024 pixels wide or high, JPEG."""
    with Image.open(path) as image:
        image.load()
        shown = on_screen(image)
    if max(shown.size) > LONGEST_SIDE:
        shown.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX)
    return encode_picture(shown, "JPEG", quality=75)


def thumbnail_uri(image: Picture, *, longest: int = 160) -> str:
    """A small picture, pixel for pixel where it fits."""
    shown = on_screen(image)
    if max(shown.size) > longest:
        shown.thumbnail((longest, longest), Image.Resampling.BOX)
    return encode_picture(shown, "PNG")


def encode_picture(image: Picture, form: str, **options: int) -> str:
    """A picture as a data URI."""
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return encode_bytes(buffer.getvalue(), form.lower())


def encode_bytes(data: bytes, kind: str) -> str:
    """The bytes of a picture file as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
