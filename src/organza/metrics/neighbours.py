"""Distances between two sets of points, a block of rows at a time, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BLOCK = 2**22  # distances held at once: 32 MiB
ROUND_OFF = 1e-12  # of squared distances, relative to the squared norms that they are differences of


def centred(first: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """All sets less the mean of the first: distances stay, and round-off no longer depends on the mean."""
    mean = first.mean(axis=0)
    return [first - mean, *(other - mean for other in others)]


def squared_distances(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows of x and their squared distances to all of y, (rows, M), block by block. A block may be overwritten."""
    x_squares, y_squares = squared_norms(x), squared_norms(y)
    rows = max(1, BLOCK // len(y))
    for start in range(0, len(x), rows):
        part = slice(start, min(start + rows, len(x)))
        block = x[part] @ y.T
        block *= -2
        block += x_squares[part, None]
        block += y_squares
        yield part, np.maximum(block, 0, out=block)


def squared_norms(x: np.ndarray) -> np.ndarray:
    """|x|^2 of every row, (N,)."""
    return np.einsum("nd,nd->n", x, x)


def squared_radii(x: np.ndarray, *, k: int, rows: np.ndarray | None = None) -> np.ndarray:
    """Squared distance of every point, or of those in `rows`, to the k-th nearest other point of its set, for N > k."""
    centres = x if rows is None else x[rows]
    radii = np.empty(len(centres))
    for part, block in squared_distances(centres, x):
        block.partition(k, axis=1)  # the point itself is the 0th
        radii[part] = block[:, k]
    return radii


def slack(x: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """By how much squared distances from points x that are equal to `squares` in truth may differ in floats, (N,)."""
    return ROUND_OFF * (squared_norms(x) + squares)


def nearest(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every x the index of the nearest y and the squared distance to it, (N,) each."""
    indices, squares = np.empty(len(x), dtype=np.int64), np.empty(len(x))
    for part, block in squared_distances(x, y):
        indices[part] = block.argmin(axis=1)
        squares[part] = np.take_along_axis(block, indices[part, None], axis=1)[:, 0]
    return indices, squares
