"""Resampling against filters in float64, and what a linear map and its derivatives must satisfy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from organza.nets.resample import SMOOTH, Blur, Downsample, Upsample

LONG = tuple(np.sinc(0.4 * (np.arange(12) - 5.5)) * np.kaiser(12, 4.0))
taps = pytest.mark.parametrize(
    "taps", [SMOOTH, (1.0, 1.0), (1.0, 2.0, 1.0), (1.0, 2.0, 3.0, 5.0, 7.0), LONG, (*LONG, 0.3)], ids=len
)
sizes = pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 5), (13, 6)], ids=str)
factors = pytest.mark.parametrize("factor", [2, 3])


def images(size: tuple[int, int]) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


def upfirdn(h: np.ndarray, x: np.ndarray, *, up: int, axis: int) -> np.ndarray:
    """Zeros between the values, then the whole convolution."""
    spaced = np.zeros([up * (size - 1) + 1 if k == axis else size for k, size in enumerate(x.shape)])
    spaced[tuple(slice(None, None, up if k == axis else 1) for k in range(x.ndim))] = x
    return np.apply_along_axis(np.convolve, axis, spaced, h)


def reference(x: np.ndarray, taps: tuple[float, ...], *, up: int = 1, down: int = 1, before: int) -> np.ndarray:
    """The full filter along both axes, `before` pixels of zeros (negative: cut) at the start, every `down`-th kept."""
    h = np.asarray(taps, dtype=np.float64) / np.sum(taps) * up
    for axis in (2, 3):
        x = upfirdn(h, x, up=up, axis=axis)
        start = len(h) - 1 - before  # where a filter that sees `before` zeros gives its first value
        x = np.take(x, range(start, x.shape[axis], down), axis=axis)
    return x


def same(found: torch.Tensor, expected: np.ndarray) -> bool:
    height, width = found.shape[2:]
    return bool(np.allclose(found.numpy(), expected[:, :, :height, :width], atol=2e-6))


@taps
@sizes
@factors
def test_upsampling_is_that_of_the_definition(taps: tuple[float, ...], size: tuple[int, int], factor: int) -> None:
    if len(taps) < factor:
        return
    x, cut = images(size), (len(taps) - factor + 1) // 2
    y = Upsample(taps, factor=factor)(x)
    assert y.shape[2:] == (factor * size[0], factor * size[1])
    assert same(y, reference(x.double().numpy(), taps, up=factor, before=len(taps) - 1 - cut))


@taps
@sizes
@factors
def test_downsampling_is_that_of_the_definition_and_rounds_up(
    taps: tuple[float, ...], size: tuple[int, int], factor: int
) -> None:
    if len(taps) < factor:
        return
    x = images(size)
    y = Downsample(taps, factor=factor)(x)
    assert y.shape[2:] == (-(-size[0] // factor), -(-size[1] // factor))
    assert same(y, reference(x.double().numpy(), taps, down=factor, before=(len(taps) - factor + 1) // 2))


@taps
@sizes
@pytest.mark.parametrize(("before", "after"), [(1, 1), (2, 1), (12, 13), (15, 15)])
def test_blurring_is_that_of_the_definition(
    taps: tuple[float, ...], size: tuple[int, int], before: int, after: int
) -> None:
    x, lost = images(size), len(taps) - 1
    if min(size) + before + after <= lost:
        return
    y = Blur(taps, before=before, after=after, gain=2.0)(x)
    assert y.shape[2:] == (size[0] + before + after - lost, size[1] + before + after - lost)
    padded = np.pad(x.double().numpy(), ((0, 0), (0, 0), (0, after), (0, after)))
    assert same(y, 2 * reference(padded, taps, before=before))


@pytest.mark.parametrize("taps", [SMOOTH, LONG], ids=len)
def test_down_is_the_transpose_of_up_by_its_gain(taps: tuple[float, ...]) -> None:
    x, y = images((5, 7)), torch.randn(2, 3, 10, 14)
    up, down = Upsample(taps), Downsample(taps)
    assert float((up(x) * y).sum()) == pytest.approx(4 * float((x * down(y)).sum()), rel=1e-4)


def test_flat_images_stay_flat_away_from_the_edge() -> None:
    x = torch.ones(1, 1, 12, 12)
    for y in (Upsample()(x), Downsample()(x), Blur(before=2, after=1)(x)):
        assert torch.allclose(y[:, :, 2:-2, 2:-2], torch.ones(()))


def test_a_matrix_of_taps_is_applied_as_it_is() -> None:
    x, matrix = images((6, 6)), torch.outer(torch.tensor(SMOOTH), torch.tensor(SMOOTH))
    assert torch.allclose(Upsample(matrix)(x), Upsample(SMOOTH)(x), atol=1e-6)
    assert torch.allclose(Downsample(matrix)(x), Downsample(SMOOTH)(x), atol=1e-6)


@pytest.mark.parametrize("layer", [Upsample(), Downsample(), Blur(before=2, after=2), Upsample(LONG), Downsample(LONG)])
def test_gradients_can_be_differentiated_again(layer: torch.nn.Module) -> None:
    layer = layer.double()
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)
    assert torch.autograd.gradgradcheck(lambda x: layer(x).square(), x)


def test_filters_are_not_part_of_the_weights() -> None:
    assert not Upsample().state_dict()


def test_the_reference_is_scipys() -> None:
    signal = pytest.importorskip("scipy.signal")
    h, x = np.asarray(LONG), np.random.default_rng(0).standard_normal((2, 3, 7, 9))
    for axis in (2, 3):
        assert np.allclose(upfirdn(h, x, up=3, axis=axis), signal.upfirdn(h, x, up=3, axis=axis))
