"""Convolutions that a CPU computes in another, faster way: same parameters, same sums up to float32 rounding.

On other devices, under autocast and under `torch.compile` they are the plain layers. Twice differentiable.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, fold, pad


def is_plain(x: Tensor) -> bool:
    """Whether the plain layer is the better one here."""
    return x.device.type != "cpu" or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling()


class FewChannels(nn.Conv2d):
    """A convolution of stride 1 with an odd kernel and "same" padding, to a few channels.

    Computed as a 1x1 convolution to all taps at once and a fold: five times as fast for 128 to 1 channels, since the
    usual kernels are made for many output channels.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out, H, W)."""
        if is_plain(input):
            return super().forward(input)
        height, width = self.weight.shape[2:]
        taps = self.weight.flip(2, 3).permute(0, 2, 3, 1).reshape(-1, self.in_channels, 1, 1)
        columns = conv2d(input, taps).flatten(2)
        y = fold(columns, input.shape[2:], (height, width), padding=(height // 2, width // 2))
        return y if self.bias is None else y + self.bias[:, None, None]


class Doubling(nn.ConvTranspose2d):
    """A 5x5 transposed convolution of stride 2 that doubles height and width.

    Its four output phases are 3x3 convolutions of the input (the missing sixth row and column of taps are 0), each
    computed on m x m tiles with (m + 2)^2 multiplications instead of 9 m^2. Faster from 64 channels on.

    Source: Winograd 1980, minimal filtering; for convolutions Lavin and Gray 2016 (arXiv:1509.09308).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 5, stride=2, padding=2, output_padding=1)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(N, C, H, W) to (N, out, 2 H, 2 W)."""
        if is_plain(input) or output_size or min(self.in_channels, self.out_channels) < 64:
            return super().forward(input, output_size)
        height, width = input.shape[2:]
        tile = min((4, 5), key=lambda m: (m + 2) ** 2 * math.ceil(height / m) * math.ceil(width / m))
        y = doubled(input, self.weight, tile=tile)
        return y if self.bias is None else y + self.bias[:, None, None]


def doubled(x: Tensor, weight: Tensor, *, tile: int) -> Tensor:
    """conv_transpose2d(x, weight, stride=2, padding=2, output_padding=1) for a 5x5 weight, on tiles of `tile` pixels.

    Args:
        x: (N, C, H, W).
        weight: (C, out, 5, 5).
        tile: Side m of the output tiles of each phase; 4 and 5 are fast and exact to 5e-5 in float32.

    Returns:
        (N, out, 2 H, 2 W) in channels_last.
    """
    n, c, height, width = x.shape
    m, out, side = tile, weight.shape[1], tile + 2
    rows, columns = math.ceil(height / m), math.ceil(width / m)
    to_output, to_weight, to_input = minimal_filter(m, x.dtype)
    phases = pad(weight, (0, 1, 0, 1)).view(c, out, 3, 2, 3, 2).flip(2, 4)
    kernels = torch.einsum("as,bt,iosptq->abipqo", to_weight, to_weight, phases)
    image = pad(x.permute(0, 2, 3, 1), (0, 0, 1, columns * m - width + 1, 1, rows * m - height + 1))
    tiles = to_input @ Tiles.apply(image, m).view(side * side, -1)  # (side^2, N * rows * columns * C)
    product = tiles.view(side * side, -1, c) @ kernels.reshape(side * side, c, 4 * out)
    y = (to_output @ product.view(side * side, -1)).view(m, m, n, rows, columns, 2, 2, out)
    y = y.permute(2, 3, 0, 5, 4, 1, 6, 7).reshape(n, 2 * m * rows, 2 * m * columns, out)
    return y[:, : 2 * height, : 2 * width].permute(0, 3, 1, 2)


@functools.cache
def minimal_filter(m: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Toom-Cook matrices for m outputs of a 3-tap correlation of m + 2 inputs.

    Returns:
        A (for m x m tiles, m^2 by (m + 2)^2), G ((m + 2) by 3) and B (for tiles, (m + 2)^2 square) so that in one
        dimension correlate(d, g) = A ((G g) * (B d)).
    """
    points = [0, 1, -1, 0.5, -0.5, 2, -2][: m + 1]

    def powers(count: int) -> np.ndarray:
        return np.array([[point**j for j in range(count)] for point in points] + [[0] * (count - 1) + [1]], float)

    matrices = powers(m).T, powers(3), np.linalg.inv(powers(m + 2)).T
    with torch.inference_mode(False):  # what is cached must stay usable in training
        output, weight, input = (torch.tensor(matrix, dtype=dtype) for matrix in matrices)
        return torch.kron(output, output), weight, torch.kron(input, input)


class Tiles(torch.autograd.Function):
    """All overlapping tiles: (N, rows m + 2, columns m + 2, C) to (m + 2, m + 2, N, rows, columns, C)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, m: int) -> Tensor:
        """Cut."""
        ctx.m = m
        return x.unfold(1, m + 2, m).unfold(2, m + 2, m).permute(4, 5, 0, 1, 2, 3).contiguous()

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        """Add the overlaps up."""
        return Untiles.apply(grad[0], ctx.m), None


class Untiles(torch.autograd.Function):
    """The transpose of `Tiles`."""

    @staticmethod
    def forward(ctx: Any, tiles: Tensor, m: int) -> Tensor:
        """Add the overlaps up."""
        ctx.m = m
        side, _, n, rows, columns, c = tiles.shape
        x = tiles.new_zeros(n, rows * m + 2, columns * m + 2, c)
        for i in range(side):
            for j in range(side):
                x[:, i : i + (rows - 1) * m + 1 : m, j : j + (columns - 1) * m + 1 : m] += tiles[i, j]
        return x

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        """Cut."""
        return Tiles.apply(grad[0], ctx.m), None
