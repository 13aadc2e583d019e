"""Resampling of images by filters of any taps: pure PyTorch, twice differentiable, for odd sizes too.

Zeros are assumed beyond the edge. A filter is separable where its taps are a vector; a matrix is applied as it is. Taps
are normalised to the sum 1, so flat areas keep their brightness away from the edge.

Source: interpolation by zero insertion and filtering, for example Vaidyanathan 1993, chapter 4; for generative networks
Zhang 2019 (arXiv:1904.11486) and Karras et al. 2020, StyleGAN2 (arXiv:1912.04958), appendix B.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, pad

SMOOTH = (1.0, 3.0, 3.0, 1.0)
"""The taps of StyleGAN2: a box of two pixels, three times over."""
SHORT = 6
"""Up to so many taps one pass over two dimensions is faster than two over one."""

Taps = Sequence[float] | Tensor


def kernels(taps: Taps, *, gain: float = 1.0) -> list[Tensor]:
    """The convolution kernels, (1, 1, rows, columns) each, whose product is the filter; their sums multiply to `gain`.

    Args:
        taps: A vector for both dimensions, or a matrix.
        gain: What a flat area is multiplied by.
    """
    taps = torch.as_tensor(taps, dtype=torch.float64)
    taps = taps / taps.sum()
    if taps.ndim == 1 and len(taps) > SHORT:
        return [(taps * gain**0.5).float().view(1, 1, *shape) for shape in ((-1, 1), (1, -1))]
    matrix = torch.outer(taps, taps) if taps.ndim == 1 else taps
    return [(matrix * gain).float()[None, None]]


class Filter(nn.Module):
    """Keeps the kernels, which are constants: they follow the network to its device and are not saved.

    Args:
        taps: A vector for both dimensions, or a matrix.
        gain: What a flat area is multiplied by.
        is_flipped: For correlation with them to be convolution.
    """

    def __init__(self, taps: Taps, *, gain: float, is_flipped: bool) -> None:
        super().__init__()
        found = kernels(taps, gain=gain)
        self.count = len(found)
        self.taps = found[0].shape[2]
        for index, kernel in enumerate(found):
            self.register_buffer(f"kernel{index}", kernel.flip(2, 3) if is_flipped else kernel, persistent=False)

    def passes(self, channels: int) -> list[tuple[Tensor, bool, bool]]:
        """For each pass one kernel per channel, (channels, 1, rows, columns), and whether it is along rows, columns."""
        found = [self.get_buffer(f"kernel{index}") for index in range(self.count)]
        along = [(self.count == 1 or len(k[0, 0]) > 1, self.count == 1 or len(k[0, 0]) == 1) for k in found]
        return [(k.expand(channels, -1, -1, -1), *axes) for k, axes in zip(found, along, strict=True)]


@final
class Blur(Filter):
    """Convolves each channel with the taps after padding with zeros.

    Args:
        taps: See `kernels`.
        before: Zeros above and to the left; negative: pixels cut.
        after: Zeros below and to the right: one number, or two.
        gain: What a flat area is multiplied by.
    """

    def __init__(self, taps: Taps = SMOOTH, *, before: int, after: int | tuple[int, int], gain: float = 1.0) -> None:
        super().__init__(taps, gain=gain, is_flipped=True)
        self.before, self.after = before, (after, after) if isinstance(after, int) else after

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H + before + after - (taps - 1), W + before + after - (taps - 1))."""
        return correlate(x, self.passes(x.shape[1]), stride=1, before=self.before, after=self.after)


@final
class Upsample(Filter):
    """Height and width times `factor`: zeros between the pixels, then the taps, with a gain that keeps the brightness.

    Args:
        taps: See `kernels`; at least `factor` of them.
        factor: How many times as large.
    """

    def __init__(self, taps: Taps = SMOOTH, *, factor: int = 2) -> None:
        super().__init__(taps, gain=float(factor**2), is_flipped=False)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, factor H, factor W)."""
        surplus = self.taps - self.factor
        cut, odd = surplus // 2, surplus % 2  # an odd surplus is cut at the top and on the left
        for kernel, rows, columns in self.passes(x.shape[1]):
            stride, padding = (self.factor if rows else 1, self.factor if columns else 1), (cut * rows, cut * columns)
            x = conv_transpose2d(x, kernel, stride=stride, padding=padding, groups=x.shape[1])
        return x[:, :, odd:, odd:]


@final
class Downsample(Filter):
    """Height and width divided by `factor`, rounded up: the taps, then every `factor`-th pixel.

    For symmetric taps and sizes that divide it is the transpose of `Upsample`, up to the gain.
    """

    def __init__(self, taps: Taps = SMOOTH, *, factor: int = 2) -> None:
        super().__init__(taps, gain=1.0, is_flipped=True)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, ceil(H / factor), ceil(W / factor))."""
        before = (self.taps - self.factor + 1) // 2
        rest = [-size % self.factor + self.taps - self.factor - before for size in x.shape[2:]]
        return correlate(x, self.passes(x.shape[1]), stride=self.factor, before=before, after=(rest[0], rest[1]))


def correlate(
    x: Tensor, passes: list[tuple[Tensor, bool, bool]], *, stride: int, before: int, after: tuple[int, int]
) -> Tensor:
    """Each channel of (N, C, H, W) with its kernel, pass by pass, after zeros `before` and `after` (rows, columns)."""
    is_even = before >= 0 and after == (before, before)
    if not is_even:  # else the convolution pads in passing
        x = pad(x, (before, after[1], before, after[0]))
    padding = before if is_even else 0
    for kernel, rows, columns in passes:
        steps = (stride if rows else 1, stride if columns else 1)
        x = conv2d(x, kernel, stride=steps, padding=(padding * rows, padding * columns), groups=x.shape[1])
    return x
