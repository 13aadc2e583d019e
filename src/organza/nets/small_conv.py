"""The small convolutional pair of the introductions: two strided layers each, for images of any size and depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from organza.data.spec import ImageSpec
from organza.nets.fast_conv import Doubling, FewChannels
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
        up = Doubling(channels, width)
        layers += [*normed(up, width, norm=norm, axes=2), activation()]
        channels = width
    layers += [FewChannels(channels, data.channels, 7), Crop(data.height, data.width)]
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
