"""Where images are cut into tiles of one size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Size = tuple[int, int]
"""(height, width)."""
WHOLE = -1
"""In place of rows and columns: the image is smaller than a tile, and is fitted into one as a whole."""


def tiles(sizes: Sequence[Size], tile: Size) -> tuple[np.ndarray, np.ndarray]:
    """The tiles that cover images: evenly spread, each sharing half of itself or more with the next.

    Args:
        sizes: Of the images.
        tile: Of every tile.

    Returns:
        Which image each tile is cut from, (N,), and its first row and column there, (N, 2).
    """
    images, places = [], []
    for index, size in enumerate(sizes):
        if any(side < need for side, need in zip(size, tile, strict=True)):
            here = np.full((1, 2), WHOLE)
        else:
            down, across = (begins(side, need) for side, need in zip(size, tile, strict=True))
            here = np.stack(np.meshgrid(down, across, indexing="ij"), axis=2).reshape(-1, 2)
        images.append(np.full(len(here), index))
        places.append(here)
    return np.concatenate(images), np.concatenate(places)


def begins(side: int, tile: int) -> np.ndarray:
    """Where tiles begin along a side."""
    count = 1 + -(-(side - tile) // max(1, tile // 2))
    return np.linspace(0, side - tile, count).round().astype(np.int64)
