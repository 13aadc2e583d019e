"""The residual generator that changes images into images of the same size: down, blocks, up.

Source: Johnson, Alahi, Fei-Fei 2016 (arXiv:1603.08155), section 3.1, as in CycleGAN: Zhu, Park, Isola, Efros 2017
(arXiv:1703.10593), appendix 7.2; smoothing filters where the size changes, and features for contrastive losses, as in
CUT: Park, Efros, Zhang, Zhu 2020 (arXiv:2007.15651); filters: Zhang 2019 (arXiv:1904.11486). Differs: instance norm has
a gain and a bias; sides that do not divide are rounded up and cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from organza.nets.layers import Float32, normed
from organza.nets.resample import Filter, correlate
from organza.nets.residual import MapNorm, ladder


def reflected(
    before: int, after: int, kernel: int, *, norm: MapNorm, stride: int = 1, is_active: bool = True
) -> list[nn.Module]:
    """Reflection padding, a convolution that keeps the size (or halves it), a norm, and a ReLU unless not active."""
    conv = nn.Conv2d(before, after, kernel, stride=stride, bias=norm == "none")
    layers = [nn.ReflectionPad2d(kernel // 2), *normed(conv, after, norm=norm, axes=2)]
    return [*layers, nn.ReLU()] if is_active else layers


@final
class Halved(Filter):
    """Sides halved, rounded up: filtered with the taps 1, 2, 1, the pixels of the edge repeated beyond it."""

    def __init__(self) -> None:
        super().__init__((1.0, 2.0, 1.0), gain=1.0, is_flipped=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, ceil(H / 2), ceil(W / 2))."""
        x = pad(x, (1, x.shape[3] % 2, 1, x.shape[2] % 2), mode="replicate")
        return correlate(x, self.passes(x.shape[1]), stride=2, before=0, after=(0, 0))


@final
class Doubled(nn.Module):
    """Sides doubled: linear interpolation, which filters with the taps 1, 3, 3, 1, the pixels of the edge repeated."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, 2 H, 2 W)."""
        return interpolate(x, scale_factor=2, mode="bilinear")


@final
class ResidualTranslator(nn.Module):
    """Images (N, inputs, H, W) of 5 or more pixels a side to images (N, outputs, H, W) in [-1, 1].

    A 7x7 convolution, halvings, residual blocks, doublings, a 7x7 convolution, tanh.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        width: Channels of the largest map, doubled at each halving; 64 in the paper.
        blocks: Residual blocks; 6 in the paper for 128 pixels, 9 for 256.
        downs: Halvings.
        norm: Norm of all layers but the last.
        is_antialiased: Whether sizes change by smoothing filters and not by the strides of convolutions.
        is_change: Whether the result is the images changed, for which they must be in [-1, 1]: the above is the share
            of the way that each pixel goes, up to 1 or down to -1. Maps are doubled by interpolation then, whatever
            `is_antialiased`, and those of the same size on the way down are added to them. Ours.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int = 32,
        blocks: int = 4,
        downs: int = 2,
        norm: MapNorm = "instance",
        is_antialiased: bool = False,
        is_change: bool = False,
    ) -> None:
        super().__init__()
        self.scale, self.is_change = 2**downs, is_change
        channels = ladder(width, downs + 1, widest=2**downs)
        stages = [nn.Sequential(*reflected(inputs, width, 7, norm=norm))]
        for before, after in pairwise(channels):
            stride = 1 if is_antialiased else 2
            down = reflected(before, after, 3, norm=norm, stride=stride)
            stages.append(nn.Sequential(*down, *([Halved()] if is_antialiased else [])))
        self.stages = nn.ModuleList([*stages, *(ReflectedBlock(channels[-1], norm=norm) for _ in range(blocks))])
        self.channels = [inputs, *channels, *[channels[-1]] * blocks]
        ups: list[nn.Module] = []
        for before, after in pairwise(channels[::-1]):
            if is_change:
                ups.append(nn.Sequential(*reflected(before, after, 3, norm=norm), Doubled()))
            elif is_antialiased:
                ups += [Doubled(), *reflected(before, after, 3, norm=norm)]
            else:
                up = nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1, bias=norm == "none")
                ups += [*normed(up, after, norm=norm, axes=2), nn.ReLU()]
        self.ups = nn.Sequential(*ups)
        self.last = nn.Sequential(nn.ReflectionPad2d(3), Float32(nn.Conv2d(width, outputs, 7)), nn.Tanh())

    def forward(self, image: Tensor) -> Tensor:
        """Images (N, inputs, H, W) to images (N, outputs, H, W) in [-1, 1]."""
        x, larger = image, []
        for stage in self.stages:
            x = stage(x)
            larger.append(x)
        height, width = image.shape[2:]
        if not self.is_change:
            return self.last(self.ups(x)[..., :height, :width])
        for up, beside in zip(self.ups, larger[len(self.ups) - 1 :: -1], strict=True):
            x = up(x)[..., : beside.shape[2], : beside.shape[3]] + beside
        share = self.last(x)
        return with_channels(image, share.shape[1]) * (1 - share.abs()) + share

    def begin_still(self) -> None:
        """Let it change nothing at first."""
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def features(self, image: Tensor, stages: Sequence[int]) -> list[Tensor]:
        """What the encoder makes of images, (N, channels[stage], h, w) for each stage; nothing beyond the last is run.

        Args:
            image: (N, inputs, H, W).
            stages: 0: the image itself; 1: after the 7x7 convolution; then one for each halving and each block.
        """
        maps = [image]
        for stage in self.stages[: max(stages)]:
            maps.append(stage(maps[-1]))
        return [maps[stage] for stage in stages]


def with_channels(image: Tensor, channels: int) -> Tensor:
    """Images (N, C, H, W) with 1 to 4 channels: gray is the mean of the colors, 2 and 4 have alpha, at first opaque."""
    colors, alpha = image.split((image.shape[1] - 1, 1), dim=1) if image.shape[1] in (2, 4) else (image, None)
    wanted = channels - (channels in (2, 4))
    if colors.shape[1] != wanted:
        colors = colors.mean(1, keepdim=True).expand(-1, wanted, -1, -1)
    if wanted == channels:
        return colors.float()
    return torch.cat([colors, torch.ones_like(colors[:, :1]) if alpha is None else alpha], dim=1).float()


@final
class ReflectedBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), 3x3 with reflection padding."""

    def __init__(self, channels: int, *, norm: MapNorm) -> None:
        super().__init__()
        first = reflected(channels, channels, 3, norm=norm)
        self.layers = nn.Sequential(*first, *reflected(channels, channels, 3, norm=norm, is_active=False))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return x + self.layers(x)
