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

from torch import Tensor, nn
from torch.nn.functional import pad

from organza.nets.layers import Float32, normed
from organza.nets.resample import SMOOTH, Downsample, Upsample
from organza.nets.residual import MapNorm, ladder

SHORT = (1.0, 2.0, 1.0)
"""Taps of the filter before a map is halved."""


def reflected(
    before: int, after: int, kernel: int, *, norm: MapNorm, stride: int = 1, is_active: bool = True
) -> list[nn.Module]:
    """Reflection padding, a convolution that keeps the size (or halves it), a norm, and a ReLU unless not active."""
    conv = nn.Conv2d(before, after, kernel, stride=stride, bias=norm == "none")
    layers = [nn.ReflectionPad2d(kernel // 2), *normed(conv, after, norm=norm, axes=2)]
    return [*layers, nn.ReLU()] if is_active else layers


@final
class Edged(nn.Module):
    """A resampling layer that finds the pixels of the edge repeated beyond it, where alone it would find zeros."""

    def __init__(self, layer: Downsample | Upsample) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """As the layer does: two pixels more on each side, and what comes of them cut."""
        y = self.layer(pad(x, (2, 2, 2, 2), mode="replicate"))
        cut = 1 if isinstance(self.layer, Downsample) else 4
        return y[..., cut:-cut, cut:-cut]


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
    ) -> None:
        super().__init__()
        self.scale = 2**downs
        channels = ladder(width, downs + 1, widest=2**downs)
        stages = [nn.Sequential(*reflected(inputs, width, 7, norm=norm))]
        for before, after in pairwise(channels):
            stride = 1 if is_antialiased else 2
            down = reflected(before, after, 3, norm=norm, stride=stride)
            stages.append(nn.Sequential(*down, *([Edged(Downsample(SHORT))] if is_antialiased else [])))
        self.stages = nn.ModuleList([*stages, *(ReflectedBlock(channels[-1], norm=norm) for _ in range(blocks))])
        self.channels = [inputs, *channels, *[channels[-1]] * blocks]
        ups: list[nn.Module] = []
        for before, after in pairwise(channels[::-1]):
            if is_antialiased:
                ups += [Edged(Upsample(SMOOTH)), *reflected(before, after, 3, norm=norm)]
            else:
                up = nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1, bias=norm == "none")
                ups += [*normed(up, after, norm=norm, axes=2), nn.ReLU()]
        self.ups = nn.Sequential(*ups)
        self.last = nn.Sequential(nn.ReflectionPad2d(3), Float32(nn.Conv2d(width, outputs, 7)), nn.Tanh())

    def forward(self, image: Tensor) -> Tensor:
        """Images from images."""
        x = image
        for stage in self.stages:
            x = stage(x)
        return self.last(self.ups(x)[..., : image.shape[2], : image.shape[3]])

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
