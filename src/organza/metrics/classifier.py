"""What a classifier says of the samples: confidence and balance of classes, and other measures class by class."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

import numpy as np

from organza.errors import MeasureError
from organza.metrics.checks import check_features, check_labels
from organza.metrics.estimate import Estimate

Result = TypeVar("Result")


def classifier_score(probabilities: np.ndarray, *, splits: int = 10, seed: int = 0) -> Estimate:
    """How sure a classifier is of each sample, and how evenly it spreads them over classes.

    exp(mean_x KL(p(y|x) || p(y))), with p(y) the mean of p(y|x); the mean over equal parts of the samples in random
    order. It compares with no real data: a generator of one perfect sample per class gets the best score.

    Args:
        probabilities: p(y|x), (N, C), rows >= 0 that sum to 1, N >= splits.
        splits: Parts, >= 1. A score falls with the size of a part, so keep both N and splits.
        seed: Determines the order.

    Returns:
        Value 1 (all alike, or unsure) to C; higher is better. The standard error is that of the mean over parts, their
        standard deviation (with splits - 1) / sqrt(splits); the plus-minus of papers is the standard deviation itself.
        With one part it is 0. Call it Inception score only with the 2015 Inception network.

    Raises:
        MeasureError: Too few samples, NaN or infinity, or rows that are no probabilities.

    Source: Salimans et al. 2016 (arXiv:1606.03498), section 4.
    """
    (p,) = check_features({"probabilities": probabilities}, least=splits)
    wrong = (p < 0).any(axis=1) | (np.abs(p.sum(axis=1) - 1) > 1e-3)
    if wrong.any():
        raise MeasureError(
            f"{wrong.sum():,} of {len(p):,} rows of probabilities are negative somewhere or do not sum to 1; "
            "if these are logits, apply softmax first"
        )
    p = p[np.random.default_rng(seed).permutation(len(p))]
    bounds = len(p) * np.arange(splits + 1) // splits
    scores = [information(p[start:stop]) for start, stop in pairwise(bounds)]
    error = np.std(scores, ddof=1) / np.sqrt(splits) if splits > 1 else 0.0
    return Estimate(float(np.mean(scores)), float(error))


def information(p: np.ndarray) -> float:
    """The exponential of the mutual information between sample and class, from p(y|x) (N, C)."""
    return float(np.exp(plogp(p).sum() / len(p) - plogp(p.mean(axis=0)).sum()))


def plogp(p: np.ndarray) -> np.ndarray:
    """Elementwise p ln p, 0 at 0."""
    return p * np.log(np.where(p > 0, p, 1))


def class_histogram(labels: np.ndarray, *, classes: int) -> np.ndarray:
    """The share of each class among labels.

    Args:
        labels: Whole numbers 0 to classes - 1, (N,), N >= 1.
        classes: How many there are, C.

    Returns:
        Shares (C,), each 0 to 1; they sum to 1.

    Raises:
        MeasureError: No labels, or one out of range.
    """
    labels = check_labels(labels, name="labels", classes=classes)
    return np.bincount(labels.ravel(), minlength=classes) / labels.size


def class_divergence(fake: np.ndarray, real: np.ndarray) -> float:
    """KL divergence of the fakes' classes to the real ones: sum_c q_c ln(q_c / p_c).

    Args:
        fake: Histogram q of the fakes, counts or shares, (C,).
        real: Histogram p to compare with, counts or shares, (C,); `np.ones(C)` is the uniform one.

    Returns:
        Nats >= 0, lower is better, 0 for equal shares; infinite if fakes have a class that the real samples lack. A
        class that fakes lack alone costs little here: look at the histogram too.

    Raises:
        MeasureError: Different lengths, a negative or non-finite number, or nothing but zeros.
    """
    q, p = np.asarray(fake, dtype=np.float64), np.asarray(real, dtype=np.float64)
    if q.shape != p.shape or q.ndim != 1:
        raise MeasureError(f"histograms have the shapes {q.shape} and {p.shape}; both must be (C,) for C classes")
    for name, histogram in (("fake", q), ("real", p)):
        if not (histogram >= 0).all() or not 0 < histogram.sum() < np.inf:
            raise MeasureError(f"the {name} histogram {histogram} must hold finite numbers >= 0 that are not all 0")
    q, p = q / q.sum(), p / p.sum()
    has_any = q > 0
    if (p[has_any] == 0).any():
        return float("inf")
    return max(0.0, float((q[has_any] * np.log(q[has_any] / p[has_any])).sum()))


def per_class(
    function: Callable[[np.ndarray, np.ndarray], Result],
    real: np.ndarray,
    real_labels: np.ndarray,
    fake: np.ndarray,
    fake_labels: np.ndarray,
) -> dict[int, Result]:
    """A measure of real against fake within each class: how conditional generators fail one class at a time.

    Args:
        function: From real (n, D) and fake (m, D) features of one class to a result, for example `frechet_distance`.
        real: Features (N, D).
        real_labels: Their classes, whole numbers >= 0, (N,).
        fake: Features (M, D).
        fake_labels: The classes the fakes were made for, (M,).

    Returns:
        Class to result, for every class of the real samples, ascending.

    Raises:
        MeasureError: Labels that do not fit the samples, or a class of which the function cannot be computed.
    """
    for name, samples, labels in (("real", real, real_labels), ("fake", fake, fake_labels)):
        if np.shape(labels) != (len(samples),):
            raise MeasureError(f"{name} has {len(samples):,} samples and labels of the shape {np.shape(labels)}")
    real_labels, fake_labels = np.asarray(real_labels), np.asarray(fake_labels)
    results: dict[int, Result] = {}
    for label in np.unique(real_labels).tolist():
        try:
            results[label] = function(real[real_labels == label], fake[fake_labels == label])
        except MeasureError as error:
            raise MeasureError(f"class {label}: {error}") from error
    return results
