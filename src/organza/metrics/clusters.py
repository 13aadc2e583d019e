"""Fewer dimensions and few cells: principal components and k-means."""

from __future__ import annotations

import numpy as np

from organza.metrics.neighbours import nearest, slack


def principal_axes(x: np.ndarray, *, dimensions: int) -> np.ndarray:
    """The directions of largest variance of points (N, D), as columns (D, at most `dimensions`)."""
    deviation = x - x.mean(axis=0)
    return np.linalg.eigh(deviation.T @ deviation)[1][:, ::-1][:, :dimensions]


def kmeans(x: np.ndarray, *, cells: int, seed: int, rounds: int = 100) -> np.ndarray:
    """Centres of at most `cells` cells of points (N, D), fewer if there are fewer different points.

    Starts by k-means++ (Arthur and Vassilvitskii 2007), then moves centres to the means of their cells (Lloyd) until
    nothing moves.
    """
    random = np.random.default_rng(seed)
    centres = x[random.integers(len(x), size=1)]
    while len(centres) < cells:
        weights = nearest(x, centres)[1]
        weights[weights <= slack(x, weights)] = 0
        if weights.sum() == 0:
            break
        centres = np.concatenate([centres, x[[random.choice(len(x), p=weights / weights.sum())]]])
    for _ in range(rounds):
        cell = nearest(x, centres)[0]
        counts = np.bincount(cell, minlength=len(centres))
        sums = np.zeros_like(centres)
        np.add.at(sums, cell, x)
        moved = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres
