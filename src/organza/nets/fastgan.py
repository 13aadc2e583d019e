"""Networks for few images: a generator with gates from small maps to large ones, a critic that also reconstructs.

Images of any size, depth and shape, with labels or without. The smallest map of the generator has a shorter side of 4
to 7 pixels; sides that do not divide are rounded up and the surplus is cut.

Source: Liu, Zhu, Song, Elgammal 2021 (arXiv:2101.04775), sections 3.1 and 3.2. Doubling by repetition is folded into
the convolution after it (`residual.UpConv`). Spectral norm is put on afterwards, see `spectral.py`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from organza.data.spec import ImageSpec
from organza.nets.conv import Pad, base_size
from organza.nets.fast_conv import FewChannels
from organza.nets.layers import Float32
from organza.nets.mlp import Reshape
from organza.nets.residual import MapNorm, UpConv, conv3, evened, halvings, ladder, map_norm
from organza.nets.small_conv import Crop

SHARES = (16, 8, 4, 2, 2, 1, 1 / 2, 1 / 4, 1 / 8)
"""Channels of the generator's maps from the smallest on, in units of `width`; at 4 pixels 16, at 1024 an eighth."""
MOST_DOUBLINGS = 4
"""A decoder enlarges its map at most 16 times: images are reconstructed with at most about 128 pixels a side."""


@final
class SkipGate(nn.Module):
    """Skip-layer excitation: a small map decides how much of each channel of a large one goes on.

    The small map is averaged to 4x4, a 4x4 convolution makes one number per channel of it, and a sigmoid a gate.

    Args:
        small: Channels of the small map.
        large: Channels of the large one.
    """

    def __init__(self, small: int, large: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(4), nn.Conv2d(small, large, 4), nn.SiLU(), nn.Conv2d(large, large, 1), nn.Sigmoid()
        )

    def forward(self, small: Tensor, large: Tensor) -> Tensor:
        """(N, small, h, w) and (N, large, H, W) to (N, large, H, W)."""
        return large * self.layers(small)


@final
class Stage(nn.Module):
    """A convolution, noise, a norm, and a gated linear unit that halves the channels.

    Args:
        before: Channels that come in.
        after: Channels that go out.
        norm: Norm before the gate.
        up: Whether height and width are doubled first.
        has_noise: Whether a learned multiple of given noise is added to every channel; at first none.
    """

    def __init__(self, before: int, after: int, *, norm: MapNorm, up: bool, has_noise: bool = False) -> None:
        super().__init__()
        self.conv = UpConv(before, 2 * after) if up else conv3(before, 2 * after)
        self.strength = nn.Parameter(torch.zeros(())) if has_noise else None
        self.gate = nn.Sequential(map_norm(norm, 2 * after, affine=True), nn.GLU(dim=1))

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """(N, before, H, W), and noise for the pixels of the result or none, to (N, after, H, W) or twice as large."""
        x = self.conv(x)
        if self.strength is not None and noise is not None:
            x = x + self.strength * noise.view(len(x), 1, *x.shape[2:])
        return self.gate(x)


