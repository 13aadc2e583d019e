"""Networks that grow: they begin with the smallest map, and a layer that doubles the size is faded in at each level.

A level is a number: 2.0 is the third size (0 is the first), 2.3 the fourth at 30 % of its fade-in. Level 0 is the image
halved as in `nets.conv`, each further level twice the size, the last one the image itself; a side that does not divide
is rounded up, so no size is refused. Parts of levels to come are not called and get no gradient.

Source: Karras, Aila, Laine, Lehtinen 2018 (arXiv:1710.10196), section 2, figure 2, tables 2 and appendix A.1.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, interpolate, leaky_relu, pad

from organza.data.spec import ImageSpec
from organza.nets.conv import halvings
from organza.nets.equalised import HE, EqualisedConv2d, EqualisedLinear, MinibatchStd, PixelNorm
from organza.nets.layers import Float32
from organza.nets.mlp import Reshape

Size = tuple[int, int]


def sizes(data: ImageSpec) -> list[Size]:
    """Height and width at each level, smallest first; each is half the next, rounded up."""
    scales = [2**count for count in range(halvings(data), -1, -1)]
    return [(-(-data.height // scale), -(-data.width // scale)) for scale in scales]


def stage_and_share(level: float) -> tuple[int, float]:
    """The newest size that is shown, and how far it is faded in, in (0, 1]: 2.3 is size 3 at 0.3, 2.0 size 2 at 1."""
    stage = math.ceil(level)
    return stage, 1 - (stage - level)


def halve(image: Tensor) -> Tensor:
    """Means of 2x2 pixels; the last row and column of odd sizes are repeated first."""
    rows, columns = image.shape[2] % 2, image.shape[3] % 2
    return avg_pool2d(pad(image, (0, columns, 0, rows), mode="replicate") if rows or columns else image, 2)


def enlarge(image: Tensor, size: Size, *, factor: int = 2) -> Tensor:
    """Each pixel `factor` x `factor` times, cut to the size."""
    return interpolate(image, scale_factor=float(factor))[..., : size[0], : size[1]]


def shown(image: Tensor, level: float, *, levels: int) -> Tensor:
    """Real images as the critic sees them at a level.

    Args:
        image: (N, C, H, W), full size.
        level: From 0 to levels - 1.
        levels: How many sizes there are.

    Returns:
        Pooled to the newest size; during its fade-in mixed with the size before, as fakes are.
    """
    stage, share = stage_and_share(level)
    for _ in range(levels - 1 - stage):
        image = halve(image)
    if share == 1:
        return image
    return enlarge(halve(image), (image.shape[2], image.shape[3])).lerp(image, share)


@final
class Widening(nn.Module):
    """Each pixel four times and then a 3x3 convolution, computed as one 4x4 transposed convolution of stride 2."""

    def __init__(self, inputs: int, outputs: int, size: Size) -> None:
        super().__init__()
        self.convolution, self.size = EqualisedConv2d(inputs, outputs, 3), size

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, *size)."""
        kernel = overlapped(self.convolution.weight * self.convolution.scale).flip(2, 3).transpose(0, 1)
        x = conv_transpose2d(x, kernel, self.convolution.bias, stride=2, padding=1)
        return x[..., : self.size[0], : self.size[1]]


@final
class Narrowing(nn.Module):
    """A 3x3 convolution and then means of 2x2 pixels, computed as one 4x4 convolution of stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = EqualisedConv2d(inputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / 2, W / 2), rounded up."""
        rows, columns = x.shape[2] % 2, x.shape[3] % 2
        x = pad(x, (0, columns, 0, rows), mode="replicate") if rows or columns else x
        kernel = overlapped(self.convolution.weight * (self.convolution.scale / 4))
        return conv2d(x, kernel, self.convolution.bias, stride=2, padding=1)


def overlapped(kernel: Tensor) -> Tensor:
    """The sum of a 3x3 kernel at the four places of a 4x4 one."""
    return pad(kernel, (0, 1, 0, 1)) + pad(kernel, (1, 0, 0, 1)) + pad(kernel, (0, 1, 1, 0)) + pad(kernel, (1, 0, 1, 0))


