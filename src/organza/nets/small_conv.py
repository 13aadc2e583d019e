"""The small convolutional pair of the introductions: two strided layers each, for images of any size and depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, fold

from organza.data.spec import ImageSpec
from organza.nets.layers import Norm, normed
from organza.nets.mlp import Reshape


class Crop(nn.Module):
    """Keeps the top left part of each image: a size that does not divide is made larger and cut."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H', W') to (N, C, H, W)."""
        return x[..., : self.height, : self.width]


class FewChannels(nn.Conv2d):
    """A convolution of stride 1 to a few channels, with "same" padding.

    On a CPU it is computed as a 1x1 convolution to all taps at once and a fold: the same sums, six times as fast for
    128 to 1 channels, since the usual kernels are made for many output channels.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out, H, W)."""
        if input.device.type != "cpu" or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
            return super().forward(input)
        height, width = self.weight.shape[2:]
        taps = self.weight.flip(2, 3).permute(0, 2, 3, 1).reshape(-1, self.in_channels, 1, 1)
        columns = conv2d(input, taps).flatten(2)
        y = fold(columns, input.shape[2:], (height, width), padding=(height // 2, width // 2))
        return y if self.bias is None else y + self.bias[:, None, None]


def small_generator(
    data: ImageSpec, latent: int, widths: Sequence[int], activation: Callable[[], nn.Module], *, norm: Norm = "none"
) -> nn.Sequential:
    """A dense layer to a small map, one 5x5 transposed convolution of stride 2 per width, a 7x7 convolution.

    Maps (N, latent) to (N, C, H, W), unbounded.
    """
    scale = 2 ** len(widths)
    rows, columns = -(-data.height // scale), -(-data.width // scale)
    channels = widths[0]
    layers: list[nn.Module] = [
        nn.Linear(latent, channels * rows * columns),
        activation(),
        Reshape(channels, rows, columns),
    ]
    for width in widths:
        up = nn.ConvTranspose2d(channels, width, 5, stride=2, padding=2, output_padding=1)
        layers += [*normed(up, width, norm=norm, axes=2), activation()]
        channels = width
    layers += [FewChannels(channels, data.channels, 7, padding=3), Crop(data.height, data.width)]
    return nn.Sequential(*layers)


def small_critic(
    data: ImageSpec,
    widths: Sequence[int],
    activation: Callable[[], nn.Module],
    *,
    norm: Norm = "none",
    dropout: float = 0.0,
) -> nn.Sequential:
    """Convolutions of stride 2, the first 5x5, the others 3x3, each with dropout, and a dense layer.

    Maps (N, C, H, W) to (N, 1).
    """
    layers: list[nn.Module] = []
    channels, rows, columns, kernel = data.channels, data.height, data.width, 5
    for width in widths:
        down = nn.Conv2d(channels, width, kernel, stride=2, padding=kernel // 2)
        layers += [*normed(down, width, norm=norm, axes=2), activation(), nn.Dropout(dropout)]
        channels, rows, columns, kernel = width, -(-rows // 2), -(-columns // 2), 3
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * rows * columns, 1))
