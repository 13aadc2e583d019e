"""Networks that enlarge images, and critics of large images, all for any size.

Sources: Ledig et al. 2017, SRGAN (arXiv:1609.04802), section 3.1; Lim et al. 2017, EDSR (arXiv:1707.02921), for blocks
without norms; Wang et al. 2018, ESRGAN (arXiv:1809.00219), section 3.1; Wang, Xie, Dong, Shan 2021, Real-ESRGAN
(arXiv:2107.10833), section 3.2; pixel shuffle: Shi et al. 2016 (arXiv:1609.05158). Differs: ESRGAN enlarges by pixel
shuffle too, and each of its blocks is the identity where its weights are 0 (in the authors' program 1.2 times that);
the VGG critic averages its last map over a few cells, and so takes any size.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate, leaky_relu

from organza.data.spec import ImageSpec
from organza.errors import UsageError
from organza.nets.layers import Float32, normed
from organza.nets.patch_critic import fitting
from organza.nets.residual import MapNorm, conv3, evened, ladder

Skip = Literal["none", "bilinear", "bicubic"]
"""What the network's output is added to: nothing, or the input enlarged by a fixed filter."""
FACTORS = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 6: (2, 3), 8: (2, 2, 2), 9: (3, 3), 16: (2, 2, 2, 2)}
"""Scales, and the pixel shuffles that they are made of."""


def enlarger(width: int, scale: int, activation: nn.Module) -> nn.Sequential:
    """Maps (N, width, H, W) to (N, width, scale H, scale W): for each factor a 3x3 convolution and a pixel shuffle.

    Raises:
        UsageError: The scale is none of `FACTORS`.
    """
    if scale not in FACTORS:
        raise UsageError(f"scale {scale} is none of {', '.join(str(one) for one in FACTORS)}")
    layers: list[nn.Module] = []
    for factor in FACTORS[scale]:
        layers += [conv3(width, width * factor**2), nn.PixelShuffle(factor), activation]
    return nn.Sequential(*layers)


@final
class SuperResolver(nn.Module):
    """Images (N, C, H, W) to images (N, C, scale H, scale W), not limited to a range: clamp them.

    Args:
        first: From images to maps.
        body: From maps to maps of the same shape, which are added to them.
        last: From these to images of the larger size.
        scale: How many times as large.
        skip: What the result is added to.
    """

    def __init__(self, first: nn.Module, body: nn.Module, last: nn.Module, *, scale: int, skip: Skip) -> None:
        super().__init__()
        self.first, self.body, self.last = first, body, last
        self.scale, self.skip = scale, skip

    @property
    def end(self) -> nn.Module:
        """The last convolution."""
        return list(self.last.children())[-1]

    def forward(self, image: Tensor) -> Tensor:
        """Large images from small ones."""
        x = self.first(image)
        y = self.last(x + self.body(x))
        if self.skip == "none":
            return y
        # The antialiased filters are those of Pillow and MATLAB (a = -1/2): what baselines are made with.
        size = [self.scale * side for side in image.shape[2:]]
        return y + interpolate(image.float(), size=size, mode=self.skip, antialias=True)


