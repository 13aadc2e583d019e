"""How sharp images become small and worn ones: by a bicubic filter, or as photographs do on their way through life.

Twice over an image is blurred, resized, made noisy and compressed; each step differs from sample to sample. All that
is random is a function of a seed per sample, so it is the same however a batch is split.

Source: Wang, Xie, Dong, Shan 2021, Real-ESRGAN (arXiv:2107.10833), section 3, with the ranges of its appendix; the
generalised Gaussian and the plateau kernels: Liu et al. 2020 (arXiv:2008.00239). Differs: Poisson noise is normal noise
of its variance; JPEG is its transform, its quantisation and its halved chroma; resizing is antialiased; between the
steps each sample has a size of its own, on a canvas that is the same for all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from organza.noise import seeded_noise, seeded_uniform

Range = tuple[float, float]
Row = tuple[float, float, float]
Size = tuple[int, int]
Numbers = dict[str, Tensor]
"""Uniform numbers in [0, 1) by what they decide, (N, 1, 1, 1) each."""


@final
@dataclass(frozen=True, kw_only=True)
class Stage:
    """The ranges of one pass at strength 1."""

    blurred: float
    """Share of the images that are blurred at all."""
    sigma: Range
    """Of blur, in pixels."""
    enlarged: float
    """Share of the images that are made larger."""
    reduced: float
    """Share of the images that are made smaller."""
    factor: Range
    """How small and how large, at most."""
    gaussian: Range
    """Deviation of Gaussian noise in levels of 255; half of the images have this, the others Poisson noise."""
    poisson: Range
    """Multiple of the noise of 256 photons at white."""
    quality: Range = (30, 95)
    """Of JPEG, 0 to 100."""


FIRST = Stage(
    blurred=1.0,
    sigma=(0.2, 3.0),
    enlarged=0.2,
    reduced=0.7,
    factor=(0.15, 1.5),
    gaussian=(1, 30),
    poisson=(0.05, 3.0),
)
SECOND = Stage(
    blurred=0.8,
    sigma=(0.2, 1.5),
    enlarged=0.3,
    reduced=0.4,
    factor=(0.3, 1.2),
    gaussian=(1, 25),
    poisson=(0.05, 2.5),
)
STEPS = (
    "blur", "kernel", "side", "sigma", "sigma_across", "angle", "beta", "sinc", "cutoff",
    "direction", "factor", "filter", "noise", "level", "gray", "quality",
)  # fmt: skip
LAST = ("sinc", "side", "cutoff", "filter", "order")
COLUMNS = 2 * len(STEPS) + len(LAST)
"""Uniform numbers per sample."""
KERNELS = (0.45, 0.70, 0.82, 0.85)
"""Up to here kernels are Gaussian and round, Gaussian, generalised and round, generalised; from here on plateaus."""
SINC, LAST_SINC = 0.1, 0.8
"""Shares of the images with a sinc filter: in place of a pass's blur, and at the end."""
BETA, PLATEAU_BETA = (0.5, 4.0), (1.0, 2.0)
"""Shapes of generalised and of plateau kernels."""
CUTOFF = (math.pi / 3, math.pi)
"""Of sinc filters, in radians per pixel."""
GRAY = 0.4
"""Share of the images whose noise is the same in all channels."""
RADIUS = 10
"""Of the largest kernels: they have 7 to 21 pixels a side."""
CUBIC = 2
"""Filters of resizing: 0 box, 1 triangle, 2 cubic."""


def downsampled(images: Tensor, height: int, width: int) -> Tensor:
    """Images (N, C, H, W) in [-1, 1] at an exact size, (N, C, height, width): bicubic, antialiased, clamped.

    As Pillow does it (and MATLAB, but for the edge): a cubic of a = -1/2, as wide as the pixels of the result, over
    the pixels that there are. Differentiable; also enlarges.
    """
    before, after = (torch.tensor([side], device=images.device) for side in (images.shape[2:], (height, width)))
    return resampled(images, before, after, (height, width), torch.full_like(before[:, :1], CUBIC)).clamp(-1, 1)


