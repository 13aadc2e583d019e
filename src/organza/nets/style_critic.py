"""The residual critic of StyleGAN2: blocks that halve the image, minibatch deviation, a dense end.

Source: Karras, Laine, Aittala, Hellsten, Lehtinen, Aila 2020, StyleGAN2 (arXiv:1912.04958), section 4; labels by
projection, Miyato and Koyama 2018 (arXiv:1802.05637).
"""

from __future__ import annotations

import math
from typing import final

from torch import Tensor, nn

from organza.data.spec import ImageSpec
from organza.nets.conv import halvings
from organza.nets.equalised import EqualisedConv2d, EqualisedLinear, MinibatchStd, precise
from organza.nets.layers import Float32
from organza.nets.patches import Patches, in_patches, reach
from organza.nets.resample import SMOOTH, Blur, Downsample
from organza.nets.style import SLOPE


@final
class StyleCritic(nn.Module):
    """Images (N, C, H, W), and labels (N,) if there are classes, to scores (N,).

    Blocks of two convolutions, the second of stride 2 behind a smoothing filter, with residual connections; at the
    smallest map the batch's deviation, one more convolution and two dense layers.

    Args:
        data: What images to judge.
        width: Channels of the largest map, doubled at each halving of the size.
        widest: Largest number of channels.
        num_classes: Classes that it is told; a label adds the inner product of the features with its embedding.
        minibatch_std: Samples whose deviation is compared; 0: none.
        is_residual: Whether blocks have a skip connection.
        patch: Side of the squares of pixels that are its first map's places.
    """

    def __init__(
        self,
        data: ImageSpec,
        *,
        width: int = 32,
        widest: int = 128,
        num_classes: int = 0,
        minibatch_std: int = 4,
        is_residual: bool = True,
        patch: int = 1,
    ) -> None:
        super().__init__()
        coarse = in_patches(data, patch)
        downs, size = halvings(coarse), (coarse.height, coarse.width)
        channels = [min(width * 2**level, widest) for level in range(downs + 1)]
        self.coarsen = Patches(patch)
        blocks: list[nn.Module] = [EqualisedConv2d(coarse.channels, channels[0], reach(patch)), nn.LeakyReLU(SLOPE)]
        for level in range(downs):
            blocks.append(CriticBlock(channels[level], channels[level + 1], size, is_residual=is_residual))
            size = -(-size[0] // 2), -(-size[1] // 2)
        self.blocks = nn.Sequential(*blocks)
        last = channels[-1]
        self.deviation = MinibatchStd(minibatch_std) if minibatch_std else None
        self.features = nn.Sequential(
            EqualisedConv2d(last + bool(minibatch_std), last, 3),
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
            EqualisedLinear(last * size[0] * size[1], last),
            nn.LeakyReLU(SLOPE),
        )
        self.head = Float32(EqualisedLinear(last, 1, gain=1))
        self.embed = nn.Embedding(num_classes, last) if num_classes else None

    def forward(self, image: Tensor, label: Tensor | None = None, sets: int = 1) -> Tensor:
        """Scores of images; `sets` equal parts of the batch are never compared with each other."""
        x = self.blocks(self.coarsen(image))
        features = self.features(x if self.deviation is None else self.deviation(x, sets))
        score = self.head(features).squeeze(1)
        if self.embed is not None and label is not None:
            score = score + (precise(features) * self.embed(label)).sum(1) / math.sqrt(features.shape[1])
        return score


@final
class CriticBlock(nn.Module):
    """(N, inputs, H, W) to (N, outputs, ceil(H / 2), ceil(W / 2))."""

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int], *, is_residual: bool) -> None:
        super().__init__()
        after = (2 + size[0] % 2, 2 + size[1] % 2)
        self.layers = nn.Sequential(
            EqualisedConv2d(inputs, inputs, 3),
            nn.LeakyReLU(SLOPE),
            Blur(before=2, after=after),
            EqualisedConv2d(inputs, outputs, 3, stride=2, padding=0),
            nn.LeakyReLU(SLOPE),
        )
        skip = nn.Sequential(Downsample(SMOOTH), EqualisedConv2d(inputs, outputs, 1, gain=1, has_bias=False))
        self.skip = skip if is_residual else None

    def forward(self, x: Tensor) -> Tensor:
        """Half the size, rounded up."""
        y = self.layers(x)
        return y if self.skip is None else (y + self.skip(x)) * math.sqrt(0.5)
