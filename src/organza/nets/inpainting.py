"""Generators that fill holes: gated convolutions, which learn where to look, and Fourier convolutions, which see all.

Both take images (N, C, H, W) of any size and masks (N, 1, H, W), 1 in the holes and 0 elsewhere, of which the pixels in
the holes are not read; and give their attempts at the whole image, the last of which counts. These are not limited to
a range: where most of an image is black, a tanh saturates and learns no more.

Sources: Yu et al. 2019, DeepFill v2 (arXiv:1806.03589), section 3; Suvorov et al. 2022, LaMa (arXiv:2109.07161),
section 2; Chi, Jiang, Mu 2020, fast Fourier convolution (NeurIPS 33). Differs: DeepFill without contextual attention,
its gates doubled; nothing limits the result, and it is added to what it begins with; sides that do not divide are
rounded up and cut. Fourier transforms are computed in float32.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, elu, interpolate, pad

from organza.nets.layers import Float32, initialise, normed
from organza.nets.residual import MapNorm, evened, ladder

Base = Literal["none", "smooth"]
"""What attempts are added to: nothing, or a smooth filling from what is known around the holes."""
DILATIONS = (2, 4, 8, 16)
"""Of the middle layers of a gated network: each sees twice as far as the one before."""


def begun(image: Tensor, mask: Tensor, base: Base) -> Tensor:
    """What an attempt is added to, (N, C, H, W): 0 or a smooth image in the holes, and what is known beside them."""
    known = image * (1 - mask)
    return known if base == "none" else known + smooth_fill(known, 1 - mask) * mask


def smooth_fill(image: Tensor, known: Tensor) -> Tensor:
    """Images (N, C, H, W), with 0 where `known` (N, 1, H, W) is 0, everywhere: means of what is known around.

    Halved until nothing is missing, then doubled bilinearly, at each size what is missing from the one below. Where
    nothing is known at all it is 0.

    Source: Gortler, Grzeszczuk, Szeliski, Cohen 1996, "The lumigraph", section 3.4 (pull and push).
    """
    if max(image.shape[2:]) == 1:
        return image
    # Means over those of 2 x 2 pixels that are known; at an odd end over fewer.
    total, share = (avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False) for x in (image, known))
    is_known = (share > 0).to(share.dtype)
    small = smooth_fill(total / share.clamp_min(1e-6), is_known)
    return image + interpolate(small, size=image.shape[2:], mode="bilinear") * (1 - known)


@final
class GatedConv2d(nn.Module):
    """2 elu(features) sigmoid(gate): two convolutions of one input, computed as one; a gate is at first about 1.

    Args:
        before: Channels in.
        after: Channels out.
        kernel: Side of the kernel, odd.
        stride: 1 or 2; odd sides are rounded up.
        dilation: Distance of the taps.
        up: Doubles height and width first, by repeating each pixel.
    """

    def __init__(
        self, before: int, after: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1, up: bool = False
    ) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv2d(before, 2 * after, kernel, stride=stride, padding=padding, dilation=dilation)
        self.up = up

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, H, W), half or twice as large."""
        features, gate = self.conv(interpolate(x, scale_factor=2.0) if self.up else x).chunk(2, dim=1)
        return 2 * elu(features) * gate.sigmoid()


