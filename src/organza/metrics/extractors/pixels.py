"""No network at all: the pixels themselves. Blind to meaning, sensitive to contrast, and the same everywhere."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from organza.errors import UsageError
from organza.metrics.extractors.extractor import Extractor, resized

LARGEST = 32
"""Larger images are reduced to this side, so that a covariance of pixels fits into memory."""


def pixels(*, weights: Path | None, device: str, offline: bool) -> Extractor:
    """Pixel values in [0, 1], channel by channel, row by row."""
    if weights is not None:
        raise UsageError(f"The extractor pixels has no weights; leave out --weights {weights}.")

    def look(images: Tensor) -> tuple[Tensor, None]:
        fitted = images.float() if max(images.shape[2:]) <= LARGEST else resized(images, LARGEST, mode="bilinear")
        return fitted.flatten(1) / 255, None

    return Extractor(
        name="pixels",
        label="FD-pixels",
        sha256="",
        layer="pixels",
        feature_dim=0,
        size=0,
        resize=f"none up to {LARGEST}x{LARGEST}; larger: bilinear, anti-aliased, stretched to {LARGEST}x{LARGEST}",
        range="v / 255",
        channels=0,
        num_classes=0,
        chunk=1000,
        device=device,
        network=look,
    )