@final
@dataclass(frozen=True)
class Degrade:
    """Two passes of blur, resizing, noise and compression.

    Args:
        strength: 1: the published ranges; towards 0 every step does less; at 0 it is `downsampled`.
    """

    strength: float = 1.0

    @torch.no_grad()
    def __call__(self, images: Tensor, seeds: Tensor, height: int, width: int) -> Tensor:
        """Worn images (N, C, height, width) from sharp ones (N, C, H, W), both in [-1, 1], float32, and seeds (N,)."""
        if self.strength == 0:
            return downsampled(images, height, width)
        with torch.autocast(images.device.type, enabled=False):
            x, out = images.float(), (height, width)
            numbers = seeded_uniform(seeds, COLUMNS)[:, :, None, None, None]
            first, second, last = numbers.split([len(STEPS)] * 2 + [len(LAST)], dim=1)
            u, end = named(STEPS, first), named(LAST, last)
            size = torch.tensor([x.shape[2:]], device=x.device)
            x, size = self.passed(x, size, (x.shape[2], x.shape[3]), u, FIRST, seeds, stream=1)
            x, u = jpeg(x, self.quality(u, FIRST)), named(STEPS, second)
            x, size = self.passed(x, size, out, u, SECOND, seeds, stream=2)
            # Compressed before it has its last size and the rings of sharpening, or after.
            quality, is_late = self.quality(u, SECOND), end["order"] < 0.5
            x = torch.where(is_late, x, jpeg(x, quality))
            x = resampled(x, size, torch.tensor([out], device=x.device), out, self.filters(end))
            kernel = torch.where(end["sinc"] < LAST_SINC * self.strength, self.sinc_kernels(end), untouched(x))
            x = blurred(x, kernel).clamp(-1, 1)
            return torch.where(is_late, jpeg(x, quality), x)

    def passed(
        self, x: Tensor, size: Tensor, about: Size, u: Numbers, stage: Stage, seeds: Tensor, *, stream: int
    ) -> tuple[Tensor, Tensor]:
        """Blurred, resized and made noisy: images of sizes (N, 2) to images about as large as `about`, and their sizes.

        Pixels beyond the size of a sample, to the right and below, repeat its edge.
        """
        is_blurred = u["blur"] < stage.blurred
        x = blurred(x, torch.where(is_blurred, self.blur_kernels(u, stage), untouched(x)))
        canvas = math.ceil(about[0] * stage.factor[1]), math.ceil(about[1] * stage.factor[1])
        after = self.sizes(u, stage, about)
        x = resampled(x, size, after, canvas, self.filters(u)).clamp(-1, 1)
        return self.noisy(x, u, stage, seeded_noise(seeds, x[0].numel(), stream=stream).view_as(x)), after

    def sizes(self, u: Numbers, stage: Stage, about: Size) -> Tensor:
        """Heights and widths after resizing, (N, 2)."""
        is_up, is_same = u["direction"] < stage.enlarged, u["direction"] >= stage.enlarged + stage.reduced
        up, down = spread(u["factor"], (1, stage.factor[1])), spread(u["factor"], (stage.factor[0], 1))
        factor = torch.where(is_up, up, down).masked_fill(is_same, 1.0) ** self.strength
        return (factor.flatten(1) * torch.tensor(about, device=factor.device)).round().clamp_min(1)

    def filters(self, u: Numbers) -> Tensor:
        """Which filter resizes, (N, 1): each as likely as the others at strength 1, the cubic one towards 0."""
        return torch.where(u["filter"] < self.strength, (u["filter"] / self.strength * 3).floor(), CUBIC).flatten(1)

    def quality(self, u: Numbers, stage: Stage) -> Tensor:
        """Of JPEG, (N, 1, 1, 1)."""
        return 100 - self.strength * (100 - spread(u["quality"], stage.quality))

    def blur_kernels(self, u: Numbers, stage: Stage) -> Tensor:
        """Kernels (N, 1, K, K) of sum 1, round or stretched and turned, or sinc filters.

        With q = (x / sigma)^2 + (y / sigma')^2 in turned coordinates: exp(-q^beta / 2), or 1 / (1 + q^beta).
        """
        rows, columns, taps = coordinates(u)
        plain, is_plateau = u["kernel"] < KERNELS[1], u["kernel"] >= KERNELS[3]
        is_round = (u["kernel"] < KERNELS[0]) | (~plain & (u["kernel"] < KERNELS[2]))
        sigma, across = (
            (self.strength * spread(u[name], stage.sigma)).clamp_min(1e-3) for name in ("sigma", "sigma_across")
        )
        across, angle = torch.where(is_round, sigma, across), math.pi * u["angle"]
        x = (columns * angle.cos() + rows * angle.sin()) / sigma
        y = (rows * angle.cos() - columns * angle.sin()) / across
        beta = torch.where(is_plateau, spread(u["beta"], PLATEAU_BETA), spread(u["beta"], BETA)).masked_fill(plain, 1.0)
        q = (x.square() + y.square()) ** beta
        kernel = torch.where(is_plateau, 1 / (1 + q), (-q / 2).exp()) * taps
        kernel = kernel / kernel.sum((2, 3), keepdim=True)
        return torch.where(u["sinc"] < SINC * self.strength, self.sinc_kernels(u), kernel)

    def sinc_kernels(self, u: Numbers) -> Tensor:
        """Round low-pass filters (N, 1, K, K) of sum 1, which leave rings: J1(cutoff r) / r; J1 is Bessel's."""
        rows, columns, taps = coordinates(u)
        cutoff = math.pi - self.strength * (math.pi - spread(u["cutoff"], CUTOFF))
        r = (rows.square() + columns.square()).sqrt().clamp_min(1e-3)  # at 0 it is cutoff / 2
        kernel = torch.special.bessel_j1(cutoff * r) / r * taps
        return kernel / kernel.sum((2, 3), keepdim=True)

    def noisy(self, x: Tensor, u: Numbers, stage: Stage, noise: Tensor) -> Tensor:
        """Images with a multiple of the standard normal noise of their shape, that is gray for some."""
        noise = torch.where(u["gray"] < GRAY, noise[:, :1], noise)
        gaussian = 2 / 255 * spread(u["level"], stage.gaussian)
        photons = 256 * (x + 1) / 2
        poisson = 2 / 256 * photons.sqrt() * spread(u["level"], stage.poisson)
        return (x + self.strength * torch.where(u["noise"] < 0.5, gaussian, poisson) * noise).clamp(-1, 1)


