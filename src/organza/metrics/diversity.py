"""Diversity of one set alone, without a reference."""

from __future__ import annotations

import numpy as np

from organza.errors import MeasureError
from organza.metrics.checks import check_features


def vendi_score(features: np.ndarray) -> float:
    """The effective number of different samples: the exponential of the entropy of the similarity's eigenvalues.

    exp(-sum_i l_i ln l_i), where l_i are the eigenvalues of K / N and K holds the cosines between all samples.

    Args:
        features: Features (N, D), N >= 1, no row all zero.

    Returns:
        1 (all alike) to min(N, D) (all orthogonal); higher is more diverse, which says nothing of quality. It grows
        with N: compare with real samples at the same N.

    Raises:
        MeasureError: No samples, NaN or infinity, or a row of zeros, which has no direction.

    Source: Friedman and Dieng 2022 (arXiv:2210.02410), Definition 3.1 with the cosine kernel.
    """
    (x,) = check_features({"features": features}, least=1)
    norms = np.abs(x).max(axis=1, keepdims=True)
    if not norms.all():
        raise MeasureError(
            f"{np.count_nonzero(norms == 0):,} of {len(x):,} rows of features are all zero: no direction"
        )
    x = x / norms  # first, so that no square overflows
    x /= np.sqrt(len(x)) * np.linalg.norm(x, axis=1, keepdims=True)
    # K / N and its transpose-product of size D share their non-zero eigenvalues.
    shares = np.linalg.eigvalsh(x @ x.T if len(x) <= x.shape[1] else x.T @ x)
    shares = shares[shares > len(shares) * np.finfo(np.float64).eps]
    return float(np.exp(-(shares * np.log(shares)).sum()))
