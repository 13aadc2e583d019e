"""Squares of pixels that a network handles as one place of its largest map: several times faster than single ones."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn
from torch.nn.functional import pad, pixel_unshuffle

from organza.data.spec import ImageSpec


def in_patches(data: ImageSpec, patch: int) -> ImageSpec:
    """The images with squares of pixels as channels, their sizes rounded up."""
    rows, columns = -(-data.height // patch), -(-data.width // patch)
    return ImageSpec(channels=data.channels * patch**2, height=rows, width=columns, classes=data.classes)


def reach(patch: int) -> int:
    """The kernel between places and pixels: 1 as in the papers, 3 where a place is a square that must fit the next."""
    return 1 if patch == 1 else 3


@final
class Patches(nn.Module):
    """Squares of pixels to channels; the last row and column are repeated where a size does not divide."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C side^2, ceil(H / side), ceil(W / side))."""
        if self.side == 1:
            return x
        bottom, right = (-size % self.side for size in x.shape[2:])
        x = pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x
        return pixel_unshuffle(x, self.side)
