"""Image to image without any download: pairs and domains that are made of the embedded MNIST, the same each time."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from organza.data.arrays import memory_source
from organza.data.idx import MNIST, find_images, read_idx
from organza.data.options import DataOptions
from organza.data.pairs import PairSource, relation, resized
from organza.errors import UsageError

Maker = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Digits (N, 28, 28) uint8 and their classes (N,) to images (N, H, W, C) uint8."""
PIECE = 512
"""Digits that are changed at once: few, so that they stay in the cache."""
PALETTE = np.array([colorsys.hsv_to_rgb(digit / 10, 1, 1) for digit in range(10)], dtype=np.float32)
"""RGB of each class, in [0, 1]."""
WARM, COOL = np.array([1.0, 0.6, 0.0]), np.array([0.1, 0.4, 1.0])
SLOPE = 0.4
"""Columns by which each row lies further right than the one below it."""


@dataclass(frozen=True)
class DigitPairs:
    """What both sides are made by, and whether they are given in pairs."""

    source: Maker
    target: Maker
    sides: tuple[int, int] = (28, 28)
    is_paired: bool = True


def plain(digits: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The digits themselves, gray."""
    return digits[..., None]


def edges(digits: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """How steep each pixel is, gray: the length of the gradient by Sobel's filters, 1/4 of it, clipped."""
    x = np.pad(digits, ((0, 0), (1, 1), (1, 1))).astype(np.float32)
    down = x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]  # smoothed over rows: (N, 28, 30)
    across = x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]  # smoothed over columns: (N, 30, 28)
    steep = np.hypot(down[..., 2:] - down[..., :-2], across[:, 2:] - across[:, :-2])
    return np.minimum(steep / 4, 255).round().astype(np.uint8)[..., None]


def coloured(digits: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The digits in RGB, each class in a colour of its own."""
    return np.rint(digits[..., None] * PALETTE[classes][:, None, None]).astype(np.uint8)


def small(digits: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The digits at a quarter of their size: means of 4 x 4 pixels, gray."""
    return digits.reshape(-1, 7, 4, 7, 4).mean((2, 4)).round().astype(np.uint8)[..., None]


def slanted(digits: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The digits in RGB, sheared to the right, warm at the top and cool at the bottom."""
    height, width = digits.shape[1:]
    rows = np.arange(height)[:, None]
    shift = SLOPE * ((height - 1) / 2 - rows)
    whole = np.floor(shift).astype(np.int64)
    rest = (shift - whole).astype(np.float32)  # (28, 1): between two columns
    columns = np.arange(width) + width - whole
    padded = np.pad(digits, ((0, 0), (0, 0), (width, width)))
    sheared = (1 - rest) * padded[:, rows, columns] + rest * padded[:, rows, columns - 1]
    colours = (WARM + rows / (height - 1) * (COOL - WARM)).astype(np.float32)  # (28, 3)
    return np.rint(sheared[..., None] * colours[:, None]).astype(np.uint8)


DIGIT_PAIRS = {
    "edges-to-digits": DigitPairs(edges, plain),
    "gray-to-colour-digits": DigitPairs(plain, coloured),
    "small-to-digits": DigitPairs(small, plain, sides=(7, 28)),
    "digits-to-slanted": DigitPairs(plain, slanted, is_paired=False),
}


def open_digit_pairs(name: str, *, options: DataOptions) -> PairSource:
    """The pairs called `name`, in memory.

    Unpaired, the sides are made of different digits: every other one. The test split is paired even of what is unpaired
    to train on, so that the translation can be judged against the hidden truth; `options.paired` decides otherwise.
    """
    if options.pairs in ("side-by-side", "masks"):
        raise UsageError(f"{name} holds pairs already; leave out --pairs {options.pairs}")
    made = DIGIT_PAIRS[name]
    images = find_images(MNIST, split=options.split)
    digits, classes = read_idx(images), read_idx(images.with_name(images.name.replace("images-idx3", "labels-idx1")))
    is_paired = {"yes": True, "no": False}.get(options.paired, made.is_paired or options.split == "test")
    sizes = resized(options, factor=relation(*((side, side) for side in made.sides)))
    sides = []
    for index, (make, own) in enumerate(zip((made.source, made.target), sizes, strict=True)):
        chosen = slice(None) if is_paired else slice(index, None, 2)
        kept, known = digits[chosen][: options.limit], classes[chosen][: options.limit]
        ready = images_of(make, kept, known)
        sides.append(memory_source(ready, None, name=name, where=name, options=replace(own, limit=None)))
    source, target = sides if options.direction == "AtoB" else sides[::-1]
    return PairSource(source, target, name=name, is_paired=is_paired)


def images_of(make: Maker, digits: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """What `make` makes of all digits, (N, H, W, C), laid out as it will be held: channels before rows."""
    height, width, channels = make(digits[:1], classes[:1]).shape[1:]
    held = np.empty((len(digits), channels, height, width), dtype=np.uint8)
    for at in range(0, len(digits), PIECE):
        part = slice(at, at + PIECE)
        held[part] = make(digits[part], classes[part]).transpose(0, 3, 1, 2)
    return held.transpose(0, 2, 3, 1)
