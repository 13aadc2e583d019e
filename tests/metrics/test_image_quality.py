"""PSNR, SSIM and absolute errors against closed forms and against the definition, written out in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from organza.errors import MeasureError
from organza.metrics import image_quality
from organza.metrics.image_quality import absolute_error, masked_absolute_error, psnr, ssim

RNG = np.random.default_rng(0)
depths = pytest.mark.parametrize("dtype", [np.uint8, np.uint16], ids=str)


def pair(n: int = 3, height: int = 17, width: int = 20, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    real = RNG.integers(0, 256, (n, height, width, channels))
    fake = np.clip(real + RNG.integers(-40, 40, real.shape), 0, 255)
    return real.astype(np.uint8), fake.astype(np.uint8)


def written_out(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM of two matrices in [0, 255], window by window."""
    along = np.arange(11) - 5
    w = np.exp(-(along[:, None] ** 2 + along[None] ** 2) / (2 * 1.5**2))
    w /= w.sum()
    c1, c2, values = (0.01 * 255) ** 2, (0.03 * 255) ** 2, []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            a, b = x[i : i + 11, j : j + 11].astype(float), y[i : i + 11, j : j + 11].astype(float)
            m, n = (w * a).sum(), (w * b).sum()
            s, t, st = (w * (a - m) ** 2).sum(), (w * (b - n) ** 2).sum(), (w * (a - m) * (b - n)).sum()
            values.append((2 * m * n + c1) * (2 * st + c2) / ((m**2 + n**2 + c1) * (s + t + c2)))
    return float(np.mean(values))


def test_ssim_is_that_of_the_definition() -> None:
    real, fake = pair()
    expected = [np.mean([written_out(x[..., c], y[..., c]) for c in range(3)]) for x, y in zip(real, fake, strict=True)]
    np.testing.assert_allclose(ssim(real, fake), expected, rtol=1e-10)


def test_ssim_is_that_of_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    real, fake = pair(1, 40, 50)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    _, theirs = metrics.structural_similarity(real[0], fake[0], channel_axis=2, full=True, **options)
    np.testing.assert_allclose(ssim(real, fake)[0], theirs[5:-5, 5:-5].mean(), rtol=1e-7)


@depths
@pytest.mark.parametrize("measure", [psnr, ssim, absolute_error])
def test_equal_images_have_the_best_value(measure: Callable[..., np.ndarray], dtype: type) -> None:
    real = pair()[0].astype(dtype) * (257 if dtype is np.uint16 else 1)
    best = {psnr: math.inf, ssim: 1.0, absolute_error: 0.0}[measure]
    assert measure(real, real) == pytest.approx([best] * 3)


def test_values_do_not_depend_on_the_bits() -> None:
    real, fake = pair()
    wide = [x.astype(np.uint16) * 257 for x in (real, fake)]
    for measure in (psnr, ssim, absolute_error):
        np.testing.assert_allclose(measure(real, fake), measure(*wide), rtol=1e-9)


@pytest.mark.parametrize("step", [1, 10, 100])
def test_a_shift_of_all_levels_has_the_psnr_of_its_size(step: int) -> None:
    real = np.full((2, 8, 8, 1), 60, np.uint8)
    assert psnr(real, real + np.uint8(step)) == pytest.approx([20 * math.log10(255 / step)] * 2)
    assert absolute_error(real, real + np.uint8(step)) == pytest.approx([step / 255] * 2)


def test_a_shift_of_flat_images_changes_brightness_alone() -> None:
    x, y = 100 / 255, 140 / 255
    real, fake = np.full((1, 12, 12, 1), 100, np.uint8), np.full((1, 12, 12, 1), 140, np.uint8)
    assert ssim(real, fake)[0] == pytest.approx((2 * x * y + 1e-4) / (x**2 + y**2 + 1e-4))


def test_the_border_is_left_out() -> None:
    real, fake = pair(2, 30, 24)
    for measure in (psnr, ssim, absolute_error):
        np.testing.assert_allclose(measure(real, fake, border=4), measure(real[:, 4:-4, 4:-4], fake[:, 4:-4, 4:-4]))


def test_luma_runs_from_16_to_235_and_gray_from_0_to_255() -> None:
    black, white = np.zeros((1, 4, 4, 3), np.uint8), np.full((1, 4, 4, 3), 255, np.uint8)
    assert absolute_error(black, white, channels="y")[0] == pytest.approx(219 / 255)
    assert absolute_error(black, white, channels="gray")[0] == pytest.approx(1)
    green = black.copy()
    green[..., 1] = 255
    assert absolute_error(black, green, channels="gray")[0] == pytest.approx(0.587)
    assert psnr(black, green, channels="y")[0] == pytest.approx(-20 * math.log10(128.553 / 255))


@pytest.mark.parametrize("channels", ["gray", "y"])
def test_gray_images_are_colors_that_are_all_alike(channels: image_quality.Channels) -> None:
    real, fake = pair(channels=1)
    for measure in (psnr, ssim, absolute_error):
        rgb = [np.repeat(x, 3, axis=3) for x in (real, fake)]
        np.testing.assert_allclose(measure(real, fake, channels=channels), measure(*rgb, channels=channels), rtol=1e-9)


def test_errors_within_masks_are_means_over_their_pixels() -> None:
    real, fake = pair()
    mask = RNG.random((3, 17, 20)) < 0.3
    difference = np.abs(real.astype(float) - fake) / 255
    expected = [d[m].mean() for d, m in zip(difference, mask, strict=True)]
    np.testing.assert_allclose(masked_absolute_error(real, fake, mask), expected)
    whole = masked_absolute_error(real, fake, np.ones_like(mask), channels="y")
    np.testing.assert_allclose(whole, absolute_error(real, fake, channels="y"))


def test_parts_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = pair(7)
    whole = ssim(real, fake)
    monkeypatch.setattr(image_quality, "AT_ONCE", 2 * real[0].size)
    np.testing.assert_allclose(ssim(real, fake), whole)


def test_what_cannot_be_compared_is_refused() -> None:
    real, fake = pair(2, 16, 16)
    with pytest.raises(MeasureError, match="pairs have one"):
        psnr(real, fake[:1])
    with pytest.raises(MeasureError, match="float64; needed is"):
        psnr(real / 255, fake / 255)
    with pytest.raises(MeasureError, match="this measure needs 11 a side"):
        ssim(real, fake, border=3)
    with pytest.raises(MeasureError, match="1 of 2 masks are empty"):
        masked_absolute_error(real, fake, np.arange(2)[:, None, None] * np.ones((2, 16, 16)))
    with pytest.raises(MeasureError, match="2 channels: take all"):
        psnr(real[..., :2], fake[..., :2], channels="y")
