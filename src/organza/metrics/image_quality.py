"""How near images are to the ones they should be, pair by pair: PSNR, SSIM and mean absolute error.

All take arrays (N, H, W, C) of 8 or 16 bits and give one number per image, (N,), in float64; both sides have the same
shape and type. Pixels are read as shares of white, from 0 to 1. What is published for enlarged images leaves out as
many pixels of the edge as the scale, and looks at the Y channel or at all colors: say which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np

from organza.errors import MeasureError

Channels = Literal["all", "gray", "y"]
"""All channels; the gray value; or the luma of television, from 16 to 235 of 255, as is usual for enlarged images.
Alpha counts among all channels only."""

WINDOW, SIGMA = 11, 1.5
"""Of SSIM: side of the window and deviation of its weights, in pixels."""
K1, K2 = 0.01, 0.03
"""Of SSIM: what keeps its quotients apart from 0."""
GRAY = (0.299, 0.587, 0.114)
LUMA = (65.481 / 255, 128.553 / 255, 24.966 / 255)
BLACK = 16 / 255
"""Weights of red, green and blue and the value of black. Source: ITU-R recommendation BT.601."""
AT_ONCE = 2**22
"""So many numbers are handled together."""


def psnr(real: np.ndarray, fake: np.ndarray, *, channels: Channels = "all", border: int = 0) -> np.ndarray:
    """Peak signal to noise ratio in decibels: -10 log10 of the mean squared difference.

    Args:
        real: Images (N, H, W, C), uint8 or uint16.
        fake: What should be equal to them.
        channels: What is compared.
        border: Rows and columns left out at every edge.

    Returns:
        (N,); infinite where both are equal. Higher is nearer; a difference of one level of 255 everywhere is 48.13.

    Raises:
        MeasureError: The arrays are no images of one shape and type, or the border leaves nothing.
    """

    def of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return -10 * np.log10(np.square(x - y).mean((1, 2, 3)))

    return compared(of, real, fake, channels=channels, border=border, least=1)


def absolute_error(real: np.ndarray, fake: np.ndarray, *, channels: Channels = "all", border: int = 0) -> np.ndarray:
    """The mean absolute difference (L1), from 0 to 1. Arguments and errors as for `psnr`; lower is nearer."""
    return compared(lambda x, y: np.abs(x - y).mean((1, 2, 3)), real, fake, channels=channels, border=border, least=1)


def masked_absolute_error(
    real: np.ndarray, fake: np.ndarray, mask: np.ndarray, *, channels: Channels = "all"
) -> np.ndarray:
    """The mean absolute difference within masks, from 0 to 1; lower is nearer.

    Args:
        real: Images (N, H, W, C), uint8 or uint16.
        fake: What should be equal to them.
        mask: (N, H, W), true where pixels count.
        channels: What is compared.

    Raises:
        MeasureError: As for `psnr`, or a mask is of another size or empty.
    """
    if mask.shape != real.shape[:3]:
        raise MeasureError(f"masks of the shape {mask.shape} for images of {real.shape}; needed is {real.shape[:3]}")
    counts = (mask > 0).sum((1, 2))
    if not counts.all():
        raise MeasureError(f"{np.count_nonzero(counts == 0):,} of {len(mask):,} masks are empty: nothing to compare")
    # The mean over all pixels of a difference that is 0 beyond the mask, over the mask's share of the area.
    inside = (mask > 0)[..., None]
    within = np.where(inside, fake, real)
    return absolute_error(real, within, channels=channels) * (mask[0].size / counts)


def ssim(real: np.ndarray, fake: np.ndarray, *, channels: Channels = "all", border: int = 0) -> np.ndarray:
    """Structural similarity: how alike brightness, contrast and structure are in windows, their mean.

        (2 m m' + c1) (2 s'' + c2) / ((m^2 + m'^2 + c1) (s^2 + s'^2 + c2))

    with means m, variances s^2 and the covariance s'' of both sides in a Gaussian window of 11x11 pixels, at all places
    where it lies within the image; channels are compared one by one.

    Args:
        real: Images (N, H, W, C), uint8 or uint16; 11 pixels or more a side within the border.
        fake: What should be equal to them.
        channels: What is compared.
        border: Rows and columns left out at every edge.

    Returns:
        (N,), from -1 to 1, which is reached where both are equal.

    Raises:
        MeasureError: As for `psnr`, or the images are smaller than the window.

    Source: Wang, Bovik, Sheikh, Simoncelli 2004, "Image quality assessment: from error visibility to structural
    similarity", Eqs. 13 to 17; without the reduction of large images that the authors advise beside it.
    """
    along = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-np.square(along) / (2 * SIGMA**2))
    weights /= weights.sum()

    def mean(x: np.ndarray) -> np.ndarray:
        for axis in (1, 2):
            x = np.lib.stride_tricks.sliding_window_view(x, WINDOW, axis=axis) @ weights
        return x

    def of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        m, n = mean(x), mean(y)
        variances = mean(np.square(x) + np.square(y)) - np.square(m) - np.square(n)
        covariance = mean(x * y) - m * n
        likeness = (2 * m * n + K1**2) * (2 * covariance + K2**2)
        return (likeness / ((np.square(m) + np.square(n) + K1**2) * (variances + K2**2))).mean((1, 2, 3))

    return compared(of, real, fake, channels=channels, border=border, least=WINDOW)


def compared(
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray],
    real: np.ndarray,
    fake: np.ndarray,
    *,
    channels: Channels,
    border: int,
    least: int,
) -> np.ndarray:
    """A measure of pairs in float64, a part of them at a time; images of `least` pixels a side are needed."""
    if real.shape != fake.shape or real.dtype != fake.dtype:
        raise MeasureError(
            f"images of the shape {real.shape} and {real.dtype} against {fake.shape} and {fake.dtype}: pairs have one"
        )
    if real.ndim != 4 or real.size == 0 or real.dtype not in (np.uint8, np.uint16):
        raise MeasureError(
            f"images of the shape {real.shape} and {real.dtype}; needed is (N, H, W, C), uint8 or uint16"
        )
    if channels != "all" and real.shape[3] not in (1, 3, 4):
        raise MeasureError(f"channels {channels} of images with {real.shape[3]} channels: take all")
    sides = [side - 2 * border for side in real.shape[1:3]]
    if min(sides) < least:
        raise MeasureError(
            f"images of {real.shape[1]}x{real.shape[2]} pixels are {sides[0]}x{sides[1]} within a border of {border}; "
            f"this measure needs {least} a side"
        )
    pairs = zip(*(parts(x, channels=channels, border=border) for x in (real, fake)), strict=True)
    return np.concatenate([measure(x, y) for x, y in pairs])


def parts(images: np.ndarray, *, channels: Channels, border: int) -> Iterator[np.ndarray]:
    """Some images at a time as shares of white, float64 (n, H', W', C'), without their border."""
    white = np.iinfo(images.dtype).max
    step = max(1, AT_ONCE // images[0].size)
    for start in range(0, len(images), step):
        x = images[start : start + step, border : images.shape[1] - border, border : images.shape[2] - border] / white
        yield chosen(x, channels)


def chosen(x: np.ndarray, channels: Channels) -> np.ndarray:
    """The channels that are compared; gray images count as colors that are all alike."""
    match channels:
        case "all":
            return x
        case "gray":
            return x[..., :3] @ np.array(GRAY)[:, None] if x.shape[3] > 1 else x
        case "y":
            return BLACK + (x[..., :3] @ np.array(LUMA)[:, None] if x.shape[3] > 1 else x * sum(LUMA))
