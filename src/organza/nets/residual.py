"""Residual blocks and networks for images of any size, depth and shape, with labels or without.

`UpBlock` and `DownBlock` are the blocks of SNGAN and of what came after it (SAGAN, BigGAN). Norm layers are given as a
factory, from a number of channels to a module that is called with the maps and with what they are conditioned on;
spectral norm is put on afterwards, see `spectral.py`.

Source: Miyato, Kataoka, Koyama, Yoshida 2018 (arXiv:1802.05957), appendix B.4; labels: Miyato and Koyama 2018
(arXiv:1802.05637). Resizing is folded into the convolution beside it: the same sums at less than half the cost.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, interpolate, pad, relu

from organza.data.spec import ImageSpec
from organza.nets.attention import SelfAttention, halvings_until
from organza.nets.fast_conv import FewChannels
from organza.nets.layers import Float32
from organza.nets.mlp import Reshape
from organza.nets.patches import Patches, in_patches
from organza.nets.small_conv import Crop

BASE = 7
"""The shorter side of the generator's smallest map is at most this: 4 for 32 and 64 pixels, 7 for 28."""

MapNorm = Literal["none", "batch", "instance", "layer"]
"""Norms of maps: batch couples the samples of a batch, the others do not."""
NormFactory = Callable[[int], nn.Module]
"""From a number of channels to a module that is called as norm(maps, condition)."""


