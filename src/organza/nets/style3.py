"""The alias-free generator: every layer treats its maps as samples of a continuous signal and keeps to its band.

Karras, Aittala, Laine, Härkönen, Hellsten, Lehtinen, Aila 2021, StyleGAN3 (arXiv:2106.12423). Frequencies and rates are
in cycles and samples per unit, and a unit is the smallest power of two of pixels that holds the image's longer side.
Maps have a margin beyond the image on all sides, so that the zeros behind their edge are out of reach.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu

from organza.data.spec import ImageSpec
from organza.nets.equalised import EqualisedLinear, precise
from organza.nets.resample import Downsample, Upsample
from organza.nets.style import SLOPE, Mapping, ModulatedConv2d

Equivariance = Literal["translation", "rotation"]
FIRST_CUTOFF, FIRST_STOP = 2.0, 2**2.1
"""Of the Fourier features: where the passband and the stopband begin and end, in cycles per unit."""
LAST_STOP = 2**0.3
"""Of the last layer, as a share of its cutoff."""
LIMIT = 256.0
"""Activations are clamped to this, so that 16 bits hold them."""


@final
@dataclass(frozen=True)
class Band:
    """What a layer's output may hold."""

    cutoff: float
    """Highest frequency of the signal."""
    half_width: float
    """Half of the transition of its filters, from the cutoff to where they stop."""
    rate: int
    """Samples per unit."""
    margin: int
    """Samples beyond the image on each side."""
    rows: int
    """Height of the map, margins included."""
    columns: int
    channels: int


def bands(
    data: ImageSpec, *, layers: int = 14, critical: int = 2, margin: int = 10, width: int = 128, widest: int = 512
) -> list[Band]:
    """The bands of the layers: cutoffs in a geometric series, the last `critical` ones sampled as the image is.

    Args:
        data: What images to make.
        layers: How many; the first band is that of the Fourier features as well.
        critical: Layers at the end that use the whole band of the image.
        margin: Samples beyond the image; the last two layers have none.
        width: Channels at the full band, more where it is narrower, in proportion.
        widest: Largest number of channels.

    Returns:
        `layers` bands. Source: Karras et al. 2021, section 3.2 and appendix D.
    """
    side = max(4, 2 ** math.ceil(math.log2(max(data.height, data.width))))
    found: list[Band] = []
    for index in range(layers):
        share = min(index / max(layers - critical, 1), 1.0)
        cutoff = FIRST_CUTOFF * (side / 2 / FIRST_CUTOFF) ** share
        stop = FIRST_STOP * (side / 2 * LAST_STOP / FIRST_STOP) ** share
        rate = 2 ** math.ceil(math.log2(min(2 * stop, side)))
        around = margin if index < layers - 1 else 0
        rows, columns = (math.ceil(size * rate / side) + 2 * around for size in (data.height, data.width))
        channels = min(round(width * side / 2 / cutoff), widest)
        found.append(Band(cutoff, max(stop, rate / 2) - cutoff, rate, around, rows, columns, channels))
    return found


def kaiser_beta(taps: int, width: float) -> float:
    """The shape of the Kaiser window for a transition of `width` (1: half the sampling rate).

    Source: Kaiser 1974; the attenuation that so many taps allow, 2.285 (taps - 1) pi width + 7.95 dB, decides.
    """
    attenuation = 2.285 * (taps - 1) * math.pi * width + 7.95
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    return 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21) if attenuation > 21 else 0.0


def lowpass(taps: int, *, cutoff: float, half_width: float, rate: float, is_radial: bool = False) -> Tensor:
    """A windowed low-pass filter, sum 1, float64: (taps,), or (taps, taps) where it is the same in every direction.

    Args:
        taps: How many.
        cutoff: Middle of the transition.
        half_width: Half of the transition.
        rate: Samples per unit.
        is_radial: jinc instead of the product of two sincs: what equivariance to rotation needs.

    Source: Karras et al. 2021, appendix C.
    """
    beta = kaiser_beta(taps, 2 * half_width / (rate / 2))
    window = torch.kaiser_window(taps, periodic=False, beta=beta, dtype=torch.float64)
    place = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / rate
    if not is_radial:
        ideal = torch.sinc(2 * cutoff * place) * window
        return ideal / ideal.sum()
    radius = torch.hypot(place[:, None], place[None]).clamp_min(1e-9)
    ideal = torch.special.bessel_j1(2 * math.pi * cutoff * radius) / (math.pi * radius) * torch.outer(window, window)
    return ideal / ideal.sum()


