"""The networks of R3GAN: plain residual stacks without norms, in two ways of keeping activations at unit size.

`fixup` is the paper's: each block starts as the identity (or near it), its other weights are drawn smaller the deeper
the network is. `magnitude` keeps weights and activations at unit magnitude by construction, so that steps can be far
larger; its weights are put back to unit length after each update (`renormalise`). Patches that overlap, which it has
not, make sharper images than folded ones.

Source: Huang, Gokaslan, Kuleshov, Tompkin 2024, R3GAN (arXiv:2501.05441); Zhang, Dauphin, Ma 2019, Fixup
(arXiv:1901.09321); Karras et al. 2024, EDM2 (arXiv:2312.02696), section 2 and appendix B.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu, linear, pad

from organza.data.spec import ImageSpec
from organza.nets.equalised import PixelNorm
from organza.nets.layers import Float32
from organza.nets.resample import Downsample, Upsample
from organza.nets.small_conv import Crop

Layers = Literal["fixup", "magnitude"]
Resize = Literal["smooth", "box"]
Ends = Literal["basis", "dense"]
Output = Literal["linear", "tanh"]
SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))
"""Of leaky ReLU: keeps the mean square of a normal input."""
TAPS = (1.0, 2.0, 1.0)


@final
class Unit(nn.Module):
    """A convolution or dense layer whose weight has unit length per output, so that it keeps the mean square.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        kernel: Side of the kernel; 0: a dense layer.
        groups: As in `nn.Conv2d`.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 0, *, groups: int = 1) -> None:
        super().__init__()
        self.kernel, self.groups = kernel, groups
        shape = (outputs, inputs // groups, kernel, kernel) if kernel else (outputs, inputs)
        self.weight = nn.Parameter(unit(torch.randn(shape)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, ...) to (N, outputs, ...)."""
        weight = unit(self.weight)
        return conv2d(x, weight, padding=self.kernel // 2, groups=self.groups) if self.kernel else linear(x, weight)


def unit(weight: Tensor) -> Tensor:
    """Each output's weights divided by their length."""
    return nn.functional.normalize(weight.flatten(1), dim=1, eps=1e-8).view_as(weight)


@torch.no_grad()
def renormalise(network: nn.Module) -> None:
    """Put the weights of all `Unit` layers back to unit length, in place (EDM2, appendix B.1: forced normalisation)."""
    for module in network.modules():
        if isinstance(module, Unit):
            module.weight.copy_(unit(module.weight))


def layer(kind: Layers, inputs: int, outputs: int, kernel: int = 0, *, groups: int = 1, gain: float = 1.0) -> nn.Module:
    """A layer without bias: `Unit`, or a plain one drawn from N(0, gain^2 / fan-in)."""
    if kind == "magnitude":
        return Unit(inputs, outputs, kernel, groups=groups)
    plain = (
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
        if kernel
        else nn.Linear(inputs, outputs, bias=False)
    )
    nn.init.normal_(plain.weight, std=gain / math.sqrt(plain.weight[0].numel()))
    return plain


@final
class Act(nn.Module):
    """Adds a bias per channel, then leaky ReLU; with the gain that keeps the mean square where magnitudes are kept."""

    def __init__(self, kind: Layers, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.gain = GAIN if kind == "magnitude" else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return leaky_relu(x + self.bias, SLOPE) * self.gain


@final
class Block(nn.Module):
    """x + a 1x1 convolution to more channels, a grouped 3x3 one and a 1x1 one back.

    Args:
        kind: How magnitudes are kept.
        channels: In and out.
        expansion: Hidden channels for each channel.
        group: Channels per group of the 3x3 convolution; 0: dense.
        depth: Residual blocks of the whole network, for the scale of the weights.
        share: Gain of the last layer at the start; 0: the block begins as the identity.
    """

    def __init__(self, kind: Layers, channels: int, *, expansion: float, group: int, depth: int, share: float) -> None:
        super().__init__()
        hidden = max(1, round(channels * expansion))
        groups = hidden // group if group and hidden % group == 0 else 1
        gain = GAIN * depth**-0.25
        self.body = nn.Sequential(
            layer(kind, channels, hidden, 1, gain=gain),
            Act(kind, hidden),
            layer(kind, hidden, hidden, 3, groups=groups, gain=gain),
            Act(kind, hidden),
            layer(kind, hidden, channels, 1, gain=share),
        )
        self.share = nn.Parameter(torch.full((channels, 1, 1), share)) if kind == "magnitude" else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        if self.share is None:
            return x + self.body(x)
        share = self.share.tanh()
        return (x + share * self.body(x)) * torch.rsqrt(1 + share.square())


@final
class Resized(nn.Module):
    """Halves or doubles height and width: `smooth` by the taps 1 2 1, `box` by 2 x 2 averages and repetition."""

    def __init__(self, how: Resize, *, up: bool) -> None:
        super().__init__()
        self.up = up
        self.smooth = (Upsample(TAPS) if up else Downsample(TAPS)) if how == "smooth" else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, 2 H, 2 W) or (N, C, H / 2, W / 2)."""
        if self.smooth is not None:
            return self.smooth(x)
        return interpolate(x, scale_factor=2, mode="nearest") if self.up else avg_pool2d(x, 2)


@final
@dataclass(frozen=True, kw_only=True)
class Plan:
    """How both networks are built: stages of residual blocks, one per size of the maps."""

    data: ImageSpec
    width: int
    """Channels of the largest map, doubled towards smaller ones."""
    widest: int
    """At most so many channels."""
    blocks: int
    """Per stage."""
    expansion: float
    """Hidden channels of a block for each of its channels."""
    block_gain: float
    """Of each block's last layer at the start."""
    group: int
    """Channels per group of the 3x3 convolutions; 0: dense."""
    base: int
    """The shorter side of the smallest map is at most this."""
    patch: int
    """Pixels per place of the largest map, in each direction."""
    overlap: bool
    """Whether the first and the last convolution see twice as many pixels per place, so that neighbours overlap."""
    kind: Layers
    resize: Resize
    ends: Ends
    """The generator's first and the critic's last layer: one learned map per channel, or dense."""
    output: Output

    @cached_property
    def channels(self) -> list[int]:
        """Of each stage, from the smallest map to the largest."""
        side, stages = -(-min(self.data.height, self.data.width) // self.patch), 1
        while side > self.base:
            side, stages = -(-side // 2), stages + 1
        return [min(self.width * 2 ** (stages - 1 - stage), self.widest) for stage in range(stages)]

    @property
    def smallest(self) -> tuple[int, int]:
        """Height and width of the smallest map."""
        scale = self.patch * 2 ** (len(self.channels) - 1)
        return -(-self.data.height // scale), -(-self.data.width // scale)

    @property
    def surplus(self) -> tuple[int, int]:
        """Rows and columns by which the networks' images are larger than the data's, since sizes are doubled."""
        scale = self.patch * 2 ** (len(self.channels) - 1)
        return -self.data.height % scale, -self.data.width % scale

    def stage(self, channels: int) -> list[nn.Module]:
        """The blocks of one stage."""
        depth = self.blocks * len(self.channels)
        return [
            Block(
                self.kind,
                channels,
                expansion=self.expansion,
                group=self.group,
                depth=depth,
                share=self.block_gain,
            )
            for _ in range(self.blocks)
        ]

    def to_places(self, channels: int) -> nn.Module:
        """Images (N, C, H, W) to maps (N, channels, H / patch, W / patch)."""
        images = self.data.channels
        if not self.overlap:
            fold = [nn.PixelUnshuffle(self.patch)] if self.patch > 1 else []
            return nn.Sequential(*fold, layer(self.kind, images * self.patch**2, channels, 1))
        kernel, beyond = self.reach
        first = nn.Conv2d(images, channels, kernel, stride=self.patch, padding=beyond, bias=False)
        nn.init.normal_(first.weight, std=first.weight[0].numel() ** -0.5)
        return first

    def to_pixels(self, channels: int) -> nn.Module:
        """The other way round."""
        images = self.data.channels
        if not self.overlap:
            unfold = [nn.PixelShuffle(self.patch)] if self.patch > 1 else []
            return nn.Sequential(layer(self.kind, channels, images * self.patch**2, 1), *unfold)
        kernel, beyond = self.reach
        last = nn.ConvTranspose2d(channels, images, kernel, stride=self.patch, padding=beyond, bias=False)
        places = (kernel / self.patch) ** 2  # that reach each pixel
        nn.init.normal_(last.weight, std=(places * channels) ** -0.5)
        return last

    @property
    def reach(self) -> tuple[int, int]:
        """Pixels that a place sees where neighbours overlap, and how many of them lie beyond its own on each side."""
        beyond = -(-self.patch // 2)
        return self.patch + 2 * beyond, beyond

    def widened(self, before: int, after: int) -> list[nn.Module]:
        """A 1x1 convolution where the number of channels changes."""
        return [layer(self.kind, before, after, 1)] if before != after else []


@final
class R3Generator(nn.Module):
    """Latents (N, latent), and labels (N,) if there are classes, to images (N, C, H, W), unbounded without tanh."""

    def __init__(self, plan: Plan, *, latent: int, num_classes: int) -> None:
        super().__init__()
        first = plan.channels[0]
        self.embed = nn.Embedding(num_classes, latent) if num_classes else None
        self.is_dense, self.is_bounded = plan.ends == "dense", plan.output == "tanh"
        places = math.prod(plan.smallest) if self.is_dense else 1
        self.start = layer(plan.kind, latent * (2 if num_classes else 1), first * places)
        self.basis = nn.Parameter((torch.zeros if self.is_dense else torch.randn)(first, *plan.smallest))
        layers = plan.stage(first)
        for before, after in pairwise(plan.channels):
            layers += [*plan.widened(before, after), Resized(plan.resize, up=True), *plan.stage(after)]
        self.body = nn.Sequential(*layers)
        self.norm = PixelNorm(1e-4)  # without it tanh saturates, and the generator is dead
        self.last = plan.to_pixels(plan.channels[-1])
        self.gain = nn.Parameter(torch.ones(())) if plan.kind == "magnitude" else None
        self.crop = Crop(plan.data.height, plan.data.width)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Images from latents."""
        if self.embed is not None and label is not None:
            latent = torch.cat([latent, self.embed(label)], dim=1)
        x = self.start(latent)
        x = x.unflatten(1, self.basis.shape) + self.basis if self.is_dense else x[:, :, None, None] * self.basis
        x = self.body(x.contiguous(memory_format=torch.channels_last))
        x = self.last(self.norm(x) if self.is_bounded else x)
        x = self.crop(x if self.gain is None else x * self.gain)
        return x.tanh() if self.is_bounded else x


@final
class R3Critic(nn.Module):
    """Images (N, C, H, W), and labels (N,) if there are classes, to scores (N,): the generator's mirror image."""

    def __init__(self, plan: Plan, *, num_classes: int) -> None:
        super().__init__()
        channels = plan.channels[::-1]
        layers = [plan.to_places(channels[0]), *plan.stage(channels[0])]
        for before, after in pairwise(channels):
            layers += [Resized(plan.resize, up=False), *plan.widened(before, after), *plan.stage(after)]
        self.body = nn.Sequential(*layers)
        last, (rows, columns) = channels[-1], plan.smallest
        self.is_dense = plan.ends == "dense"
        if self.is_dense:
            last, self.basis = last * rows * columns, None
        else:
            self.basis = nn.Parameter(torch.randn(last, rows, columns) / math.sqrt(rows * columns))
        self.head = Float32(layer(plan.kind, last, last if num_classes and not self.is_dense else 1))
        self.embed = nn.Embedding(num_classes, last) if num_classes else None
        if self.embed is not None and self.is_dense:
            nn.init.normal_(self.embed.weight, std=last**-0.5)
        self.gain = nn.Parameter(torch.ones(())) if plan.kind == "magnitude" else None
        self.surplus = plan.surplus

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Scores of images."""
        rows, columns = self.surplus
        x = pad(image, (0, columns, 0, rows), mode="replicate") if rows or columns else image
        x = self.body(x)
        features = x.flatten(1) if self.basis is None else (x * self.basis).sum((2, 3))
        told = None if self.embed is None or label is None else self.embed(label)
        score = self.head(features)
        if self.is_dense:
            score = score.squeeze(1) if told is None else score.squeeze(1) + (features.float() * told).sum(1)
        else:
            score = score.sum(1) if told is None else (score * told).sum(1) / math.sqrt(score.shape[1])
        return score if self.gain is None else score * self.gain