def halvings(data: ImageSpec, base: int = BASE) -> int:
    """How often the image is halved, rounding up, until its shorter side is at most `base`; at least once."""
    count, side = 0, min(data.height, data.width)
    while side > base:
        side, count = -(-side // 2), count + 1
    return max(count, 1)


def ladder(width: int, steps: int, *, widest: int) -> list[int]:
    """Channels from the largest map to the smallest: `width`, doubled at each step up to `widest` times `width`."""
    return [width * min(2**step, widest) for step in range(steps)]


@final
class PlainNorm(nn.Module):
    """A norm with a gain and a bias per channel, that ignores the condition."""

    def __init__(self, kind: MapNorm, channels: int) -> None:
        super().__init__()
        self.norm = map_norm(kind, channels, affine=True)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return self.norm(x)


@final
class ConditionalNorm(nn.Module):
    """A norm whose gain and bias per channel depend on a condition: (1 + gain(condition)) norm(x) + bias(condition).

    Source: Dumoulin et al. 2017 (arXiv:1610.07629); in a generator Miyato and Koyama 2018 (arXiv:1802.05637).
    """

    def __init__(self, kind: MapNorm, channels: int, embed: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.norm = map_norm(kind, channels, affine=False)
        self.gain, self.bias = embed(channels), embed(channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(N, C, H, W) and what `embed` takes to the same shape."""
        gain, bias = 1 + self.gain(condition)[..., None, None], self.bias(condition)[..., None, None]
        return torch.addcmul(bias, gain, self.norm(x))


def map_norm(kind: MapNorm, channels: int, *, affine: bool) -> nn.Module:
    """The norm by its name; `affine`: with a gain and a bias per channel of its own."""
    match kind:
        case "none":
            return nn.Identity()
        case "batch":
            return nn.BatchNorm2d(channels, affine=affine)
        case "instance":
            return nn.InstanceNorm2d(channels, affine=affine)
        case "layer":
            return nn.GroupNorm(1, channels, affine=affine)


def plain_norms(kind: MapNorm) -> NormFactory:
    """Norms that ignore the condition."""
    return lambda channels: PlainNorm(kind, channels)


def conditional_norms(kind: MapNorm, embed: Callable[[int], nn.Module]) -> NormFactory:
    """Norms with gains and biases from a condition; `embed` makes the map from it to (N, channels)."""
    return lambda channels: ConditionalNorm(kind, channels, embed)


def class_norms(kind: MapNorm, num_classes: int) -> NormFactory:
    """Norms with a gain and a bias for each class, at first 1 and 0; without classes they are plain."""

    def embed(channels: int) -> nn.Module:
        table = nn.Embedding(num_classes, channels)
        nn.init.zeros_(table.weight)
        return table

    return conditional_norms(kind, embed) if num_classes else plain_norms(kind)


@final
class UpConv(nn.Conv2d):
    """Maps doubled by repeating each pixel, then a 3x3 convolution: as one transposed 4x4 convolution of stride 2."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, after, 2 H, 2 W)."""
        kernel = 4 * avg_pool2d(self.weight, 2, stride=1, padding=1)  # (after, C, 4, 4): the sum of four shifts
        return conv_transpose2d(input, kernel.flip(2, 3).transpose(0, 1), self.bias, stride=2, padding=1)


@final
class DownConv(nn.Conv2d):
    """A 3x3 convolution, then the mean of each 2x2 pixels: as one 4x4 convolution of stride 2. Even sizes only."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, 2 H, 2 W) to (N, after, H, W)."""
        kernel = avg_pool2d(self.weight, 2, stride=1, padding=1)  # (after, C, 4, 4): the mean of four shifts
        return conv2d(input, kernel, self.bias, stride=2, padding=1)


def conv3(before: int, after: int) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size."""
    return nn.Conv2d(before, after, 3, padding=1)


@final
class UpBlock(nn.Module):
    """Norm, ReLU, up, 3x3, norm, ReLU, 3x3; beside it up and 1x1. The block of generators.

    Args:
        before: Channels that come in.
        after: Channels that go out.
        norm: Makes the two norms; they are called with the condition.
        up: Whether height and width are doubled.
    """

    def __init__(self, before: int, after: int, *, norm: NormFactory, up: bool = True) -> None:
        super().__init__()
        self.up = up
        self.first_norm, self.second_norm = norm(before), norm(after)
        self.first = UpConv(before, after) if up else conv3(before, after)
        self.second = conv3(after, after)
        self.skip = nn.Conv2d(before, after, 1) if up or before != after else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, before, H, W) to (N, after, 2 H, 2 W), or of the same size."""
        y = self.first(relu(self.first_norm(x, condition)))
        y = self.second(relu(self.second_norm(y, condition)))
        skip = self.skip(x)  # 1x1 first, then larger: the same, for a quarter of the work
        return y + (interpolate(skip, scale_factor=2.0) if self.up else skip)


@final
class DownBlock(nn.Module):
    """ReLU, 3x3, ReLU, 3x3, mean of 2x2; beside it mean of 2x2 and 1x1. The block of critics. Odd sizes are rounded up.

    Args:
        before: Channels that come in.
        after: Channels that go out.
        down: Whether height and width are halved.
        first: Takes the image itself, so there is no ReLU before it.
        wide: The first convolution already has the new width, as in BigGAN; SNGAN changes it in the second.
    """

    def __init__(self, before: int, after: int, *, down: bool = True, first: bool = False, wide: bool = False) -> None:
        super().__init__()
        self.down, self.is_first = down, first
        hidden = after if first or wide else before
        self.first = conv3(before, hidden)
        self.second = DownConv(hidden, after) if down else conv3(hidden, after)
        self.skip = nn.Conv2d(before, after, 1) if down or before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, H / 2, W / 2), or of the same size."""
        if self.down:
            x = evened(x)
        y = self.second(relu(self.first(x if self.is_first else relu(x))))
        return y + self.skip(avg_pool2d(x, 2) if self.down else x)


def evened(x: Tensor) -> Tensor:
    """Maps of even height and width: an odd last row or column is repeated."""
    bottom, right = x.shape[2] % 2, x.shape[3] % 2
    return pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x


@final
class ResidualGenerator(nn.Module):
    """Latents (N, latent), and labels (N,) if there are classes, to images (N, C, H, W) in [-1, 1].

    A dense layer to the smallest map, whose shorter side is at most `base`; one `UpBlock` per doubling, norm, ReLU,
    3x3, tanh. Labels choose the gains and biases of the norms in the blocks. `patch` is the side of the squares of
    pixels that are the places of the last map.
    """

    def __init__(
        self,
        data: ImageSpec,
        *,
        latent: int,
        width: int,
        widest: int,
        norm: MapNorm,
        num_classes: int = 0,
        base: int = BASE,
        patch: int = 1,
    ) -> None:
        super().__init__()
        coarse = in_patches(data, patch)
        ups = halvings(coarse, base)
        channels = ladder(width, ups, widest=widest)[::-1]
        channels = [channels[0], *channels]
        rows, columns = -(-coarse.height // 2**ups), -(-coarse.width // 2**ups)
        self.first = nn.Sequential(nn.Linear(latent, channels[0] * rows * columns), Reshape(channels[0], rows, columns))
        norms = class_norms(norm, num_classes)
        self.blocks = nn.ModuleList(UpBlock(before, after, norm=norms) for before, after in pairwise(channels))
        norm_last, last = map_norm(norm, channels[-1], affine=True), FewChannels(channels[-1], coarse.channels, 3)
        finish = nn.PixelShuffle(patch), Crop(data.height, data.width), nn.Tanh()
        self.last = nn.Sequential(norm_last, nn.ReLU(), last, *finish)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Images from latents."""
        x = self.first(latent)
        for block in self.blocks:
            x = block(x, label)
        return self.last(x)


@final
class ResidualCritic(nn.Module):
    """Images (N, C, H, W), and labels (N,) if there are classes, to scores (N,).

    One `DownBlock` per halving until the shorter side is at most `base`, then `plain` blocks that keep the size, ReLU,
    the sum over all places, and a linear head; a label adds the inner product of these features with its embedding.
    `attention` puts self-attention on the largest maps below full size whose shorter side is at most that; 0: nowhere.
    `patch` is the side of the squares of pixels that are the places of the first map.
    """

    def __init__(
        self,
        data: ImageSpec,
        *,
        width: int,
        widest: int,
        base: int,
        plain: int,
        num_classes: int = 0,
        wide: bool = False,
        attention: int = 0,
        patch: int = 1,
    ) -> None:
        super().__init__()
        self.coarsen, data = Patches(patch), in_patches(data, patch)
        channels = [data.channels, *ladder(width, halvings(data, base), widest=widest)]
        blocks: list[nn.Module] = []
        for index, (before, after) in enumerate(pairwise(channels)):
            blocks.append(DownBlock(before, after, first=index == 0, wide=wide))
        blocks += [DownBlock(channels[-1], channels[-1], down=False) for _ in range(plain)]
        if attention:
            after = halvings_until(data, attention, most=halvings(data, base))
            blocks.insert(after, SelfAttention(channels[after]))
        self.blocks = nn.Sequential(*blocks)
        self.head = Float32(nn.Linear(channels[-1], 1))
        self.embed = nn.Embedding(num_classes, channels[-1]) if num_classes else None

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Scores of images."""
        features = relu(self.blocks(self.coarsen(image))).float().sum((2, 3))
        score = self.head(features).squeeze(1)
        if self.embed is not None and label is not None:
            score = score + (features * self.embed(label)).sum(1)
        return score