@final
class FewShotGenerator(nn.Module):
    """Latents (N, latent), and labels (N,) if there are classes, to images (N, C, H, W) in [-1, 1].

    The latent is scaled to a mean square of 1. Every doubling is a `Stage`; every second one, from the first on, has
    another stage of the same size after it, and noise in both. Labels enter as an embedding beside the latent.

    Args:
        data: The images.
        latent: Length of the latent vector.
        width: Unit of channels, see `SHARES`.
        skip: Doublings between a map and the one that it gates.
        norm: Norm of the hidden layers.
        has_noise: Whether there is noise at all.
        num_classes: Classes that it is told; 0: none.
    """

    def __init__(
        self,
        data: ImageSpec,
        *,
        latent: int,
        width: int,
        skip: int,
        norm: MapNorm = "batch",
        has_noise: bool = True,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        self.skip = skip
        rows, columns = base_size(data)
        channels = [max(1, round(width * share)) for share in SHARES[: halvings(data) + 1]]
        channels += [channels[-1]] * (halvings(data) + 1 - len(channels))
        self.embed = nn.Embedding(num_classes, latent) if num_classes else None
        first = nn.Linear(latent * (2 if num_classes else 1), 2 * channels[0] * rows * columns)
        self.first = nn.Sequential(
            first,
            Reshape(2 * channels[0], rows, columns),
            map_norm(norm, 2 * channels[0], affine=True),
            nn.GLU(dim=1),
        )
        self.ups, self.refines = nn.ModuleList(), nn.ModuleList()
        self.noise_sizes: list[int] = []
        for level, (before, after) in enumerate(pairwise(channels)):
            is_double = level % 2 == 0
            noisy = has_noise and is_double
            self.ups.append(Stage(before, after, norm=norm, up=True, has_noise=noisy))
            refine = Stage(after, after, norm=norm, up=False, has_noise=noisy) if is_double else None
            self.refines.append(refine or nn.Identity())
            self.noise_sizes += [rows * columns * 4 ** (level + 1) * noisy] * 2
        self.gates = nn.ModuleList(
            SkipGate(small, large) for small, large in zip(channels[:-skip], channels[skip:], strict=True)
        )
        last = FewChannels(channels[-1], data.channels, 3)
        self.last = nn.Sequential(last, Crop(data.height, data.width), nn.Tanh())

    @property
    def noise_size(self) -> int:
        """How many numbers of noise a sample takes."""
        return sum(self.noise_sizes)

    def forward(self, latent: Tensor, label: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """Images from latents; noise (N, noise_size), or none of it."""
        z = latent * (latent.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        if self.embed is not None and label is not None:
            z = torch.cat([z, self.embed(label)], dim=1)
        noises = [None] * len(self.noise_sizes) if noise is None else noise.split(self.noise_sizes, dim=1)
        maps = [self.first(z)]
        for level, (up, refine) in enumerate(zip(self.ups, self.refines, strict=True)):
            x = up(maps[-1], noises[2 * level])
            x = refine(x, noises[2 * level + 1]) if isinstance(refine, Stage) else x
            gate = level + 1 - self.skip
            maps.append(self.gates[gate](maps[gate], x) if gate >= 0 else x)
        return self.last(maps[-1])


@final
class HalvingBlock(nn.Module):
    """The mean of two ways to halve a map: 4x4 of stride 2 and 3x3; mean of 2x2 and 1x1. Odd sizes are rounded up."""

    def __init__(self, before: int, after: int, *, norm: MapNorm) -> None:
        super().__init__()
        down, keep, skip = (
            nn.Conv2d(before, after, 4, stride=2, padding=1),
            conv3(after, after),
            nn.Conv2d(before, after, 1),
        )
        self.main = nn.Sequential(*leaky(down, after, norm), *leaky(keep, after, norm))
        self.skip = nn.Sequential(nn.AvgPool2d(2), *leaky(skip, after, norm))

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, H / 2, W / 2)."""
        x = evened(x)
        return (self.main(x) + self.skip(x)) / 2


def leaky(layer: nn.Module, channels: int, norm: MapNorm) -> list[nn.Module]:
    """A layer, a norm, a leaky ReLU."""
    return [layer, map_norm(norm, channels, affine=True), nn.LeakyReLU(0.2)]


def decoder(channels: int, outputs: int, *, doublings: int, norm: MapNorm) -> nn.Sequential:
    """Features (N, channels, H, W) to images (N, outputs, H', W'), doubled so often.

    Without the paper's tanh: of images with much pure white or black its first large steps saturate it for good, and a
    decoder without a gradient teaches the critic nothing.
    """
    widths = [min(channels, max(channels // 2**step, 8)) for step in range(doublings + 1)]
    stages = [Stage(before, after, norm=norm, up=True) for before, after in pairwise(widths)]
    return nn.Sequential(*stages, FewChannels(widths[-1], outputs, 3))


@final
class FewShotCritic(nn.Module):
    """Images (N, C, H, W), and labels (N,) if there are classes, to scores (N, places), one per place of the last map.

    Halved until the shorter side is at most `base`. Two decoders reconstruct the whole image from the last map, at up
    to half its size, and a window of half its height and width from the map before. A label adds the inner product of
    its embedding with the features of all places, each for itself: their sum tells shallow networks too little, and one
    picture per class is all that they then ask for.

    Args:
        data: The images.
        width: Channels of the largest map, doubled at each halving.
        widest: Up to so many times `width`.
        base: Shorter side of the smallest map, at most.
        norm: Norm of the hidden layers.
        decodes: Whether there are decoders.
        num_classes: Classes that it is told; 0: none.
    """

    def __init__(
        self,
        data: ImageSpec,
        *,
        width: int,
        widest: int,
        base: int,
        norm: MapNorm = "none",
        decodes: bool = True,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        self.halvings = halvings(data, base)
        channels = ladder(width, self.halvings, widest=widest)
        sizes = [(-(-data.height // 2**step), -(-data.width // 2**step)) for step in range(self.halvings + 1)]
        first = nn.Conv2d(data.channels, width, 4, stride=2, padding=1)
        self.first = nn.Sequential(Pad(*sizes[1]), first, nn.LeakyReLU(0.2))
        self.blocks = nn.ModuleList(HalvingBlock(before, after, norm=norm) for before, after in pairwise(channels))
        last, (rows, columns) = channels[-1], sizes[-1]
        self.features = nn.Sequential(*leaky(nn.Conv2d(last, last, 1), last, norm))
        self.head = Float32(nn.Conv2d(last, 1, (min(4, rows), min(4, columns))))
        self.embed = nn.Embedding(num_classes, last * rows * columns) if num_classes else None
        if self.embed is not None:
            nn.init.normal_(self.embed.weight, std=self.embed.embedding_dim**-0.5)
        self.part_scale = 2 ** max(self.halvings - 1, 1)  # pixels of the image per pixel of the map before the last
        self.part_size = sizes[max(self.halvings - 1, 1)]
        self.doublings = min(max(self.halvings - 1, 1), MOST_DOUBLINGS)
        self.decoders = nn.ModuleList(
            decoder(count, data.channels, doublings=self.doublings, norm=norm)
            for count in ([last, channels[max(self.halvings - 2, 0)]] if decodes else [])
        )

    def forward(
        self, image: Tensor, label: Tensor | None = None, place: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Scores, and what the decoders make of the first images: of as many as there are places, (M, 2) in [0, 1)."""
        before = x = self.first(image)
        for block in self.blocks:
            before, x = x, block(x)
        features = self.features(x)
        score = self.head(features).flatten(1)
        if self.embed is not None and label is not None:
            score = score + (features.float().flatten(1) * self.embed(label)).sum(1, keepdim=True)
        if place is None:
            return score, []
        whole, part = self.decoders
        count = len(place)
        return score, [whole(x[:count]), part(window(before[:count], place, self.window_size))]

    @property
    def window_size(self) -> tuple[int, int]:
        """Height and width of the window of the map before the last: half of it, rounded up."""
        return -(-self.part_size[0] // 2), -(-self.part_size[1] // 2)

    def views(self, image: Tensor, place: Tensor) -> list[Tensor]:
        """What the decoders should make of images (N, C, H, W): the whole, reduced, and the window at the places."""
        scale = 2**self.halvings
        bottom, right = -image.shape[2] % scale, -image.shape[3] % scale
        padded = pad(image, (0, right, 0, bottom), mode="replicate") if bottom or right else image
        whole = avg_pool2d(padded, scale // 2**self.doublings)
        part = avg_pool2d(padded, self.part_scale // 2**self.doublings)
        rows, columns = (side * 2**self.doublings for side in self.window_size)
        return [whole, window(part, place, (rows, columns), step=2**self.doublings)]


def window(x: Tensor, place: Tensor, size: tuple[int, int], *, step: int = 1) -> Tensor:
    """A window of each map (N, C, H, W) at its own place.

    Args:
        x: The maps; rows and columns beyond the last multiple of `step` are not used.
        place: (N, 2) in [0, 1): 0 is the top or the left, near 1 the bottom or the right.
        size: Height and width of the window.
        step: Windows begin at multiples of this.

    Returns:
        (N, C, *size).
    """
    indices: list[Tensor] = []
    for axis in (0, 1):
        free = (x.shape[2 + axis] - size[axis]) // step + 1  # so many places there are
        start = step * (place[:, axis] * free).long().clamp(max=free - 1)
        indices.append(start[:, None] + torch.arange(size[axis], device=x.device))
    rows, columns = indices[0][:, :, None], indices[1][:, None, :]
    samples = torch.arange(len(x), device=x.device)[:, None, None]
    return x.permute(0, 2, 3, 1)[samples, rows, columns].permute(0, 3, 1, 2)


def pyramid_distance(first: Tensor, second: Tensor, *, levels: int = 3) -> Tensor:
    """Mean absolute difference of images (N, C, H, W), averaged over full, half, quarter ... size: a scalar."""
    distances: list[Tensor] = []
    for level in range(levels):
        if level:
            first, second = (avg_pool2d(evened(x), 2) for x in (first, second))
        distances.append((first.float() - second.float()).abs().mean())
    return torch.stack(distances).mean()