@final
class GrowingGenerator(nn.Module):
    """Latents (N, latent), and labels (N,) if there are classes, to images (N, C, H, W).

    Args:
        data: Images of any size.
        latent: Length of the latent, which is normalised.
        width: Channels of the largest maps, doubled at each level below.
        widest: At most so many channels.
        depth: Convolutions per level, the dense layer at level 0 being one.
        num_classes: Labels enter as an embedding beside the latent; 0: there are none.
        embedding: Length of the embedding.
        last: After the layers that make images, such as nn.Tanh.
    """

    level: Tensor
    """What `forward` makes by itself: part of the state, so that averaged, saved and loaded networks know it too."""

    def __init__(
        self,
        data: ImageSpec,
        *,
        latent: int,
        width: int,
        widest: int,
        depth: int,
        num_classes: int,
        embedding: int,
        last: nn.Module,
    ) -> None:
        super().__init__()
        self.sizes, channels = sizes(data), widths(data, width, widest)
        self.embed = nn.Embedding(num_classes, embedding) if num_classes else None
        inputs, (rows, columns) = latent + (embedding if num_classes else 0), self.sizes[0]
        # The paper's gain, for the sake of the rate alone: the norm after the layer takes it away.
        dense = EqualisedLinear(inputs, channels[0] * rows * columns, gain=HE / 4)
        self.start = nn.Sequential(dense, Reshape(channels[0], rows, columns), nn.LeakyReLU(0.2), PixelNorm())
        self.blocks = nn.ModuleList()
        for level, (size, count) in enumerate(zip(self.sizes, channels, strict=True)):
            first = [Widening(channels[level - 1], count, size)] if level else []
            rest = [EqualisedConv2d(count, count, 3) for _ in range(depth - 1)]
            self.blocks.append(rectified([*first, *rest], is_normed=True))
        self.to_image = nn.ModuleList(
            nn.Sequential(EqualisedConv2d(count, data.channels, 1, gain=1.0), last) for count in channels
        )
        self.norm = PixelNorm()
        self.register_buffer("level", torch.zeros(()))

    def forward(self, latent: Tensor, label: Tensor | None = None, level: float | None = None) -> Tensor:
        """Images of the size of a level; where none is given, of its own level in full size, pixels repeated."""
        stage, share = stage_and_share(float(self.level) if level is None else level)
        x = self.norm(latent)
        if self.embed is not None and label is not None:
            x = torch.cat([x, self.embed(label)], dim=1)
        x = before = self.blocks[0](self.start(x))
        for index in range(1, stage + 1):
            before, x = x, self.blocks[index](x)
        image = self.to_image[stage](x)
        if share < 1:
            image = enlarge(self.to_image[stage - 1](before), self.sizes[stage]).lerp(image, share)
        if level is None:
            image = enlarge(image, self.sizes[-1], factor=2 ** (len(self.sizes) - 1 - stage))
        return image

    def grow(self, level: float) -> float:
        """Move its own level there unless it is beyond already, and return it.

        A level that was reached is kept: neither a longer budget nor training on from grown weights shrinks the images.
        """
        level = max(level, float(self.level))
        self.level.fill_(level)
        return level


@final
class GrowingCritic(nn.Module):
    """Images (N, C, h, w) of the size of a level, and labels (N,) if there are classes, to scores (N,).

    A label adds the inner product of the features with its embedding (Miyato and Koyama 2018, arXiv:1802.05637).

    Args:
        data: Images of any size.
        width: Channels of the largest maps, doubled at each level below.
        widest: At most so many channels.
        depth: Convolutions per level, the dense layer at level 0 being one.
        group: Samples whose deviation is shown to the last layers; 0: it is not.
        num_classes: How many classes there are.
    """

    def __init__(self, data: ImageSpec, *, width: int, widest: int, depth: int, group: int, num_classes: int) -> None:
        super().__init__()
        (rows, columns), channels = sizes(data)[0], widths(data, width, widest)
        self.from_image = nn.ModuleList(EqualisedConv2d(data.channels, count, 1) for count in channels)
        inputs = [channels[0] + (1 if group else 0), *[channels[0]] * (depth - 1)]  # of the layers of level 0
        self.blocks = nn.ModuleList(
            [rectified([EqualisedConv2d(count, channels[0], 3) for count in inputs[:-1]], is_normed=False)]
        )
        for below, count in pairwise(channels):
            same = [EqualisedConv2d(count, count, 3) for _ in range(depth - 1)]
            self.blocks.append(rectified([*same, Narrowing(count, below)], is_normed=False))
        self.deviation = MinibatchStd(group) if group else None
        self.dense = EqualisedLinear(inputs[-1] * rows * columns, channels[0])
        self.head = Float32(EqualisedLinear(channels[0], 1, gain=1.0))
        self.embed = nn.Embedding(num_classes, channels[0]) if num_classes else None

    def forward(self, image: Tensor, label: Tensor | None = None, *, level: float, sets: int = 1) -> Tensor:
        """Scores of images; `sets` equal parts of the batch, such as real and fake, are judged as if apart."""
        stage, share = stage_and_share(level)
        x = leaky_relu(self.from_image[stage](image), 0.2)
        for index in range(stage, 0, -1):
            x = self.blocks[index](x)
            if index == stage and share < 1:
                x = leaky_relu(self.from_image[stage - 1](halve(image)), 0.2).lerp(x, share)
        if self.deviation is not None:
            x = self.deviation(x, sets)
        x = leaky_relu(self.dense(self.blocks[0](x).flatten(1)), 0.2).float()
        score = self.head(x).squeeze(1)
        if self.embed is not None and label is not None:
            score = score + (x * self.embed(label)).sum(1) / math.sqrt(x.shape[1])
        return score


def widths(data: ImageSpec, width: int, widest: int) -> list[int]:
    """Channels at each level, smallest map first."""
    return [min(width * 2**count, widest) for count in range(halvings(data), -1, -1)]


def rectified(convolutions: list[nn.Module], *, is_normed: bool) -> nn.Sequential:
    """Each convolution with a leaky rectifier and, in the generator, the pixel norm after it."""
    after = [nn.LeakyReLU(0.2), PixelNorm()] if is_normed else [nn.LeakyReLU(0.2)]
    return nn.Sequential(*(layer for convolution in convolutions for layer in (convolution, *after)))
