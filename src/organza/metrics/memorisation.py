"""Does a generator replay its training data, or repeat itself? Show the nearest neighbours beside every number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from organza.errors import MeasureError
from organza.metrics.checks import check_features
from organza.metrics.clusters import kmeans, principal_axes
from organza.metrics.neighbours import (
    ROUND_OFF,
    centred,
    nearest,
    slack,
    squared_distances,
    squared_norms,
    squared_radii,
)


@final
@dataclass(frozen=True)
class Copying:
    """Whether fakes lie nearer to training samples than held-out real samples do."""

    value: float
    """C_T, in standard deviations: about 0 is right, far below 0 is copying, far above 0 is under-fitting."""
    lowest: float
    """The lowest score of a single cell: copying in one region may hide in the mean."""
    cells: int
    """Cells that counted."""
    share: float
    """Share of the held-out samples in those cells, 0 to 1."""


@final
@dataclass(frozen=True)
class Birthday:
    """How soon a generator repeats itself."""

    duplicates: int
    """Pairs of fakes that count as duplicates."""
    pairs: int
    """Pairs there are."""
    support: float
    """Effective number of different samples, pairs / duplicates; infinite without duplicates. Higher is better."""
    batch: float
    """Size of a batch that holds a duplicate in half of all cases; infinite without duplicates."""
    closest: tuple[int, int]
    """Rows of the two nearest fakes, to look at."""
    distance: float
    """Their distance."""


def authenticity(train: np.ndarray, fake: np.ndarray) -> float:
    """The share of fakes that are no copies: AuthPct / 100.

    A fake is authentic if it lies farther from the nearest training sample than that sample lies from the nearest other
    training sample.

    Args:
        train: Features of the training samples (N, D), N >= 2.
        fake: Features (M, D), M >= 1.

    Returns:
        0 (all copies) to 1. Higher is less copying; held-out real samples, about one half, are what to compare with.
        Bad samples are authentic too.

    Raises:
        MeasureError: Too few samples, different widths, NaN or infinity.

    Source: Alaa et al. 2022 (arXiv:2102.08921), authenticity; as a percentage Stein et al. 2023 (arXiv:2306.04675).
    """
    check_features({"train": train}, least=2)
    train, fake = centred(*check_features({"train": train, "fake": fake}, least=1))
    indices, squares = nearest(fake, train)
    met, back = np.unique(indices, return_inverse=True)
    own = squared_radii(train, k=1, rows=met)
    reach = own + slack(train[met], own)
    return float((squares > reach[back]).mean())


def copying(
    train: np.ndarray,
    held_out: np.ndarray,
    fake: np.ndarray,
    *,
    cells: int = 3,
    dimensions: int = 64,
    at_least: int = 20,
    seed: int = 0,
) -> Copying:
    """C_T: are fakes nearer to the training samples than held-out real samples are?

    In each cell of a k-means partition of the training samples, the distances of fakes and of held-out samples to the
    nearest training sample there are compared by the rank test of Mann and Whitney, as a z-score. The mean over cells
    is weighted by the held-out samples in them.

    Args:
        train: Features of the training samples (N, D), N >= 2.
        held_out: Features of real samples that were not trained on (n, D).
        fake: Features (m, D).
        cells: Cells of the partition, >= 1.
        dimensions: Features wider than this are first projected on as many principal axes of the training samples.
        at_least: A cell counts if it holds as many fakes and as many held-out samples.
        seed: Determines the partition.

    Returns:
        The weighted mean z-score and how it came about. It grows with sqrt(n + m): compare at the same sizes.

    Raises:
        MeasureError: Too few samples, also if no cell holds enough; different widths, NaN or infinity.

    Source: Meehan, Chaudhuri, Dasgupta 2020 (arXiv:2004.05675), the statistic C_T.
    Differs: the z-score is corrected for ties and not for continuity, and held-out samples must fill a cell too.
    """
    sets = {"train": train, "held_out": held_out, "fake": fake}
    check_features({"train": train}, least=2)
    check_features({"held_out": held_out, "fake": fake}, least=at_least)
    sets = centred(*check_features(sets, least=1))
    if sets[0].shape[1] > dimensions:
        axes = principal_axes(sets[0], dimensions=dimensions)
        sets = [x @ axes for x in sets]
    centres = kmeans(sets[0], cells=cells, seed=seed)
    places = [nearest(x, centres)[0] for x in sets]
    scores, weights = [], []
    for cell in range(len(centres)):
        near, real, made = (x[place == cell] for x, place in zip(sets, places, strict=True))
        if len(near) > 0 and min(len(real), len(made)) >= at_least:
            scores.append(rank_score(nearest(made, near)[1], nearest(real, near)[1]))
            weights.append(len(real))
    if not scores:
        raise MeasureError(
            f"none of the {len(centres)} cells holds {at_least} fakes and {at_least} held-out samples; "
            "give more samples or ask for fewer cells"
        )
    share = sum(weights) / len(held_out)
    return Copying(float(np.average(scores, weights=weights)), min(scores), len(scores), share)


def rank_score(x: np.ndarray, y: np.ndarray) -> float:
    """Z-score of the Mann-Whitney statistic: the pairs with x > y, ties as one half; 0 if all values are one."""
    m, n, total = len(x), len(y), len(x) + len(y)
    _, inverse, ties = np.unique(np.concatenate([x, y]), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[inverse]
    u = ranks[:m].sum() - m * (m + 1) / 2
    ties = ties.astype(np.float64)
    variance = m * n / 12 * (total + 1 - (ties**3 - ties).sum() / (total * (total - 1)))
    return float((u - m * n / 2) / np.sqrt(variance)) if variance > 0 else 0.0


def birthday(fake: np.ndarray, *, threshold: float) -> Birthday:
    """Birthday test: the more of all pairs of fakes are duplicates, the fewer different samples there are.

    A generator with n equally likely samples repeats itself in 1 of n pairs, and among s = 1/2 + sqrt(1/4 + 2 n ln 2)
    samples in half of all cases; for others n is an effective number.

    Args:
        fake: Features (N, D), N >= 2. Support far beyond N^2 / 2 cannot be seen.
        threshold: Distance up to which two fakes are duplicates, >= 0, in feature units. Choose it by eye among the
            closest pairs; real samples should have none at it.

    Returns:
        Counts and estimates. Compare `support` with the size of the training set.

    Raises:
        MeasureError: Too few samples, NaN or infinity.

    Source: Arora and Zhang 2017 (arXiv:1706.08224), the birthday paradox test.
    Differs: uses all pairs instead of repeated batches, and a distance instead of an eye.
    """
    (x,) = centred(*check_features({"fake": fake}, least=2))
    found, distance, closest = 0, float("inf"), (0, 1)
    reach = threshold**2 + ROUND_OFF * (squared_norms(x) + threshold**2)
    for part, block in squared_distances(x, x):
        rows = np.arange(part.start, part.stop)
        block[rows - part.start, rows] = np.inf
        found += int(np.count_nonzero(block <= reach[part, None]))
        row, column = divmod(int(block.argmin()), len(x))
        if block[row, column] < distance:
            distance, closest = float(block[row, column]), (int(rows[row]), column)
    # Both orders of a pair were seen; round-off may have let one pass and not the other.
    duplicates, pairs = -(-found // 2), len(x) * (len(x) - 1) // 2
    support = pairs / duplicates if duplicates else float("inf")
    batch = 0.5 + float(np.sqrt(0.25 + 2 * np.log(2) * support))
    first, second = sorted(closest)
    return Birthday(duplicates, pairs, support, batch, (first, second), float(np.linalg.norm(x[first] - x[second])))
