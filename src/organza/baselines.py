"""What passes for the result of a model that makes images from images, and needs none: what a model has to beat."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import final

import numpy as np
import torch
from torch import Tensor

from organza.apply import in_bits
from organza.data.degrade import downsampled
from organza.data.images import recolour
from organza.data.masks import is_hole
from organza.data.source import Source, as_rows, decode, encode
from organza.data.spec import ImageSpec
from organza.pools import order_of

MOST = 5_000
"""Training pairs that the nearest neighbour is looked for in."""
AT_ONCE = 500
Maker = Callable[[np.ndarray, int], tuple[np.ndarray]]
"""From sources to what passes for results, stored images (N, H, W, C) both; the position of the first is ignored."""


def makers(source: ImageSpec, target: ImageSpec, training: Source, *, has_holes: bool) -> dict[str, Maker]:
    """The baselines that fit, by name: one that follows from the source alone, and the nearest neighbour.

    Args:
        source: What the sources are.
        target: What the results should be.
        training: The training data, to look for neighbours in where it is paired.
        has_holes: Whether transparent places of the sources are to be filled.
    """
    found: dict[str, Maker] = {}
    if has_holes:
        found["mean fill"] = lambda given, _: (recoloured(mean_filled(given), target),)
    elif source.channels == target.channels or {source.channels, target.channels} <= {1, 3, 4}:
        is_same_size = (source.height, source.width) == (target.height, target.width)
        found["copy" if is_same_size else "bicubic"] = lambda given, _: (resized(recoloured(given, target), target),)
    if isinstance(training.spec, ImageSpec) and training.spec.has_source and training.spec.is_paired:
        found["nearest neighbour"] = Nearest(training, target if has_holes else None)
    return found


def recoloured(images: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Stored images with the channels and the bits of a spec."""
    return in_bits(np.stack([recolour(image, spec.channels) for image in images]), spec.bits)


def resized(images: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Stored images at the size of a spec, bicubic; as they are if they have it."""
    if images.shape[1:3] == (spec.height, spec.width):
        return images
    return encode(downsampled(as_seen(images, spec), spec.height, spec.width), spec)


def mean_filled(images: np.ndarray) -> np.ndarray:
    """RGBA images as RGB, in the holes the mean color of the rest of the image; gray if nothing is known of it."""
    colors, is_known = images[..., :3].astype(np.float64), ~is_hole(images)[..., None]
    counts = is_known.sum((1, 2), keepdims=True)
    means = (colors * is_known).sum((1, 2), keepdims=True) / np.maximum(counts, 1)
    means = np.where(counts, means, np.iinfo(images.dtype).max / 2)
    return np.rint(np.where(is_known, colors, means)).astype(images.dtype)


def as_seen(images: np.ndarray, spec: ImageSpec) -> Tensor:
    """Stored images (N, H, W, C) as networks see them: (N, C, H, W) in [-1, 1]."""
    channels_first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return decode({"image": torch.from_numpy(channels_first)}, spec.alone)["image"]


def as_stored(images: Tensor) -> np.ndarray:
    """Images of a source (N, C, H, W) as (N, H, W, C)."""
    return images.numpy().transpose(0, 2, 3, 1)


@final
class Nearest:
    """The target of the training source that differs least, in pixels of both shrunk to 32 a side.

    Args:
        training: Pairs, of which a random part is searched if there are too many.
        filled: What results are, where sources are to be left alone but for their holes.
    """

    def __init__(self, training: Source, filled: ImageSpec | None = None) -> None:
        self.training, self.order, self.filled = training, order_of(training)[:MOST], filled

    def __call__(self, given: np.ndarray, _: int = 0) -> tuple[np.ndarray]:
        """Targets (N, H, W, C) of training pairs."""
        where = torch.cdist(self.rows(given), self.known).argmin(dim=1).numpy()
        found = as_stored(self.training.read(self.order[where])["image"])
        if self.filled is not None:
            found = np.where(is_hole(given)[..., None], found, recoloured(given[..., :3], self.filled))
        return (found,)

    @cached_property
    def known(self) -> Tensor:
        """The training sources as rows (M, D)."""
        parts = (self.order[start : start + AT_ONCE] for start in range(0, len(self.order), AT_ONCE))
        return torch.cat([self.rows(as_stored(self.training.read(part)["source"])) for part in parts])

    def rows(self, given: np.ndarray) -> Tensor:
        """Sources as rows of numbers."""
        spec = self.training.spec.images["source"]
        return as_rows(as_seen(given, spec), spec)
