"""The U-Net of pix2pix: an encoder, a decoder, and between them a connection at every size.

Source: Isola, Zhu, Zhou, Efros 2017 (arXiv:1611.07004), section 3.2.1 and appendix 6.1.1; the shape after Ronneberger,
Fischer, Brox 2015 (arXiv:1505.04597). Differs: sides that do not divide are rounded up at each halving, by repeating
the last row or column, and cut again on the way back; so every size is taken, another one at inference too.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu

from organza.data.spec import ImageSpec
from organza.errors import UsageError
from organza.nets.layers import Float32, normed
from organza.nets.noise import SeededDropout
from organza.nets.residual import MapNorm, UpConv, evened, halvings, ladder

Doubler = Literal["transposed", "repeated"]
"""How maps are doubled: a 4x4 transposed convolution, or each pixel repeated and a 3x3 one, which leaves no grid."""


def doubler(kind: Doubler, before: int, after: int, *, bias: bool = True) -> nn.Module:
    """The layer (N, before, H, W) to (N, after, 2 H, 2 W) by its name."""
    if kind == "repeated":
        return UpConv(before, after)
    return nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=bias)


@final
class UNet(nn.Module):
    """Images (N, C, H, W) to images (N, C', H, W) in [-1, 1].

    Noise enters as dropout alone, which stays on for sampling; its masks are functions of a seed per sample.

    Args:
        source: The images that come in; its size sets the depth.
        target: The images that go out; its channels count.
        width: Channels after the first halving, doubled at each further one.
        widest: Up to so many times `width`.
        depth: Halvings; 0: until the shorter side is 1.
        norm: Norm of the hidden layers; the first and the innermost map have none.
        dropout: Share that is dropped; 0: no dropout.
        dropout_blocks: Doublings with dropout, from the smallest map on; the last one never has any.
        up: How maps are doubled.

    Raises:
        UsageError: `depth` asks for more halvings than there are.
    """

    def __init__(
        self,
        source: ImageSpec,
        target: ImageSpec,
        *,
        width: int = 32,
        widest: int = 4,
        depth: int = 0,
        norm: MapNorm = "batch",
        dropout: float = 0.5,
        dropout_blocks: int = 3,
        up: Doubler = "transposed",
    ) -> None:
        super().__init__()
        most = halvings(source, 1)
        if depth > most:
            raise UsageError(f"depth {depth} on {source.height}x{source.width} pixels: they can be halved {most} times")
        channels = ladder(width, depth or most, widest=widest)
        self.downs, self.ups, self.dropouts = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level, (before, after) in enumerate(pairwise([source.channels, *channels])):
            own: MapNorm = norm if 0 < level < len(channels) - 1 else "none"
            conv = nn.Conv2d(before, after, 4, stride=2, padding=1, bias=own == "none")
            self.downs.append(nn.Sequential(*normed(conv, after, norm=own, axes=2)))
        before = channels[-1]
        for index, after in enumerate(channels[-2::-1]):
            conv = doubler(up, before, after, bias=norm == "none")
            self.ups.append(nn.Sequential(*normed(conv, after, norm=norm, axes=2)))
            self.dropouts.append(SeededDropout(dropout if index < dropout_blocks else 0.0, stream=index))
            before = 2 * after
        self.last = Float32(doubler(up, before, target.channels))

    def forward(self, source: Tensor, seeds: Tensor | None = None) -> Tensor:
        """Images from images.

        Args:
            source: (N, C, H, W).
            seeds: (N,) int64: dropout of its own for every image; None: no dropout.
        """
        maps = [source]
        for down in self.downs:
            maps.append(leaky_relu(down(evened(maps[-1])), 0.2))
        x = maps.pop()
        for up, dropout in zip(self.ups, self.dropouts, strict=True):
            skip = maps.pop()
            x = dropout(up(relu(x))[..., : skip.shape[2], : skip.shape[3]], seeds)
            x = torch.cat([x, skip], dim=1)
        return self.last(relu(x))[..., : source.shape[2], : source.shape[3]].tanh()
