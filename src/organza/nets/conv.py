"""Strided convolution networks after DCGAN, for images of any size, depth and shape, with labels or without.

The smallest map is the image halved until its shorter side is at most `BASE`; a side that does not divide is rounded
up and the surplus is cut. Source: Radford, Metz, Chintala 2016 (arXiv:1511.06434), section 3; labels in the critic by
projection: Miyato and Koyama 2018 (arXiv:1802.05637).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from organza.data.spec import ImageSpec
from organza.nets.layers import Float32, Norm, normed
from organza.nets.mlp import Reshape
from organza.nets.small_conv import Crop

BASE = 7
"""The shorter side of the smallest map is at most this: 4 for 32 and 64 pixels, 7 for 28."""


def halvings(data: ImageSpec) -> int:
    """How often the image is halved: until its shorter side is at most `BASE`, and at least once."""
    count, side = 0, min(data.height, data.width)
    while side > BASE:
        side, count = -(-side // 2), count + 1
    return max(count, 1)


def base_size(data: ImageSpec) -> tuple[int, int]:
    """Height and width of the smallest map."""
    scale = 2 ** halvings(data)
    return -(-data.height // scale), -(-data.width // scale)


class ConvGenerator(nn.Module):
    """Latents (N, latent), and labels (N,) if there are classes, to images (N, C, H, W) in [-1, 1].

    A dense layer to the smallest map, then 4x4 transposed convolutions of stride 2. Labels enter as an embedding beside
    the latent.
    """

    def __init__(
        self, data: ImageSpec, *, latent: int, width: int, num_classes: int, norm: Norm, embedding: int
    ) -> None:
        super().__init__()
        ups = halvings(data)
        channels = [min(width * 2 ** (ups - 1 - level), 8 * width) for level in range(ups)]
        rows, columns = base_size(data)
        self.embed = nn.Embedding(num_classes, embedding) if num_classes else None
        first = nn.Linear(latent + (embedding if num_classes else 0), channels[0] * rows * columns)
        first, *after_first = normed(first, channels[0], norm=norm, axes=2)
        layers: list[nn.Module] = [first, Reshape(channels[0], rows, columns), *after_first, nn.ReLU()]
        for before, after in pairwise(channels):
            up = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=norm != "batch")
            layers += [*normed(up, after, norm=norm, axes=2), nn.ReLU()]
        layers += [nn.ConvTranspose2d(channels[-1], data.channels, 4, stride=2, padding=1)]
        self.layers = nn.Sequential(*layers, Crop(data.height, data.width), nn.Tanh())

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Images from latents."""
        if self.embed is not None and label is not None:
            latent = torch.cat([latent, self.embed(label)], dim=1)
        return self.layers(latent)


def conv_trunk(data: ImageSpec, *, width: int, norm: Norm) -> tuple[nn.Sequential, int]:
    """4x4 convolutions of stride 2, images (N, C, H, W) to features (N, F), and how many those are, F."""
    layers: list[nn.Module] = []
    channels, rows, columns = data.channels, data.height, data.width
    for level in range(halvings(data)):
        after = min(width * 2**level, 8 * width)
        rows, columns = -(-rows // 2), -(-columns // 2)
        down = nn.Conv2d(channels, after, 4, stride=2, padding=1)
        pad = Pad(rows, columns)
        own: Norm = "none" if level == 0 and norm in ("batch", "instance", "layer") else norm
        layers += [pad, *normed(down, after, norm=own, axes=2), nn.LeakyReLU(0.2)]
        channels = after
    return nn.Sequential(*layers, nn.Flatten()), channels * rows * columns


class ConvCritic(nn.Module):
    """Images (N, C, H, W), and labels (N,) if there are classes, to scores (N,).

    4x4 convolutions of stride 2 and a linear head; a label adds the inner product of the features with its embedding.
    """

    def __init__(self, data: ImageSpec, *, width: int, num_classes: int, norm: Norm) -> None:
        super().__init__()
        self.features, features = conv_trunk(data, width=width, norm=norm)
        head = normed(nn.Linear(features, 1), 1, norm="spectral" if norm == "spectral" else "none", axes=0)[0]
        self.head = Float32(head)
        self.embed = nn.Embedding(num_classes, features) if num_classes else None
        if self.embed is not None:
            nn.init.normal_(self.embed.weight, std=features**-0.5)

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Scores of images."""
        features = self.features(image)
        score = self.head(features).squeeze(1)
        if self.embed is not None and label is not None:
            score = score + (features.float() * self.embed(label)).sum(1)
        return score


class Pad(nn.Module):
    """Repeats the last row and column of maps of odd size, so that halving rounds up."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = 2 * rows, 2 * columns

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, 2 rows, 2 columns)."""
        bottom, right = self.rows - x.shape[2], self.columns - x.shape[3]
        return nn.functional.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x
