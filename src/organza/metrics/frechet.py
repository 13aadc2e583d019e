"""Frechet distance between feature sets, from moments that can be gathered in parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from organza.errors import MeasureError
from organza.metrics.checks import check_features

ROWS = 4096
ROUND_OFF = 1e-6


@final
@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and covariance of features; a sum of parts equals the moments of the whole.

    Gather any number of samples as `sum((Moments.of(part) for part in parts), Moments.empty(width))`, also over ranks:
    `count`, `mean` and `scatter` are all that has to travel.
    """

    count: int
    """Samples seen."""
    mean: np.ndarray
    """(D,), float64."""
    scatter: np.ndarray
    """Sum over the samples of (x - mean)(x - mean)^T, (D, D), float64."""

    @staticmethod
    def empty(width: int) -> Moments:
        """The moments of no sample: adding them changes nothing."""
        return Moments(0, np.zeros(width), np.zeros((width, width)))

    @staticmethod
    def of(features: np.ndarray) -> Moments:
        """The moments of features (N, D), N >= 1.

        Raises:
            MeasureError: No matrix, no row, NaN or infinity.
        """
        (x,) = check_features({"features": features}, least=1)
        mean = x.mean(axis=0)
        scatter = np.zeros((x.shape[1], x.shape[1]))
        for start in range(0, len(x), ROWS):
            centred = x[start : start + ROWS] - mean
            scatter += centred.T @ centred
        return Moments(len(x), mean, scatter)

    def __add__(self, other: Moments) -> Moments:
        """The moments of both sets together: the pairwise update of Chan, Golub and LeVeque 1983."""
        same_width(self, other)
        count = self.count + other.count
        if count == 0:
            return self
        shift = other.mean - self.mean
        between = self.count * other.count / count * np.outer(shift, shift)
        return Moments(count, self.mean + other.count / count * shift, self.scatter + other.scatter + between)

    @property
    def covariance(self) -> np.ndarray:
        """The unbiased covariance, (D, D): scatter / (count - 1).

        Raises:
            MeasureError: Fewer than two samples.
        """
        if self.count < 2:
            raise MeasureError(f"a covariance needs 2 or more samples; there are {self.count}")
        return self.scatter / (self.count - 1)

    @property
    def note(self) -> str:
        """What to say beside a distance from these moments, a sentence; empty when there are samples enough."""
        if self.count > len(self.mean):
            return ""
        return (
            f"The covariance of {len(self.mean):,} features from only {self.count:,} samples is singular: Frechet "
            "distances come out too large. Prefer the kernel distance, or use more samples."
        )


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Squared 2-Wasserstein distance between Gaussians with the moments of the two feature sets.

    |m_r - m_f|^2 + tr S_r + tr S_f - 2 tr (S_r S_f)^(1/2)

    It falls as N grows even for equal distributions, so compare at one N only, beside real against real. With N <= D
    the covariance is singular: the value is still exact for these samples, see `Moments.note`.

    Args:
        real: Features (N, D), N >= 2.
        fake: Features (M, D), M >= 2.

    Returns:
        Distance >= 0 in squared feature units; lower is better, 0 for equal moments. Symmetric. Call it FID only if the
        features come from the 2015 Inception network.

    Raises:
        MeasureError: Too few samples, different widths, NaN or infinity.

    Source: Heusel et al. 2017 (arXiv:1706.08500), Eq. 6; Dowson and Landau 1982, Eq. 4.
    """
    real, fake = check_features({"real": real, "fake": fake}, least=2)
    return between(real.mean(axis=0), root_of(real), fake.mean(axis=0), root_of(fake))


def frechet_of_moments(a: Moments, b: Moments) -> float:
    """`frechet_distance` from gathered moments.

    Args:
        a: Moments of two or more samples.
        b: Moments of two or more samples of the same width.

    Returns:
        As `frechet_distance`.

    Raises:
        MeasureError: Too few samples, different widths, or moments that no samples have: a covariance with an
            eigenvalue far below 0.
    """
    same_width(a, b)
    return between(a.mean, root(a.covariance), b.mean, root(b.covariance))


def between(mean_a: np.ndarray, root_a: np.ndarray, mean_b: np.ndarray, root_b: np.ndarray) -> float:
    """The distance from means (D,) and roots (D, rank) of the covariances.

    tr (S_a S_b)^(1/2) is the sum of the singular values of S_a^(1/2) S_b^(1/2): the roots of the eigenvalues of the
    symmetric S_a^(1/2) S_b S_a^(1/2), but found without squaring, which would cost half of the digits. Negative
    round-off is set to 0.
    """
    overlap = np.linalg.svd(root_a.T @ root_b, compute_uv=False).sum()
    spread, shift = (root_a**2).sum() + (root_b**2).sum(), mean_a - mean_b
    return max(0.0, float(shift @ shift + spread - 2 * overlap))


def root_of(features: np.ndarray) -> np.ndarray:
    """R (D, rank) with R R^T the covariance of features (N, D); of few samples at once, they are one themselves."""
    if len(features) > features.shape[1]:
        return root(Moments.of(features).covariance)
    return (features - features.mean(axis=0)).T / np.sqrt(len(features) - 1)


def root(covariance: np.ndarray) -> np.ndarray:
    """R (D, rank) with R R^T the covariance; directions whose variance is mere round-off are left out."""
    variances, directions = np.linalg.eigh(covariance)
    largest = variances[-1]
    if variances[0] < -ROUND_OFF * abs(largest):
        raise MeasureError(
            f"a covariance has the eigenvalue {variances[0]:.3g} beside {largest:.3g}; it must not be negative. The "
            "moments are damaged or were not gathered in float64: compute them anew with Moments.of"
        )
    kept = variances > len(variances) * np.finfo(np.float64).eps * largest
    return directions[:, kept] * np.sqrt(variances[kept])


def same_width(a: Moments, b: Moments) -> None:
    """Refuse moments of different features."""
    if len(a.mean) != len(b.mean):
        raise MeasureError(
            f"moments of {len(a.mean):,} and of {len(b.mean):,} features; both must be of one network and layer"
        )