def gated(inputs: int, outputs: int, *, width: int) -> nn.Sequential:
    """One of the two networks: 5x5, two halvings, dilated layers between, two doublings.

    There are 17 layers and no norms: weights are drawn so that the signal keeps its size (`he`).
    """
    wide, wider = 2 * width, 4 * width
    thin = max(width // 2, 1)
    layers = nn.Sequential(
        GatedConv2d(inputs, width, 5),
        GatedConv2d(width, wide, stride=2),
        GatedConv2d(wide, wide),
        GatedConv2d(wide, wider, stride=2),
        *(GatedConv2d(wider, wider) for _ in range(2)),
        *(GatedConv2d(wider, wider, dilation=dilation) for dilation in DILATIONS),
        *(GatedConv2d(wider, wider) for _ in range(2)),
        GatedConv2d(wider, wide, up=True),
        GatedConv2d(wide, wide),
        GatedConv2d(wide, width, up=True),
        GatedConv2d(width, thin),
        Float32(nn.Conv2d(thin, outputs, 3, padding=1)),
    )
    return initialise(layers, "he")


@final
class GatedInpainter(nn.Module):
    """A coarse network, and one that refines what it put into the holes; see the module for what goes in and out.

    Args:
        channels: Of the images.
        width: Channels of the largest map; 48 in the paper.
        base: What the coarse attempt is added to; the paper has none.
    """

    def __init__(self, channels: int, *, width: int = 12, base: Base = "smooth") -> None:
        super().__init__()
        self.base: Base = base
        self.coarse, self.fine = (gated(channels + 1, channels, width=width) for _ in range(2))

    @property
    def ends(self) -> list[nn.Module]:
        """The convolutions that make attempts."""
        return [self.coarse[-1], self.fine[-1]]

    def forward(self, image: Tensor, mask: Tensor) -> list[Tensor]:
        """The coarse attempt and the fine one."""
        height, width = image.shape[2:]
        start = begun(image, mask, self.base)
        coarse = start + self.coarse(torch.cat([start, mask], dim=1))[..., :height, :width]
        filled = image * (1 - mask) + coarse * mask
        fine = filled + self.fine(torch.cat([filled, mask], dim=1))[..., :height, :width]
        return [coarse, fine]


@final
class FourierUnit(nn.Module):
    """A 1x1 convolution, norm and ReLU of the Fourier transform of maps: every place sees all others.

    Source: Chi, Jiang, Mu 2020, section 3.3.
    """

    def __init__(self, channels: int, *, norm: MapNorm) -> None:
        super().__init__()
        conv = nn.Conv2d(2 * channels, 2 * channels, 1, bias=norm == "none")
        self.layers = nn.Sequential(*normed(conv, 2 * channels, norm=norm, axes=2), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        with torch.autocast(x.device.type, enabled=False):
            waves = torch.fft.rfft2(x.float(), norm="ortho")
            parts = torch.cat([waves.real, waves.imag], dim=1)  # (N, 2 C, H, W / 2 + 1)
        real, imaginary = self.layers(parts).float().chunk(2, dim=1)
        with torch.autocast(x.device.type, enabled=False):
            return torch.fft.irfft2(torch.complex(real, imaginary), s=x.shape[2:], norm="ortho").to(x.dtype)


@final
class SpectralTransform(nn.Module):
    """1x1 convolution to half the channels, norm, ReLU, x + Fourier unit of x, 1x1 convolution."""

    def __init__(self, before: int, after: int, *, norm: MapNorm) -> None:
        super().__init__()
        hidden = max(after // 2, 1)
        first = nn.Conv2d(before, hidden, 1, bias=norm == "none")
        self.first = nn.Sequential(*normed(first, hidden, norm=norm, axes=2), nn.ReLU())
        self.unit = FourierUnit(hidden, norm=norm)
        self.last = nn.Conv2d(hidden, after, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, H, W)."""
        x = self.first(x)
        return self.last(x + self.unit(x))


@final
class FourierConv(nn.Module):
    """A 3x3 convolution in which a share of the channels, the global ones, go through a Fourier transform; norm, ReLU.

        local  = relu(norm(conv_ll(local) + conv_gl(global)))
        global = relu(norm(conv_lg(local) + spectral(global)))

    Args:
        local: Local channels, in and out; the others are global.
        channels: All of them.
        norm: Norm of every part.
    """

    def __init__(self, local: int, channels: int, *, norm: MapNorm) -> None:
        super().__init__()
        self.local = local
        self.from_local = nn.Conv2d(local, channels, 3, padding=1, padding_mode="reflect", bias=norm == "none")
        self.to_local = nn.Conv2d(channels - local, local, 3, padding=1, padding_mode="reflect", bias=False)
        self.spectral = SpectralTransform(channels - local, channels - local, norm=norm)
        self.finish = nn.Sequential(*normed(nn.Identity(), channels, norm=norm, axes=2), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape; the local channels come first."""
        near, far = x[:, : self.local], x[:, self.local :]
        return self.finish(self.from_local(near) + torch.cat([self.to_local(far), self.spectral(far)], dim=1))


@final
class FourierBlock(nn.Module):
    """x + two Fourier convolutions of x."""

    def __init__(self, local: int, channels: int, *, norm: MapNorm) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(FourierConv(local, channels, norm=norm) for _ in range(2)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return x + self.layers(x)


@final
class FourierInpainter(nn.Module):
    """A 7x7 convolution, halvings, residual Fourier blocks, doublings, 7x7; see the module for what goes in and out.

    Args:
        channels: Of the images.
        width: Channels of the largest map, doubled at each halving; 64 in the paper.
        downs: Halvings; 3 in the paper. Images of less than 2^(downs + 1) pixels a side have no room for them.
        blocks: Residual blocks; 9 in the paper, 18 in its big network.
        share: Of the channels that are global; 0.75 in the paper.
        norm: Norm of all layers but the last.
        base: What the attempt is added to; the paper has none.
    """

    def __init__(
        self,
        channels: int,
        *,
        width: int = 16,
        downs: int = 2,
        blocks: int = 4,
        share: float = 0.75,
        norm: MapNorm = "batch",
        base: Base = "smooth",
    ) -> None:
        super().__init__()
        self.base: Base = base
        sizes = ladder(width, downs + 1, widest=2**downs)
        local = min(max(round((1 - share) * sizes[-1]), 1), sizes[-1] - 1)

        def layer(conv: nn.Module, after: int) -> nn.Sequential:
            return nn.Sequential(*normed(conv, after, norm=norm, axes=2), nn.ReLU())

        has_bias = norm == "none"
        self.first = layer(nn.Conv2d(channels + 1, width, 7, bias=has_bias), width)
        self.downs = nn.ModuleList(
            layer(nn.Conv2d(before, after, 3, stride=2, padding=1, bias=has_bias), after)
            for before, after in pairwise(sizes)
        )
        self.blocks = nn.Sequential(*(FourierBlock(local, sizes[-1], norm=norm) for _ in range(blocks)))
        self.ups = nn.Sequential(
            *(
                layer(nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1, bias=has_bias), after)
                for before, after in pairwise(sizes[::-1])
            )
        )
        self.last = Float32(nn.Conv2d(width, channels, 7))

    @property
    def ends(self) -> list[nn.Module]:
        """The convolution that makes the attempt."""
        return [self.last]

    def forward(self, image: Tensor, mask: Tensor) -> list[Tensor]:
        """The one attempt."""
        height, width = image.shape[2:]
        start = begun(image, mask, self.base)
        x = self.first(pad(torch.cat([start, mask], dim=1), (3, 3, 3, 3), mode="reflect"))
        for down in self.downs:
            x = down(evened(x))
        x = self.ups(self.blocks(x))[..., :height, :width]
        return [start + self.last(pad(x, (3, 3, 3, 3), mode="reflect"))]
