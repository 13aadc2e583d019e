"""Kernel distance: the squared maximum mean discrepancy with a polynomial kernel, without bias in N."""

from __future__ import annotations

import numpy as np

from organza.errors import MeasureError
from organza.metrics.checks import check_features
from organza.metrics.estimate import Estimate

BLOCK = 2**22  # kernel values held at once


def kernel_distance(
    real: np.ndarray,
    fake: np.ndarray,
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    degree: int = 3,
    coef: float = 1.0,
    gamma: float | None = None,
    seed: int = 0,
) -> Estimate:
    """The mean of `squared_mmd` over random subsets of both sides, with its standard error.

    Its expectation does not depend on N, so unlike a Frechet distance it suits small sets.

    Args:
        real: Features (N, D), N >= 4.
        fake: Features (M, D), M >= 4.
        subsets: How many pairs of subsets, 2 or more.
        subset_size: Samples of each side in a subset, drawn without replacement. It shrinks to half of the smaller
            side where there is less, so that subsets differ.
        degree: Degree of the kernel, a whole number >= 1.
        coef: Added before the power.
        gamma: Factor of the inner product; None is 1 / D.
        seed: Determines the subsets.

    Returns:
        Value (lower is better; around 0, also below, for equal distributions; in kernel units) and standard error. With
        s the standard deviation over the B subsets, m their size and N the smaller side, the squared error is
        s^2 (1/B + m / (N - m)): how far another draw of the samples would move the value, to first order. Near 0,
        where the kernel's first-order term vanishes, it errs on the large side.

    Raises:
        MeasureError: Too few samples or subsets, different widths, NaN or infinity.

    Source: Binkowski et al. 2018 (arXiv:1801.01401), section 4.
    Differs: there s / sqrt(B) is the error, which forgets that subsets share samples; libraries print s itself.
    """
    real, fake = check_features({"real": real, "fake": fake}, least=4)
    if subsets < 2:
        raise MeasureError(f"subsets={subsets}; a standard error needs 2 or more. Without one, call squared_mmd")
    random = np.random.default_rng(seed)
    fewest = min(len(real), len(fake))
    size = min(subset_size, fewest // 2)
    scale = 1 / real.shape[1] if gamma is None else gamma
    values = np.empty(subsets)
    for i in range(subsets):
        x = real[random.choice(len(real), size, replace=False)]
        y = fake[random.choice(len(fake), size, replace=False)]
        values[i] = unbiased(x, y, degree, coef, scale)
    variance = values.var(ddof=1) * (1 / subsets + size / (fewest - size))
    return Estimate(float(values.mean()), float(np.sqrt(variance)))


def squared_mmd(
    real: np.ndarray, fake: np.ndarray, *, degree: int = 3, coef: float = 1.0, gamma: float | None = None
) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy, from all samples.

    mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j)
    with k(x, y) = (gamma x.y + coef)^degree

    Args:
        real: Features x (N, D), N >= 2.
        fake: Features y (M, D), M >= 2.
        degree: Degree of the kernel, a whole number >= 1.
        coef: Added before the power.
        gamma: Factor of the inner product; None is 1 / D.

    Returns:
        Lower is better; around 0, also below, for equal distributions. Takes N + M squared time.

    Raises:
        MeasureError: Too few samples, different widths, NaN or infinity.

    Source: Gretton et al. 2012, "A kernel two-sample test", Eq. 3.
    """
    real, fake = check_features({"real": real, "fake": fake}, least=2)
    return float(unbiased(real, fake, degree, coef, 1 / real.shape[1] if gamma is None else gamma))


def unbiased(x: np.ndarray, y: np.ndarray, degree: int, coef: float, gamma: float) -> float:
    """The estimate itself, from matrices that were checked."""
    within = 0.0
    for z in (x, y):
        diagonal = ((gamma * np.einsum("nd,nd->n", z, z) + coef) ** degree).sum()
        within += (kernel_sum(z, z, degree, coef, gamma) - diagonal) / (len(z) * (len(z) - 1))
    return within - 2 * kernel_sum(x, y, degree, coef, gamma) / (len(x) * len(y))


def kernel_sum(x: np.ndarray, y: np.ndarray, degree: int, coef: float, gamma: float) -> float:
    """The sum of k over all pairs, a block of rows at a time."""
    total, rows = 0.0, max(1, BLOCK // len(y))
    for start in range(0, len(x), rows):
        base = x[start : start + rows] @ y.T
        base *= gamma
        base += coef
        power = base.copy() if degree > 1 else base
        for _ in range(degree - 1):  # several times faster than a power of floats
            power *= base
        total += power.sum()
    return total