def named(names: tuple[str, ...], numbers: Tensor) -> Numbers:
    """Columns of numbers (N, names, 1, 1, 1) by name."""
    return dict(zip(names, numbers.unbind(1), strict=True))


def spread(u: Tensor, limits: Range) -> Tensor:
    """Uniform numbers over a range."""
    return limits[0] + (limits[1] - limits[0]) * u


def coordinates(u: Numbers) -> tuple[Tensor, Tensor, Tensor]:
    """Rows (K, 1) and columns (1, K) of kernels about their middle, and which taps each has, (N, 1, K, K)."""
    along = torch.arange(-RADIUS, RADIUS + 1, device=u["side"].device, dtype=torch.float32)
    radius = 3 + (u["side"] * (RADIUS - 2)).floor()
    return along[:, None], along[None], (along[:, None].abs() <= radius) & (along[None].abs() <= radius)


def untouched(x: Tensor) -> Tensor:
    """The kernel that changes nothing, (K, K)."""
    kernel = torch.zeros(2 * RADIUS + 1, 2 * RADIUS + 1, device=x.device)
    kernel[RADIUS, RADIUS] = 1
    return kernel


def blurred(x: Tensor, kernel: Tensor) -> Tensor:
    """Images (N, C, H, W) convolved with kernels (N, 1, K, K) by Fourier transforms; the edge is repeated."""
    padded = pad(x, (RADIUS,) * 4, mode="replicate")
    size = padded.shape[2:]
    y = torch.fft.irfft2(torch.fft.rfft2(padded) * torch.fft.rfft2(kernel, s=size), s=size)
    return y[..., 2 * RADIUS :, 2 * RADIUS :]


