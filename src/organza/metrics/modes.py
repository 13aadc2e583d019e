"""Counting modes where they are known: Gaussian toys and StackedMNIST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from organza.errors import MeasureError
from organza.metrics.checks import check_features, check_labels
from organza.metrics.classifier import class_divergence, class_histogram

STACKED_MODES = 1000


@final
@dataclass(frozen=True)
class ModeCount:
    """What samples make of modes that should be equally likely."""

    captured: int
    """Modes with enough samples; higher is better."""
    total: int
    """Modes there are."""
    high_quality: float
    """Share of samples that count for a mode, 0 to 1; higher is better."""
    divergence: float
    """KL of the samples' distribution over modes to the uniform one, in nats: 0 (even) to ln(total) (one mode)."""


def count_modes(samples: np.ndarray, centres: np.ndarray, *, std: float, at_least: int = 1) -> ModeCount:
    """Modes of an equal mixture of Gaussians that the samples hit.

    A sample belongs to the nearest mode and is of high quality within 3 standard deviations of it. The mixture's own
    samples are so in 98.9 % of cases in two dimensions and 99.7 % in one.

    Args:
        samples: Generated points (N, D), N >= 1.
        centres: Centres of the modes (M, D).
        std: Standard deviation around each mode, > 0.
        at_least: High-quality samples that a mode needs to be captured: 1 as in VEEGAN, 20 as a stricter rule.

    Returns:
        The counts. The divergence is over the nearest modes of all samples, of high quality or not.

    Raises:
        MeasureError: No samples, different widths, NaN or infinity.

    Source: Srivastava et al. 2017 (arXiv:1705.07761), section 5.1, for the counts; Lin et al. 2018 (arXiv:1712.04086),
    section 4.1, for the divergence.
    """
    samples, centres = check_features({"samples": samples, "centres": centres}, least=1)
    squares = sum(((samples[:, None, i] - centres[None, :, i]) ** 2 for i in range(centres.shape[1])), np.zeros(()))
    mode = squares.argmin(axis=1)  # (N,)
    is_close = squares.min(axis=1) <= (3 * std) ** 2
    hits = np.bincount(mode[is_close], minlength=len(centres))
    divergence = class_divergence(np.bincount(mode, minlength=len(centres)), np.ones(len(centres)))
    return ModeCount(int((hits >= at_least).sum()), len(centres), float(is_close.mean()), divergence)


def stacked_modes(labels: np.ndarray) -> ModeCount:
    """Modes of StackedMNIST hit: images of three digits, one in each colour channel, 1000 in all.

    The usual count is of 26,000 samples with argmax labels; the classifier's accuracy and any rule by which unsure
    samples are left out belong to the number.

    Args:
        labels: The digit 0 to 9 that a classifier sees in each channel, (N, 3), whole numbers, N >= 1.

    Returns:
        Modes with one sample or more, of 1000; every sample counts, so `high_quality` is 1. Even 26,000 samples of the
        data itself have a divergence of 0.019.

    Raises:
        MeasureError: Not three labels per sample, none at all, or one that is no digit.

    Source: Metz et al. 2017 (arXiv:1611.02163), section 3.3.1; Lin et al. 2018 (arXiv:1712.04086), section 4.2.
    """
    digits = check_labels(labels, name="labels", classes=10)
    if digits.ndim != 2 or digits.shape[1] != 3:
        raise MeasureError(f"labels have the shape {digits.shape}; needed is (N, 3): one digit for each channel")
    shares = class_histogram(digits @ np.array([100, 10, 1]), classes=STACKED_MODES)
    divergence = class_divergence(shares, np.ones(STACKED_MODES))
    return ModeCount(int(np.count_nonzero(shares)), STACKED_MODES, 1.0, divergence)