@final
class FourierFeatures(nn.Module):
    """Sine waves over the plane, turned and moved as w says: the input that has no border.

    Source: Karras et al. 2021, section 3.1 and appendix D.
    """

    places: Tensor
    waves: Tensor
    phases: Tensor

    def __init__(self, data: ImageSpec, band: Band, *, w_size: int) -> None:
        super().__init__()
        angle, radius = 2 * math.pi * torch.rand(band.channels), band.cutoff * torch.rand(band.channels).sqrt()
        self.register_buffer("waves", torch.stack([radius * angle.sin(), radius * angle.cos()], dim=1))  # (C, 2)
        self.register_buffer("phases", torch.rand(band.channels))
        self.weight = nn.Parameter(torch.randn(band.channels, band.channels))
        self.affine = EqualisedLinear(w_size, 4, gain=1)
        if self.affine.bias is not None:
            nn.init.zeros_(self.affine.weight)
            self.affine.bias.data[0] = 1.0
        # Unlike the image, the unit is a power of two of pixels wide; the turn is around the middle of the image.
        side = max(4, 2 ** math.ceil(math.log2(max(data.height, data.width))))
        axes = [
            (torch.arange(count) + 0.5 - band.margin) / band.rate - size / side / 2
            for count, size in ((band.rows, data.height), (band.columns, data.width))
        ]
        self.register_buffer("places", torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=2), persistent=False)
        self.side = side

    def forward(self, w: Tensor, shift: tuple[float, float] = (0.0, 0.0), angle: float = 0.0) -> Tensor:
        """W (N, w_size), and by how much to move the waves, see `synthesis`, to (N, C, rows, columns) in float32."""
        with torch.autocast(w.device.type, enabled=False):
            turn = self.affine(precise(w))
            turn = turn / (turn[:, :2].square().sum(1, keepdim=True) + 1e-8).sqrt()
            cos, sin, move = turn[:, :1], turn[:, 1:2], turn[:, 2:]
            y, x = self.waves[:, 0], self.waves[:, 1]
            waves = turned_back(y, x, cos, sin)  # (N, C, 2)
            origins = origin(self.places, (shift[0] / self.side, shift[1] / self.side), angle)
            phases = (self.phases + move @ self.waves.T)[:, :, None, None]
            found = (2 * math.pi * (torch.einsum("hwa,nca->nchw", origins, waves) + phases)).sin()
            return conv2d(found, (self.weight / math.sqrt(len(self.phases)))[:, :, None, None])


@final
class FilteredLayer(nn.Module):
    """A modulated convolution and a rectifier whose new frequencies are removed before they can alias.

    The rectifier is applied at no less than twice the rate, between two low-pass filters. The input is divided by the
    running root of its mean square.

    Args:
        before: Band of the input.
        after: Band of the output.
        w_size: Numbers in w.
        taps: Of the filters, per sample of the slower side.
        equivariance: translation: 3x3 kernels and separable filters; rotation: 1x1 kernels and radial filters.
        decay: Share of the mean square that a batch leaves as it was; 1: it stays 1.
    """

    power: Tensor

    def __init__(
        self, before: Band, after: Band, *, w_size: int, taps: int, equivariance: Equivariance, decay: float
    ) -> None:
        super().__init__()
        kernel = 3 if equivariance == "translation" else 1
        self.conv = ModulatedConv2d(before.channels, after.channels, kernel, w_size=w_size)
        self.bias = nn.Parameter(torch.zeros(after.channels))
        fast = 2 * max(before.rate, after.rate)
        up, down = fast // before.rate, fast // after.rate
        is_radial = equivariance == "rotation" and after.cutoff < after.rate / 2
        low = lowpass(taps * up, cutoff=before.cutoff, half_width=before.half_width, rate=fast)
        self.up = Upsample(low, factor=up)
        low = lowpass(taps * down, cutoff=after.cutoff, half_width=after.half_width, rate=fast, is_radial=is_radial)
        self.down = Downsample(low, factor=down)
        self.cut = before.margin * after.rate // before.rate - after.margin
        self.rows, self.columns, self.decay = after.rows, after.columns, decay
        self.register_buffer("power", torch.ones(()))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """(N, C, H, W) and (N, w_size) to (N, C', rows, columns) of the band after."""
        if self.training and self.decay < 1:
            with torch.no_grad():
                self.power.lerp_(precise(x).square().mean(), 1 - self.decay)
        x = self.conv(x * self.power.rsqrt().to(x.dtype), w)
        x = self.up(x + self.bias[:, None, None].to(x.dtype))
        x = self.down((leaky_relu(x, SLOPE) * math.sqrt(2)).clamp(-LIMIT, LIMIT))
        return x[:, :, self.cut : self.cut + self.rows, self.cut : self.cut + self.columns]


