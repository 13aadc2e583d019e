"""The style-based generator: a mapping to W, convolutions that a style modulates, images summed over the sizes.

Sources: Karras, Laine, Aila 2019, StyleGAN (arXiv:1812.04948); Karras, Laine, Aittala, Hellsten, Lehtinen, Aila 2020,
StyleGAN2 (arXiv:1912.04958); labels as in Karras et al. 2020, StyleGAN2-ADA (arXiv:2006.06676). Truncation towards the
mean of a class: Dobler et al. 2022 (arXiv:2207.02774).
"""

from __future__ import annotations

import math
from typing import Any, Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, one_hot

from organza.data.spec import ImageSpec
from organza.nets.conv import base_size, halvings
from organza.nets.equalised import EqualisedConv2d, EqualisedLinear, PixelNorm, precise
from organza.nets.patches import in_patches
from organza.nets.resample import SMOOTH, Blur, Upsample
from organza.nets.small_conv import Crop
from organza.noise import seeded_noise

Style = Literal["modulate", "adain"]
SLOPE = 0.2
"""Of the rectifiers where their input is negative."""


@final
class ModulatedConv2d(nn.Module):
    """A convolution whose input channels a style scales and whose output is scaled back to unit variance.

        y_o = sum_i (s_i W_oi) * x_i / sqrt(sum_i,k (s_i W_oik)^2)

    Computed as (W * (s x)) d with d_o = 1 / sqrt(sum_i s_i^2 sum_k W_oik^2): one weight for all samples, so that no
    grouped convolution is needed, on any device and in any export.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        kernel: Side of the kernel, odd.
        w_size: Numbers in w, from which an affine layer makes the style s; it starts at s = 1.
        up: Doubles height and width: zeros between the pixels, convolution, smoothing.
        demodulates: Whether d is applied.

    Source: Karras et al. 2020 (arXiv:1912.04958), section 2.2, Eqs. 1 and 3.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, w_size: int, up: bool = False, demodulates: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.affine = EqualisedLinear(w_size, inputs, gain=1, bias_init=1.0)
        self.blur = Blur(before=1, after=1, gain=4.0) if up else None
        self.demodulates = demodulates

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """(N, inputs, H, W) and (N, w_size) to (N, outputs, H, W), or twice as high and wide."""
        style, weight = self.affine(w), self.weight * self.scale
        y = convolved(x * style.to(x.dtype)[:, :, None, None], weight, self.blur)
        return y * self.factors(style, weight).to(y.dtype)[:, :, None, None] if self.demodulates else y

    def factors(self, style: Tensor, weight: Tensor) -> Tensor:
        """The demodulation d, (N, outputs), in float32."""
        with torch.autocast(style.device.type, enabled=False):
            power = precise(style).square() @ weight.square().sum((2, 3)).T
            return (power + 1e-8).rsqrt()


def convolved(x: Tensor, weight: Tensor, blur: Blur | None) -> Tensor:
    """A convolution that keeps the size; with `blur` one that doubles it: transposed, stride 2, then the filter."""
    if blur is None:
        return conv2d(x, weight, padding=weight.shape[2] // 2)
    return blur(conv_transpose2d(x, weight.transpose(0, 1), stride=2))


def normalised(x: Tensor) -> Tensor:
    """Each channel of each sample with mean 0 and variance 1 over its pixels (instance norm)."""
    y = precise(x)
    y = y - y.mean((2, 3), keepdim=True)
    return (y * (y.square().mean((2, 3), keepdim=True) + 1e-8).rsqrt()).to(x.dtype)


@final
class StyledConv(nn.Module):
    """A 3x3 convolution, noise of a learned strength, a bias and a rectifier, under the influence of w.

    `modulate` scales the convolution's channels (StyleGAN2). `adain` is the first StyleGAN's way: what comes out is
    normalised per channel and sample, and w says with which scale and bias it goes on.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        size: Height and width of what comes out.
        w_size: Numbers in w.
        style: modulate or adain.
        up: Doubles height and width.
        has_noise: Whether noise is added to every pixel, the same to all channels.
        stream: Of the seeds' noise, see `seeded_noise`.
    """

    fixed: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        size: tuple[int, int],
        w_size: int,
        style: Style,
        up: bool = False,
        has_noise: bool = True,
        stream: int = 0,
    ) -> None:
        super().__init__()
        self.size, self.stream = size, stream
        if style == "modulate":
            self.conv = ModulatedConv2d(inputs, outputs, 3, w_size=w_size, up=up)
            self.affine = None
        else:
            self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
            self.scale, self.blur = 1 / math.sqrt(9 * inputs), Blur(before=1, after=1, gain=4.0) if up else None
            self.affine = EqualisedLinear(w_size, 2 * outputs, gain=1)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.strength = nn.Parameter(torch.zeros(())) if has_noise else None
        if has_noise:
            self.register_buffer("fixed", torch.randn(1, 1, *size))

    def forward(self, x: Tensor, w: Tensor, seeds: Tensor | None = None) -> Tensor:
        """(N, inputs, H', W'), (N, w_size) and seeds of noise (N,), None: the fixed one, to (N, outputs, H, W)."""
        x = self.conv(x, w) if self.affine is None else convolved(x, self.weight * self.scale, self.blur)
        added = self.bias[:, None, None]
        if self.strength is not None:
            added = added + self.strength * self.noise(seeds)
        x = leaky_relu(x + added.to(x.dtype), SLOPE) * math.sqrt(2)
        if self.affine is None:
            return x
        scale, shift = self.affine(w).to(x.dtype)[:, :, None, None].chunk(2, dim=1)
        return normalised(x) * (1 + scale) + shift

    def noise(self, seeds: Tensor | None) -> Tensor:
        """(N or 1, 1, H, W)."""
        if seeds is None:
            return self.fixed
        return seeded_noise(seeds, self.size[0] * self.size[1], stream=self.stream).view(-1, 1, *self.size)


@final
class ToImage(nn.Module):
    """A convolution to the image's channels, modulated but not demodulated, or plain for `adain`.

    1x1, or with `up` 3x3 to twice the height and width.
    """

    def __init__(self, inputs: int, channels: int, *, w_size: int, style: Style, up: bool = False) -> None:
        super().__init__()
        kernel, self.modulated, self.plain = 3 if up else 1, None, None
        if style == "modulate":
            self.modulated = ModulatedConv2d(inputs, channels, kernel, w_size=w_size, up=up, demodulates=False)
        else:
            conv = EqualisedConv2d(inputs, channels, kernel, gain=1, has_bias=False)
            self.plain = nn.Sequential(Upsample(SMOOTH), conv) if up else conv
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """(N, inputs, H, W) and (N, w_size) to (N, channels, H, W), or twice as high and wide, in float32."""
        y = self.plain(x) if self.plain is not None else self.modulated(x, w) if self.modulated is not None else x
        return precise(y) + self.bias[:, None, None]


@final
class Mapping(nn.Module):
    """Latents, and labels if there are classes, to w: fully connected layers that learn at a rate of their own.

    Source: Karras et al. 2019, section 2 and appendix C: 8 layers at a hundredth of the rate.

    Args:
        latent: Length of z.
        w_size: Length of w.
        layers: How many.
        rate: How fast they learn, compared with the rest.
        num_classes: Classes that are told beside z; 0: none.
        decay: Share of the mean of W that a batch leaves as it was.
    """

    mean: Tensor
    """Running mean of w, (classes or 1, w_size): where truncation leads to."""

    def __init__(
        self, latent: int, w_size: int, *, layers: int, rate: float, num_classes: int, decay: float = 0.995
    ) -> None:
        super().__init__()
        self.num_classes, self.decay = num_classes, decay
        self.norm = PixelNorm()
        self.embed = nn.Embedding(num_classes, w_size) if num_classes else None
        sizes = [latent + (w_size if num_classes else 0)] + [w_size] * layers
        parts: list[nn.Module] = []
        for before in sizes[:-1]:
            parts += [EqualisedLinear(before, w_size, lr_multiplier=rate), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*parts)
        self.register_buffer("mean", torch.zeros(max(num_classes, 1), w_size))

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """(N, latent) and (N,) to (N, w_size); in training this moves the mean."""
        x = self.norm(latent)
        if self.embed is not None and label is not None:
            x = torch.cat([x, self.norm(self.embed(label))], dim=1)
        w = self.layers(x)
        if self.training:
            self.track(w.detach(), label)
        return w

    @torch.no_grad()
    def track(self, w: Tensor, label: Tensor | None) -> None:
        """Move the mean towards those of this batch, (N, w_size): of each class by as much as was seen of it."""
        if self.num_classes == 0 or label is None:
            self.mean.lerp_(precise(w).mean(0, keepdim=True), 1 - self.decay)
            return
        member = one_hot(label, self.num_classes).float()  # (N, classes)
        counts = member.sum(0)[:, None]
        means = (member.T @ precise(w)) / counts.clamp_min(1)
        self.mean.lerp_(means, 1 - self.decay ** (counts * (self.num_classes / len(w))))

    def truncate(self, w: Tensor, psi: float, label: Tensor | None = None) -> Tensor:
        """W (N, ..., w_size) drawn towards the mean (of its class): 1 leaves it as it is, 0 is the mean.

        Source: Karras et al. 2019, appendix B: w' = mean + psi (w - mean).
        """
        mean = self.mean if label is None or self.num_classes == 0 else self.mean[label]
        mean = mean.view(len(mean), *[1] * (w.ndim - 2), -1)
        return mean + psi * (w - mean)


@final
class StyleGenerator(nn.Module):
    """Latents to images by way of W.

    Tools that work in W need three methods and no more: `mapping` (latent to w), `truncate` (w towards its mean) and
    `synthesis` (w to images, differentiable in w; each of the `num_ws` rows may be another one: W+, style mixing).

    Args:
        data: What images to make; sizes that do not divide are made larger and cut.
        latent: Length of z.
        w_size: Length of w.
        mapping_layers: Layers from z to w.
        mapping_rate: How fast these learn, compared with the rest.
        width: Channels of the largest map, doubled at each halving of the size.
        widest: Largest number of channels.
        style: How w acts.
        has_noise: Whether pixels get noise.
        num_classes: Classes that the mapping is told; 0: none.
        w_decay: Share of the mean of W that a batch leaves as it was.
        patch: 2 leaves out the largest map: pixels are made of one of half their height and width.
        is_bounded: Whether pixels go through tanh.
    """

    def __init__(
        self,
        data: ImageSpec,
        *,
        latent: int,
        w_size: int,
        mapping_layers: int = 2,
        mapping_rate: float = 0.01,
        width: int = 32,
        widest: int = 128,
        style: Style = "modulate",
        has_noise: bool = True,
        num_classes: int = 0,
        w_decay: float = 0.995,
        patch: int = 1,
        is_bounded: bool = False,
    ) -> None:
        super().__init__()
        coarse = in_patches(data, patch)
        ups, (rows, columns) = halvings(coarse), base_size(coarse)
        channels = [min(width * 2 ** (ups - level), widest) for level in range(ups + 1)]
        self.to_w = Mapping(
            latent, w_size, layers=mapping_layers, rate=mapping_rate, num_classes=num_classes, decay=w_decay
        )
        self.start = nn.Parameter(torch.randn(1, channels[0], rows, columns))
        self.layers, self.to_image = nn.ModuleList(), nn.ModuleList()
        for level, outputs in enumerate(channels):
            size = rows * 2**level, columns * 2**level
            ins = [channels[0]] if level == 0 else [channels[level - 1], outputs]
            for index, inputs in enumerate(ins):
                up = level > 0 and index == 0
                self.layers.append(
                    StyledConv(inputs, outputs, size=size, w_size=w_size, style=style, up=up, has_noise=has_noise)
                )
            self.to_image.append(ToImage(outputs, data.channels, w_size=w_size, style=style))
        self.num_ws = len(self.layers) + (style == "modulate")  # the last one is for the last `ToImage`
        self.fine = ToImage(channels[-1], data.channels, w_size=w_size, style=style, up=True) if patch > 1 else None
        self.up = Upsample(SMOOTH)
        self.finish = nn.Sequential(Crop(data.height, data.width), *([nn.Tanh()] if is_bounded else []))

    @property
    def w_mean(self) -> Tensor:
        """The mean of W, (classes or 1, w_size)."""
        return self.to_w.mean

    def mapping(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Latents (N, latent), and labels (N,) if there are classes, to w, (N, num_ws, w_size), all rows alike."""
        return self.to_w(latent, label)[:, None].expand(-1, self.num_ws, -1)

    def truncate(self, w: Tensor, psi: float, label: Tensor | None = None) -> Tensor:
        """W (N, num_ws, w_size) drawn towards its mean, see `Mapping`."""
        return self.to_w.truncate(w, psi, label)

    def synthesis(self, w: Tensor, seeds: Tensor | None = None) -> Tensor:
        """W (N, num_ws, w_size) to images (N, C, H, W), limited to [-1, 1] by tanh or not at all.

        Args:
            w: A row per layer.
            seeds: (N,) int64: noise of their own for every image; None: the fixed noise, the same for all.
        """
        x, image = self.start.expand(w.shape[0], -1, -1, -1), None
        for index, layer in enumerate(self.layers):
            x = layer(x, w[:, index], seeds)
            if index % 2 == 0:  # the last layer of its size
                part = self.to_image[index // 2](x, w[:, min(index + 1, self.num_ws - 1)])
                image = part if image is None else self.up(image) + part
        if self.fine is not None:
            image = self.up(image) + self.fine(x, w[:, self.num_ws - 1])
        return self.finish(image)

    def forward(
        self,
        latent: Tensor,
        label: Tensor | None = None,
        seeds: Tensor | None = None,
        other: Tensor | None = None,
        crossover: Tensor | None = None,
    ) -> Tensor:
        """Latents to images, see `mapping` and `synthesis`; layers from `crossover` (N,) on obey `other`."""
        w = self.mapping(latent, label)
        if other is not None and crossover is not None:
            row = torch.arange(self.num_ws, device=w.device)[None, :, None]
            w = torch.where(row < crossover[:, None, None], w, self.mapping(other, label))
        return self.synthesis(w, seeds)


def synthesised(network: Any, psi: float, latent: Tensor, label: Tensor | None = None) -> Tensor:
    """Images of a generator with a space W, whose w are drawn towards their mean by `psi`; 1: left as they are."""
    w = network.mapping(latent, label)
    return network.synthesis(w if psi == 1 else network.truncate(w, psi, label))


@final
class MovingAverage(nn.Module):
    """A running mean of a number, for `Game.extras`: it starts at 0 and moves by a share of the difference."""

    value: Tensor

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.register_buffer("value", torch.zeros(()))

    def update(self, value: Tensor) -> None:
        """Move it."""
        self.value.lerp_(value.to(self.value), self.share)