def srresnet(
    channels: int,
    *,
    scale: int = 4,
    width: int = 32,
    blocks: int = 6,
    norm: MapNorm = "none",
    kernel: int = 3,
    skip: Skip = "bicubic",
) -> SuperResolver:
    """SRResNet, the generator of SRGAN. The paper: width 64, 16 blocks, batch norm, 9x9 kernels at the ends, no skip.

    Args:
        channels: Of the images.
        scale: How many times as large; see `FACTORS`.
        width: Channels of all maps.
        blocks: Residual blocks.
        norm: Norm in the blocks; batch norm is known to leave artefacts.
        kernel: Of the first and the last convolution, odd.
        skip: What the result is added to.
    """
    first = nn.Sequential(nn.Conv2d(channels, width, kernel, padding=kernel // 2), nn.PReLU())
    after = normed(nn.Conv2d(width, width, 3, padding=1, bias=norm == "none"), width, norm=norm, axes=2)
    body = nn.Sequential(*(PlainBlock(width, norm=norm) for _ in range(blocks)), *after)
    end = Float32(nn.Conv2d(width, channels, kernel, padding=kernel // 2))
    last = nn.Sequential(enlarger(width, scale, nn.LeakyReLU(0.2)), end)
    return SuperResolver(first, body, last, scale=scale, skip=skip)


def rrdb(
    channels: int,
    *,
    scale: int = 4,
    width: int = 32,
    blocks: int = 3,
    growth: int = 16,
    share: float = 0.2,
    skip: Skip = "bicubic",
) -> SuperResolver:
    """The generator of ESRGAN: dense blocks in residual blocks. The paper: width 64, 23 blocks, growth 32, no skip.

    Args:
        channels: Of the images.
        scale: How many times as large; see `FACTORS`.
        width: Channels of all maps between blocks.
        blocks: Blocks of three dense blocks.
        growth: Channels that each layer of a dense block adds.
        share: Of what a block makes is added to what came in.
        skip: What the result is added to.
    """
    dense = [Scaled(nn.Sequential(*(DenseBlock(width, growth, share) for _ in range(3))), share) for _ in range(blocks)]
    body = nn.Sequential(*dense, conv3(width, width))
    slope = nn.LeakyReLU(0.2)
    last = nn.Sequential(enlarger(width, scale, slope), conv3(width, width), slope, Float32(conv3(width, channels)))
    return SuperResolver(conv3(channels, width), body, last, scale=scale, skip=skip)


@final
class PlainBlock(nn.Module):
    """x + norm(conv(prelu(norm(conv(x))))), 3x3."""

    def __init__(self, width: int, *, norm: MapNorm) -> None:
        super().__init__()
        first, second = (nn.Conv2d(width, width, 3, padding=1, bias=norm == "none") for _ in range(2))
        around = normed(first, width, norm=norm, axes=2), normed(second, width, norm=norm, axes=2)
        self.layers = nn.Sequential(*around[0], nn.PReLU(), *around[1])

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return x + self.layers(x)


@final
class Scaled(nn.Module):
    """x + share (layers(x) - x): of layers that are a residual block already, only the residual is scaled."""

    def __init__(self, layers: nn.Module, share: float) -> None:
        super().__init__()
        self.layers, self.share = layers, share

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return x.lerp(self.layers(x), self.share)


@final
class DenseBlock(nn.Module):
    """Five 3x3 convolutions, each of which sees all maps before it; a share of the last is added to the first."""

    def __init__(self, width: int, growth: int, share: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(conv3(width + index * growth, growth) for index in range(4))
        self.last, self.share = conv3(width + 4 * growth, width), share

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        maps = x
        for layer in self.layers:
            maps = torch.cat([maps, leaky_relu(layer(maps), 0.2)], dim=1)
        return x + self.share * self.last(maps)


@final
class VGGCritic(nn.Module):
    """Images (N, C, H, W) to scores (N,): pairs of convolutions, 3x3 and 4x4 of stride 2, and a dense head.

    With 5 stages, width 64 and 4 cells, on 128 pixels, it is the critic of SRGAN and ESRGAN.

    Args:
        data: The images that are judged; their size limits the stages.
        width: Channels of the first stage, doubled at each further one.
        widest: Up to so many times `width`.
        stages: Halvings, at most; there are none beyond a map of 2 pixels.
        norm: Norm of all convolutions but the first.
        cells: Rows and columns to which the last map is averaged.
        hidden: Units before the score.
    """

    def __init__(
        self,
        data: ImageSpec,
        *,
        width: int = 32,
        widest: int = 8,
        stages: int = 4,
        norm: MapNorm = "none",
        cells: int = 2,
        hidden: int = 100,
    ) -> None:
        super().__init__()
        channels = [data.channels, *ladder(width, max(1, fitting(data, stages)), widest=widest)]
        self.keeps, self.downs, self.cells = nn.ModuleList(), nn.ModuleList(), cells
        for level, (before, after) in enumerate(pairwise(channels)):
            own: MapNorm = norm if level else "none"
            keep = nn.Conv2d(before, after, 3, padding=1, bias=own == "none")
            down = nn.Conv2d(after, after, 4, stride=2, padding=1, bias=norm == "none")
            self.keeps.append(nn.Sequential(*normed(keep, after, norm=own, axes=2)))
            self.downs.append(nn.Sequential(*normed(down, after, norm=norm, axes=2)))
        dense = nn.Linear(channels[-1] * cells**2, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1)
        self.head = Float32(nn.Sequential(nn.Flatten(), *dense))

    def forward(self, image: Tensor) -> Tensor:
        """Scores of images."""
        x = image
        for keep, down in zip(self.keeps, self.downs, strict=True):
            x = leaky_relu(down(evened(leaky_relu(keep(x), 0.2))), 0.2)
        return self.head(adaptive_avg_pool2d(x, self.cells)).squeeze(1)


@final
class UNetCritic(nn.Module):
    """Images (N, C, H, W) to a score for every pixel, (N, H, W), that knows the image around it.

    Made for spectral norm: `spectrally_normed(critic, skip=[critic.first, critic.last])` is the paper's.

    Args:
        channels: Of the images.
        width: Channels of the largest map, doubled at each halving; 64 in the paper.
        depth: Halvings.
    """

    def __init__(self, channels: int, *, width: int = 32, depth: int = 3) -> None:
        super().__init__()
        sizes = ladder(width, depth + 1, widest=2**depth)
        self.first = conv3(channels, width)
        self.downs = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False) for before, after in pairwise(sizes)
        )
        self.ups = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1, bias=False) for before, after in pairwise(sizes[::-1])
        )
        self.refine = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.last = Float32(conv3(width, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Scores of pixels."""
        maps = [leaky_relu(self.first(image), 0.2)]
        for down in self.downs:
            maps.append(leaky_relu(down(evened(maps[-1])), 0.2))
        x = maps.pop()
        for up in self.ups:
            skip = maps.pop()
            x = interpolate(x, scale_factor=2.0, mode="bilinear")[..., : skip.shape[2], : skip.shape[3]]
            x = leaky_relu(up(x), 0.2) + skip
        for layer in self.refine:
            x = leaky_relu(layer(x), 0.2)
        return self.last(x).squeeze(1)