@final
class AliasFreeGenerator(nn.Module):
    """Latents to images whose details move with the objects. `mapping`, `truncate`, `synthesis` as `StyleGenerator`.

    Args:
        data: What images to make.
        latent: Length of z.
        w_size: Length of w.
        mapping_layers: Layers from z to w.
        mapping_rate: How fast these learn, compared with the rest.
        layers: See `bands`.
        critical: See `bands`.
        margin: See `bands`.
        width: See `bands`.
        widest: See `bands`.
        taps: See `FilteredLayer`.
        equivariance: See `FilteredLayer`.
        decay: See `FilteredLayer`.
        num_classes: Classes that the mapping is told; 0: none.
    """

    def __init__(
        self,
        data: ImageSpec,
        *,
        latent: int,
        w_size: int,
        mapping_layers: int = 2,
        mapping_rate: float = 0.01,
        layers: int = 14,
        critical: int = 2,
        margin: int = 10,
        width: int = 128,
        widest: int = 512,
        taps: int = 6,
        equivariance: Equivariance = "translation",
        decay: float = 0.999,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        plan = bands(data, layers=layers, critical=critical, margin=margin, width=width, widest=widest)
        self.num_ws = layers + 2  # the features' first, the image's last
        self.to_w = Mapping(latent, w_size, layers=mapping_layers, rate=mapping_rate, num_classes=num_classes)
        self.features = FourierFeatures(data, plan[0], w_size=w_size)
        options = {"w_size": w_size, "taps": taps, "decay": decay}
        self.layers = nn.ModuleList(
            FilteredLayer(before, after, equivariance=equivariance, **options)
            for before, after in zip([plan[0], *plan], plan, strict=False)
        )
        self.to_image = ModulatedConv2d(plan[-1].channels, data.channels, 1, w_size=w_size, demodulates=False)
        self.bias = nn.Parameter(torch.zeros(data.channels))
        self.height, self.width = data.height, data.width

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

    def synthesis(self, w: Tensor, shift: tuple[float, float] = (0.0, 0.0), angle: float = 0.0) -> Tensor:
        """W (N, num_ws, w_size) to images (N, C, H, W), not limited to [-1, 1].

        The features at the input are turned about the middle of the image by `angle`, in radians and counterclockwise,
        then moved down and to the right by `shift`, in pixels of the image.
        """
        x = self.features(w[:, 0], shift, angle)
        for index, layer in enumerate(self.layers):
            x = layer(x, w[:, index + 1])
        image = precise(self.to_image(x, w[:, -1])) + self.bias[:, None, None]
        return image[:, :, : self.height, : self.width]

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Latents to images, see `mapping` and `synthesis`."""
        return self.synthesis(self.mapping(latent, label))


def turned_back(y: Tensor, x: Tensor, cos: Tensor | float, sin: Tensor | float) -> Tensor:
    """Rows and columns before a counterclockwise turn, (..., 2)."""
    return torch.stack([cos * y + sin * x, cos * x - sin * y], dim=-1)


def origin(places: Tensor, shift: tuple[float, float], angle: float) -> Tensor:
    """Where places (..., 2), rows and columns from the middle, were before a turn by `angle` and then a `shift`."""
    return turned_back(places[..., 0] - shift[0], places[..., 1] - shift[1], math.cos(angle), math.sin(angle))
