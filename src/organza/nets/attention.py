"""Self-attention on maps: every place looks at all others, so that far parts of an image can agree.

Source: Zhang, Goodfellow, Metaxas, Odena 2019, SAGAN (arXiv:1805.08318), section 3; after the non-local block of Wang
et al. 2018 (arXiv:1711.07971). Smaller keys and values as in the authors' program and in BigGAN: an eighth of the
channels for queries and keys, half of them for values, keys and values at half the resolution.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from organza.data.spec import ImageSpec
from organza.errors import DataError


@final
class SelfAttention(nn.Module):
    """x + gamma o(softmax(theta(x)^T phi(x)) g(x)^T); gamma is learned and 0 at first, so the block begins as nothing.

    Args:
        channels: Of the maps that come in and go out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        keys, values = max(channels // 8, 1), max(channels // 2, 1)
        self.theta = nn.Conv2d(channels, keys, 1, bias=False)
        self.phi = nn.Conv2d(channels, keys, 1, bias=False)
        self.g = nn.Conv2d(channels, values, 1, bias=False)
        self.o = nn.Conv2d(values, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape; memory H W times a quarter of H W per sample."""
        query = self.theta(x).flatten(2)  # (N, C / 8, H W)
        key = max_pool2d(self.phi(x), 2, ceil_mode=True).flatten(2)  # (N, C / 8, H W / 4)
        value = max_pool2d(self.g(x), 2, ceil_mode=True).flatten(2)  # (N, C / 2, H W / 4)
        share = (query.transpose(1, 2) @ key).softmax(dim=2)  # (N, H W, H W / 4): of each place over all keys
        seen = (value @ share.transpose(1, 2).to(value.dtype)).view(len(x), -1, *x.shape[2:])
        return x + self.gamma * self.o(seen)


def halvings_until(data: ImageSpec, side: int, *, most: int) -> int:
    """After how many halvings the maps of an image are small enough for attention.

    Args:
        data: The images.
        side: What the shorter side of the maps may have at most.
        most: How often the networks halve.

    Returns:
        At least 1: attention on every pixel of the image itself is not offered.

    Raises:
        DataError: Even the smallest map is larger.
    """
    count, shorter = 1, -(-min(data.height, data.width) // 2)
    while shorter > side:
        shorter, count = -(-shorter // 2), count + 1
    if count > most:
        smallest = -(-min(data.height, data.width) // 2**most)
        raise DataError(
            f"attention {side} asks for maps whose shorter side is at most {side}, and the smallest ones here have "
            f"{smallest}: take --attention {smallest} or more, or 0 for none"
        )
    return count
