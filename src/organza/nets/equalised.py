"""Parts that progressive growing and the style-based generators share: equalised rates, pixel norm, batch deviation.

Source: Karras, Aila, Laine, Lehtinen 2018 (arXiv:1710.10196), sections 3, 4.1 and 4.2.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

HE = math.sqrt(2)
"""The gain that keeps the variance through a rectifier (He et al. 2015)."""


@final
class EqualisedLinear(nn.Module):
    """A linear layer whose weights are drawn with one deviation for all layers and scaled in every forward pass.

        y = m gain / sqrt(inputs) W x + m b,      W ~ N(0, 1) / m at the start

    Adam moves every number by about its step size, so all layers learn at one relative speed. The multiplier m leaves
    the function as it is at the start and makes the layer learn m times as fast (StyleGAN's mapping: 0.01).

    Args:
        inputs: Numbers in.
        outputs: Numbers out.
        gain: HE before a rectifier, 1 for a linear output or where the activation has the gain.
        lr_multiplier: m.
        has_bias: Whether something is added.
        bias_init: What is added at the start.
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        gain: float = HE,
        lr_multiplier: float = 1.0,
        has_bias: bool = True,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.scale, self.lr_multiplier = lr_multiplier * gain / math.sqrt(inputs), lr_multiplier
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias_init / lr_multiplier)) if has_bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, ..., inputs) to (N, ..., outputs)."""
        return linear(x, self.weight * self.scale, scaled(self.bias, self.lr_multiplier))


@final
class EqualisedConv2d(nn.Module):
    """A convolution with an equalised rate, as `EqualisedLinear`; the fan-in is inputs times the area of the kernel.

    An odd kernel of stride 1 keeps the size unless `padding` says otherwise.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        kernel: Side of the kernel.
        stride: Pixels between its places.
        padding: Zeros on each side.
        gain: As in `EqualisedLinear`.
        lr_multiplier: As there.
        has_bias: As there.
        bias_init: As there.
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int | None = None,
        gain: float = HE,
        lr_multiplier: float = 1.0,
        has_bias: bool = True,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.stride, self.padding = stride, kernel // 2 if padding is None else padding
        self.scale, self.lr_multiplier = lr_multiplier * gain / math.sqrt(inputs * kernel**2), lr_multiplier
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias_init / lr_multiplier)) if has_bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H', W')."""
        bias = scaled(self.bias, self.lr_multiplier)
        return conv2d(x, self.weight * self.scale, bias, stride=self.stride, padding=self.padding)


def scaled(bias: Tensor | None, multiplier: float) -> Tensor | None:
    """The bias times its multiplier, without a copy where that is 1."""
    return bias if bias is None or multiplier == 1 else bias * multiplier


def precise(x: Tensor) -> Tensor:
    """In float32 where it has fewer digits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


@final
class PixelNorm(nn.Module):
    """x / rms(x) over the channels of each pixel, or the numbers of each vector: no escalation of magnitudes.

    Source: Karras et al. 2018, section 4.2 (epsilon 1e-8); StyleGAN normalises its latents so.
    """

    def __init__(self, epsilon: float = 1e-8) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to the same shape, with a mean square of 1 over C."""
        return x * (precise(x).square().mean(1, keepdim=True) + self.epsilon).rsqrt().to(x.dtype)


@final
class MinibatchStd(nn.Module):
    """Appends the deviation within groups of samples as constant maps, so that a critic sees a lack of variety.

    Per group: the standard deviation of each channel at each pixel, averaged over pixels and over `count` blocks of
    channels. Groups are neighbours in the batch. Where `group` does not divide the batch, the groups are its largest
    smaller divisor (1 in a batch of 5: the map then says nothing). Samples of a group depend on each other,
    so other micro-batches or numbers of ranks are other groups; keep those multiples of `group`.

    Source: Karras et al. 2018, section 3; groups and several maps as in StyleGAN2 (Karras et al. 2020).

    Args:
        group: Samples that are compared with each other, at most.
        count: Maps appended; must divide the channels.
    """

    def __init__(self, group: int = 4, count: int = 1) -> None:
        super().__init__()
        self.group, self.count = group, count

    def forward(self, x: Tensor, sets: int = 1) -> Tensor:
        """(N, C, H, W) to (N, C + count, H, W); `sets` equal parts of the batch (real, fake) are never compared."""
        n, c, height, width = x.shape
        group = largest_divisor(n // sets, self.group)
        y = precise(x).reshape(n // group, group, self.count, c // self.count, height, width)
        y = ((y - y.mean(1, keepdim=True)).square().mean(1) + 1e-8).sqrt().mean((2, 3, 4))  # (N / group, count)
        maps = y.to(x.dtype).repeat_interleave(group, 0)[:, :, None, None].expand(-1, -1, height, width)
        return torch.cat([x, maps], dim=1)


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor of `number` that is at most `most`."""
    return next(divisor for divisor in range(min(most, number), 0, -1) if number % divisor == 0)
