"""Critics that judge patches: a map of scores, each of which sees a square of the image, and nothing of the rest.

The image may stand beside a source that it is to fit (concatenated channels). Features of all layers come with the
scores, for feature matching. Spectral norm is put on afterwards, see `spectral.py`.

Source: Isola, Zhu, Zhou, Efros 2017 (arXiv:1611.07004), section 3.2.2; several scales and feature matching: Wang, Liu,
Zhu, Tao, Kautz, Catanzaro 2018, pix2pixHD (arXiv:1711.11585), section 3.2. Differs: odd sides are rounded up, and the
last two layers keep the size (32x32 scores for 256 pixels, not 30x30), so that small images have scores too; instance
norm has a gain and a bias.
"""

from __future__ import annotations

from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, leaky_relu, pad

from organza.data.spec import ImageSpec
from organza.nets.layers import Float32, normed
from organza.nets.residual import MapNorm, evened, ladder

SMALLEST = 2
"""Maps are not halved below so many pixels of their shorter side: a norm of one pixel leaves nothing."""


def fitting(data: ImageSpec, halvings: int, *, smallest: int = SMALLEST) -> int:
    """How many of the halvings leave maps whose shorter side has `smallest` pixels or more."""
    side = min(data.height, data.width)
    sides = [-(-side // 2**count) for count in range(1, halvings + 1)]
    return sum(after >= smallest for after in sides)


@final
class PatchCritic(nn.Module):
    """Images (N, C, H, W), and sources (N, C', H, W) if there are any, to scores (N, h, w) and features.

    4x4 convolutions of stride 2, then two of stride 1; with `layers=0` three of 1x1, which judge single pixels.

    Args:
        data: The images that are judged; their size limits the layers.
        source_channels: Channels of what they are to fit; 0: nothing.
        layers: Halvings, at most; there are none beyond a map of 2 pixels. Of 256 pixels 1, 2, 3 see 16, 34, 70.
        width: Channels after the first layer, doubled at each further one.
        widest: Up to so many times `width`.
        norm: Norm of the layers between the first and the last.
    """

    def __init__(
        self,
        data: ImageSpec,
        *,
        source_channels: int = 0,
        layers: int = 2,
        width: int = 32,
        widest: int = 8,
        norm: MapNorm = "instance",
    ) -> None:
        super().__init__()
        self.halvings = fitting(data, layers)
        self.kernel = 4 if self.halvings else 1
        channels = [data.channels + source_channels, *ladder(width, self.halvings + 1, widest=widest)]
        if not self.halvings:
            channels.append(width * min(2, widest))
        self.layers = nn.ModuleList()
        for level, (before, after) in enumerate(pairwise(channels)):
            own: MapNorm = norm if level else "none"
            stride, padding = (2, 1) if level < self.halvings else (1, 0)
            conv = nn.Conv2d(before, after, self.kernel, stride=stride, padding=padding, bias=own == "none")
            self.layers.append(nn.Sequential(*normed(conv, after, norm=own, axes=2)))
        self.head = Float32(nn.Conv2d(channels[-1], 1, self.kernel))

    @property
    def receptive_field(self) -> int:
        """The side of the square of pixels that a score sees."""
        side = 2 * self.kernel - 1  # of the last two layers, in pixels of their maps
        for _ in range(self.halvings):
            side = 2 * side + 2
        return side if self.halvings else 1

    def forward(self, image: Tensor, source: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Scores (N, h, w) with h = H / 2^layers, rounded up; and what every layer before made of the image."""
        features = [image if source is None else torch.cat([image, source], dim=1)]
        for level, layer in enumerate(self.layers):
            x = evened(features[-1]) if level < self.halvings else self.around(features[-1], 1)
            features.append(leaky_relu(layer(x), 0.2))
        return self.head(self.around(features[-1], 2)).squeeze(1), features[1:]

    def around(self, x: Tensor, before: int) -> Tensor:
        """Three rows and columns of zeros, `before` of them at the top and on the left: what a 4x4 kernel takes."""
        return pad(x, (before, 3 - before) * 2) if self.kernel > 1 else x


@final
class MultiScaleCritic(nn.Module):
    """Patch critics for the image and for smaller copies of it, each with weights of its own.

    Args:
        data: The images that are judged.
        scales: Critics, at most: each sees half the size of the one before, and none less than 4 pixels.
        source_channels: As for `PatchCritic`, and so the others.
        layers: Of each.
        width: Of each.
        widest: Of each.
        norm: Of each.
    """

    def __init__(
        self,
        data: ImageSpec,
        *,
        scales: int = 2,
        source_channels: int = 0,
        layers: int = 2,
        width: int = 32,
        widest: int = 8,
        norm: MapNorm = "instance",
    ) -> None:
        super().__init__()
        self.critics = nn.ModuleList()
        for level in range(1 + fitting(data, scales - 1, smallest=2 * SMALLEST)):
            height, breadth = (-(-side // 2**level) for side in (data.height, data.width))
            smaller = ImageSpec(channels=data.channels, height=height, width=breadth)
            options = {"source_channels": source_channels, "layers": layers, "width": width, "widest": widest}
            self.critics.append(PatchCritic(smaller, norm=norm, **options))

    def forward(self, image: Tensor, source: Tensor | None = None) -> list[tuple[Tensor, list[Tensor]]]:
        """For each scale, from the largest on, what `PatchCritic` gives."""
        found: list[tuple[Tensor, list[Tensor]]] = []
        for level, critic in enumerate(self.critics):
            if level:
                image, source = halved(image), None if source is None else halved(source)
            found.append(critic(image, source))
        return found


def halved(x: Tensor) -> Tensor:
    """(N, C, H, W) at half its size, rounded up: means of 3x3 pixels, of fewer at the edge."""
    return avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)


def feature_distance(fake: list[Tensor], real: list[Tensor]) -> Tensor:
    """Feature matching: the sum over layers of the mean absolute difference of the features, a scalar.

    Source: Wang et al. 2018 (arXiv:1711.11585), Eq. 4.
    """
    return torch.stack([(a.float() - b.float()).abs().mean() for a, b in zip(fake, real, strict=True)]).sum()
