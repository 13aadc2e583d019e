"""Degradation: bicubic as torch and Pillow do it, JPEG as Pillow does it, kernels by their moments, exact splitting."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from organza.data.degrade import (
    CHROMA,
    CUBIC,
    FIRST,
    LUMA,
    RADIUS,
    RGB,
    STEPS,
    YCC,
    Degrade,
    blurred,
    downsampled,
    jpeg,
    named,
    quantised,
    resampled,
    resampling,
    untouched,
)


def images(n: int, channels: int, height: int, width: int) -> Tensor:
    """Smooth, with some detail, in [-1, 1]."""
    torch.manual_seed(0)
    x = interpolate(torch.randn(n, channels, 7, 7), size=(height, width), mode="bicubic") / 2
    return (x + 0.05 * torch.randn_like(x)).clamp(-1, 1)


def numbers(n: int, **fixed: float) -> dict[str, Tensor]:
    u = named(STEPS, torch.rand(n, len(STEPS), 1, 1, 1, generator=torch.Generator().manual_seed(0)))
    return u | {name: torch.full((n, 1, 1, 1), value) for name, value in fixed.items()}


@pytest.mark.parametrize("before", [(28, 28), (37, 50), (64, 16)], ids=str)
@pytest.mark.parametrize("after", [(7, 7), (9, 16), (28, 28), (40, 60), (1, 1)], ids=str)
def test_bicubic_is_that_of_torch(before: tuple[int, int], after: tuple[int, int]) -> None:
    x = images(2, 3, *before)
    expected = interpolate(x, size=after, mode="bicubic", antialias=True).clamp(-1, 1)
    torch.testing.assert_close(downsampled(x, *after), expected, atol=2e-5, rtol=0)


def test_bicubic_is_that_of_pillow() -> None:
    x = images(1, 1, 60, 44)
    small = Image.fromarray(x[0, 0].numpy()).resize((11, 20), Image.Resampling.BICUBIC)
    torch.testing.assert_close(
        downsampled(x, 20, 11)[0, 0], torch.from_numpy(np.array(small)).clamp(-1, 1), atol=2e-5, rtol=0
    )


@pytest.mark.parametrize(("filter", "mode"), [(0, "area"), (1, "bilinear"), (CUBIC, "bicubic")])
def test_each_sample_has_a_size_and_beyond_it_its_edge_repeated(filter: int, mode: str) -> None:
    x, sizes = images(3, 2, 24, 30), torch.tensor([[8, 10], [12, 15], [24, 30]])
    before, filters = torch.tensor([[24, 30]]), torch.full((3, 1), filter)
    y = resampled(x, before, sizes, (26, 33), filters)
    for index, (height, width) in enumerate(sizes.tolist()):
        options = {} if mode == "area" else {"antialias": True}
        expected = interpolate(x[index : index + 1], size=(height, width), mode=mode, **options)
        expected = pad(expected, (0, 33 - width, 0, 26 - height), mode="replicate")
        torch.testing.assert_close(y[index : index + 1], expected, atol=2e-5, rtol=0)


def test_what_lies_beyond_the_size_of_a_sample_is_not_read() -> None:
    x, size, filter = images(1, 1, 20, 20), torch.tensor([[11, 13]]), torch.tensor([[CUBIC]])
    other = x.clone()
    other[:, :, 11:] = 9
    other[..., 13:] = 9
    after = torch.tensor([[5, 7]])
    assert torch.equal(resampled(x, size, after, (5, 7), filter), resampled(other, size, after, (5, 7), filter))


@pytest.mark.parametrize("filter", range(3))
def test_resizing_to_the_same_size_changes_nothing_and_rows_sum_to_1(filter: int) -> None:
    size, kind = torch.tensor([9]), torch.tensor([filter])
    torch.testing.assert_close(resampling(size, size, 9, 9, kind), torch.eye(9)[None])
    rows = resampling(torch.tensor([9, 5]), torch.tensor([4, 8]), 9, 8, kind).sum(2)
    torch.testing.assert_close(rows, torch.ones(2, 8))


def test_blur_by_fourier_transforms_is_the_convolution() -> None:
    x, kernel = images(2, 3, 19, 8), torch.rand(2, 1, 2 * RADIUS + 1, 2 * RADIUS + 1)
    padded = pad(x, (RADIUS,) * 4, mode="replicate")
    expected = [conv2d(padded[i, :, None], kernel[i : i + 1].flip(2, 3))[:, 0] for i in range(2)]
    torch.testing.assert_close(blurred(x, kernel), torch.stack(expected), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(blurred(x, untouched(x)), x, atol=1e-5, rtol=0)


def moments(kernel: Tensor) -> Tensor:
    """Second moments, (N, 2, 2), of kernels (N, 1, K, K)."""
    along = torch.arange(-RADIUS, RADIUS + 1.0)
    place = torch.stack(torch.meshgrid(along, along, indexing="ij"))
    return torch.einsum("nhw,ahw,bhw->nab", kernel[:, 0], place, place)


def test_gaussian_kernels_have_the_variances_that_are_asked_for() -> None:
    u = numbers(20, kernel=0.6, side=0.99, sinc=0.9)
    lengths = torch.linalg.eigvalsh(moments(Degrade().blur_kernels(u, FIRST)))
    sigmas = torch.cat([u["sigma"], u["sigma_across"]]).view(2, 20).T * 2.8 + 0.2
    fine = (sigmas > 0.7).all(1) & (sigmas < 2.8).all(1)  # neither finer than pixels nor cut off
    assert int(fine.sum()) >= 5
    torch.testing.assert_close(lengths[fine].sqrt(), sigmas[fine].sort(dim=1).values, atol=0.03, rtol=0.02)


@pytest.mark.parametrize("kind", [0.2, 0.6, 0.75, 0.83, 0.9])
@pytest.mark.parametrize("sinc", [0.0, 0.9])
def test_kernels_have_the_sum_1_and_some_are_round(kind: float, sinc: float) -> None:
    kernel = Degrade().blur_kernels(numbers(20, kernel=kind, sinc=sinc), FIRST)
    torch.testing.assert_close(kernel.sum((1, 2, 3)), torch.ones(20))
    torch.testing.assert_close(kernel, kernel.flip(2, 3), atol=1e-6, rtol=0)
    is_round = torch.allclose(kernel, kernel.transpose(2, 3), atol=1e-6)
    assert is_round == (sinc == 0 or kind in (0.2, 0.75))
    torch.testing.assert_close(
        Degrade(1e-4).blur_kernels(numbers(20, kernel=kind), FIRST)[:, 0], untouched(kernel).expand(20, -1, -1)
    )


def test_a_sinc_filter_lets_slow_waves_pass_and_stops_fast_ones() -> None:
    kernel = Degrade().sinc_kernels(numbers(1, side=0.99, cutoff=0.25))  # half of what a pixel can carry
    along = torch.arange(-RADIUS, RADIUS + 1.0)
    gains = [float((kernel[0, 0] * (along * share * math.pi).cos()).sum()) for share in (0.2, 0.8)]
    assert gains == pytest.approx([1, 0], abs=0.1)


def test_noise_has_the_deviation_that_is_asked_for() -> None:
    x, noise = torch.full((2, 3, 64, 64), 0.2), torch.randn(2, 3, 64, 64)
    u = numbers(2, level=0.5, gray=0.9, noise=0.1)
    deviation = (Degrade(0.5).noisy(x, u, FIRST, noise) - x).std()
    assert float(deviation) == pytest.approx(0.5 * 2 * 15.5 / 255, rel=0.02)
    u |= {"noise": torch.full((2, 1, 1, 1), 0.9), "gray": torch.zeros(2, 1, 1, 1)}
    worn = Degrade().noisy(x, u, FIRST, noise) - x
    assert float(worn.std()) == pytest.approx(2 * 1.525 * math.sqrt(0.6 / 256), rel=0.02)
    torch.testing.assert_close(worn[:, 0], worn[:, 2])


@pytest.mark.parametrize("quality", [20, 50, 75, 92])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_is_nearly_that_of_pillow(quality: int, mode: str) -> None:
    x = (127.5 * images(1, 1 if mode == "L" else 3, 48, 64) + 127.5).round()
    file, array = io.BytesIO(), x[0].permute(1, 2, 0).byte().numpy()
    Image.fromarray(array.squeeze(), mode=None).save(
        file, "jpeg", quality=quality, subsampling=2 if quality < 90 else 0
    )
    theirs = torch.from_numpy(np.array(Image.open(file), dtype=np.float32)).view(48, 64, -1).permute(2, 0, 1)[None]
    ours = 127.5 * jpeg(x / 127.5 - 1, torch.full((1, 1, 1, 1), float(quality))) + 127.5
    lost = float((theirs - x).abs().mean())
    assert float((ours - theirs).abs().mean()) < (0.5 if mode == "L" else 0.15 * lost + 0.5)


def test_quantisation_by_the_smallest_steps_keeps_the_image_and_by_large_ones_the_mean() -> None:
    x = 100 * images(1, 2, 16, 24)
    fine = quantised(x, LUMA, torch.full((1, 1, 1, 1), 100.0))
    assert float((fine - x).abs().max()) < 2.5
    coarse = quantised(torch.full((1, 1, 8, 8), 32.0), CHROMA, torch.full((1, 1, 1, 1), 50.0))
    torch.testing.assert_close(coarse, torch.full((1, 1, 8, 8), 15 * 17 / 8))  # 8 x 32 = 256 is 15.06 steps of 17
    torch.testing.assert_close(torch.tensor(RGB) @ torch.tensor(YCC), torch.eye(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(1, 28, 28), (3, 37, 50), (4, 8, 8), (5, 16, 9)], ids=str)
def test_images_of_any_size_are_worn_down(size: tuple[int, int, int]) -> None:
    x, degrade = images(3, *size), Degrade()
    for height, width in ((size[1] // 4, size[2] // 3), size[1:]):
        y = degrade(x, torch.arange(3), height, width)
        assert y.shape == (3, size[0], height, width)
        assert y.isfinite().all()
        assert float(y.abs().max()) <= 1


def test_at_strength_0_it_is_the_bicubic_filter_and_with_strength_the_damage_grows() -> None:
    x, seeds = images(24, 3, 48, 48), torch.arange(24)
    clean = downsampled(x, 12, 12)
    assert torch.equal(Degrade(0.0)(x, seeds, 12, 12), clean)
    damage = [float((Degrade(s)(x, seeds, 12, 12) - clean).abs().mean()) for s in (0.01, 0.1, 0.4, 1.0)]
    assert damage[0] < 0.02
    assert damage == sorted(damage)
    assert damage[3] > 0.05


def test_a_sample_is_worn_by_its_own_seed_only() -> None:
    x, degrade = images(7, 3, 32, 40), Degrade(0.7)
    seeds = torch.arange(7)
    whole = degrade(x, seeds, 16, 20)
    for rows in (slice(0, 3), slice(3, 7)):
        part = degrade(x[rows], seeds[rows], 16, 20)
        # A last digit may decide which way JPEG rounds a coefficient.
        assert float((part - whole[rows]).abs().mean()) < 1e-3