def resampling(before: Tensor, after: Tensor, taken: int, made: int, filter: Tensor) -> Tensor:
    """Matrices (N, made, taken) that resize vectors whose first `before` numbers count to `after`, the last repeated.

    Args:
        before: Sizes that come in, (N,).
        after: Sizes that go out, (N,); as many rows differ.
        taken: Columns.
        made: Rows.
        filter: Box, triangle or cubic, (N,).
    """
    before, after, filter = (value.float()[:, None, None] for value in (before, after, filter))
    row, column = (torch.arange(count, device=before.device, dtype=torch.float32) for count in (made, taken))
    centre = (row[:, None].minimum(after - 1) + 0.5) * before / after - 0.5
    d = (column - centre).abs() / (before / after).clamp_min(1)
    near, far = 1 - 2.5 * d**2 + 1.5 * d**3, 2 - 4 * d + 2.5 * d**2 - 0.5 * d**3
    cubic = torch.where(d < 1, near, torch.where(d < 2, far, 0.0))
    kernel = torch.where(filter == CUBIC, cubic, torch.where(filter == 1, (1 - d).clamp_min(0), (d <= 0.5).float()))
    kernel = kernel * (column < before)
    return kernel / kernel.sum(2, keepdim=True)


def resampled(x: Tensor, before: Tensor, after: Tensor, size: Size, filter: Tensor) -> Tensor:
    """Images (N, C, H, W) of which `before` (N, 2) rows and columns count, resized to `after` (N, 2) of `size`."""
    with torch.autocast(x.device.type, enabled=False):
        rows, columns = (
            resampling(before[:, axis], after[:, axis], x.shape[2 + axis], size[axis], filter[:, 0])[:, None]
            for axis in (0, 1)
        )
        return rows @ (x.float() @ columns.transpose(2, 3))


LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, *[99] * 32,
)  # fmt: skip
"""Steps of the quantisation at quality 50. Source: ITU-T recommendation T.81 (1992), annex K, tables K.1 and K.2."""
FULL_CHROMA = 90
"""From this quality on programs tend to keep the chroma at full size."""
YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
"""From red, green, blue to luma and two chroma channels, and back. Source: JFIF 1.02 (1992)."""


def jpeg(images: Tensor, quality: Tensor) -> Tensor:
    """What JPEG leaves of images (N, C, H, W) in [-1, 1], at qualities (N, 1, 1, 1) from 1 to 100; up to rounding.

    The first three channels are colors, whose chroma is halved in size below `FULL_CHROMA`; all others are luma.
    """
    height, width = images.shape[2:]
    x = pad(127.5 * images - 0.5, (0, -width % 16, 0, -height % 16), mode="replicate")
    color, rest = (x[:, :3], x[:, 3:]) if x.shape[1] in (3, 4) else (x[:, :0], x)
    parts = [quantised(rest, LUMA, quality)]
    if color.shape[1]:
        ycc = mixed(color, YCC).round()
        halved = quantised(avg_pool2d(ycc[:, 1:], 2), CHROMA, quality)
        halved = interpolate(halved, scale_factor=2.0, mode="bilinear")
        chroma = torch.where(quality < FULL_CHROMA, halved, quantised(ycc[:, 1:], CHROMA, quality))
        ycc = torch.cat([quantised(ycc[:, :1], LUMA, quality), chroma], dim=1)
        parts.insert(0, mixed(ycc, RGB))
    return ((torch.cat(parts, dim=1) + 0.5) / 127.5)[..., :height, :width].clamp(-1, 1)


def mixed(x: Tensor, matrix: tuple[Row, Row, Row]) -> Tensor:
    """Three channels, (N, 3, H, W), as sums of them."""
    return torch.einsum("oc,nchw->nohw", torch.tensor(matrix, device=x.device), x)


def quantised(x: Tensor, table: tuple[int, ...], quality: Tensor) -> Tensor:
    """Maps (N, C, 8 h, 8 w) whose cosine transform, in squares of 8x8, is rounded to multiples of the table's steps."""
    k = torch.arange(8, device=x.device, dtype=torch.float32)
    cosine = (math.pi / 16 * k[:, None] * (2 * k + 1)).cos() / 2
    cosine[0] = math.sqrt(1 / 8)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[..., None, None]  # in percent
    steps = torch.tensor(table, device=x.device, dtype=torch.float32).view(8, 8)
    steps = ((steps * scale + 50) / 100).floor().clamp(1, 255)  # (N, 1, 1, 1, 8, 8)
    blocks = x.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)  # (N, C, h, w, 8, 8)
    waves = (cosine @ blocks @ cosine.T / steps).round() * steps
    return (cosine.T @ waves @ cosine).transpose(3, 4).flatten(4, 5).flatten(2, 3)
