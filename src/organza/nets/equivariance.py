"""Equivariance of alias-free generators: how well moving or turning the input is moving or turning the image.

Karras, Aittala, Laine, Härkönen, Hellsten, Lehtinen, Aila 2021, StyleGAN3 (arXiv:2106.12423).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d, embedding_bag, pad

from organza.errors import UsageError
from organza.nets.style3 import AliasFreeGenerator, kaiser_beta, origin

REACH = 8
"""Of the filter that turns images, in pixels."""


@torch.no_grad()
def translation_equivariance(generator: AliasFreeGenerator, w: Tensor, *shifts: tuple[float, float]) -> float:
    """EQ-T in dB: how well moving the input's features is moving the image. Higher is better; 60 is all but exact.

        10 log10(4 / mean (T image - image of the moved features)^2), over pixels whose origin is inside the image

    Args:
        generator: In evaluation mode.
        w: (N, num_ws, w_size).
        shifts: Pixels down and to the right, each for all of w; parts of pixels by an interpolating low-pass filter of
            16 taps.

    Raises:
        UsageError: No pixel of the image is known after a shift.

    Source: Karras et al. 2021.
    """
    image = generator.synthesis(w)
    pairs: list[tuple[Tensor, Tensor]] = []
    for shift in shifts:
        expected, reach = translated(image, shift)
        inner = (..., slice(reach, max(image.shape[2] - reach, 0)), slice(reach, max(image.shape[3] - reach, 0)))
        pairs.append((expected[inner], generator.synthesis(w, shift)[inner]))
    return decibels(pairs)


@torch.no_grad()
def rotation_equivariance(generator: AliasFreeGenerator, w: Tensor, *angles: float) -> float:
    """EQ-R in dB: as `translation_equivariance`, of turning the input's features about the middle of the image.

    A turned square of frequencies is another square, so both images are compared through the same filter, which keeps
    what both squares hold, see `turned`; what it costs the image it costs the error, too.

    Args:
        generator: In evaluation mode.
        w: (N, num_ws, w_size).
        angles: In radians, each for all of w; the paper draws them uniformly from the whole circle.

    Raises:
        UsageError: The image is too small, 16 pixels or fewer on a side.

    Source: Karras et al. 2021; the filter there is another.
    """
    image = generator.synthesis(w)
    return decibels([(turned(image, angle), turned(generator.synthesis(w, angle=angle), 0.0)) for angle in angles])


def decibels(pairs: list[tuple[Tensor, Tensor]]) -> float:
    """Peak signal to noise of values in [-1, 1]: 10 log10(4 / mean squared difference) over all pairs at once."""
    if not pairs:
        raise UsageError("nothing to compare: give one shift or angle at least")
    if not all(expected.numel() for expected, _ in pairs):
        raise UsageError(
            "no pixel is left to compare: filters take up to 9 from each side, and a shift as much as it moves; take "
            "larger images (organza train --resize 32) or smaller shifts"
        )
    return float(10 * torch.log10(4 / torch.cat([(a - b).double().square().flatten() for a, b in pairs]).mean()))


def turned(image: Tensor, angle: float) -> Tensor:
    """What images (N, C, H, W) show after a turn about their middle, at the pixels that are known at any angle.

    Interpolated by a radial low-pass filter of 16 taps across, a jinc in a Kaiser window, which acts alike at every
    angle: it passes a quarter of a cycle per pixel and stops at a half.

    Returns:
        float64, (pixels, N C): those at least `REACH` inside the largest circle that the image holds.
    """
    height, width = image.shape[2:]
    axes = [torch.arange(size, dtype=torch.float64, device=image.device) - (size - 1) / 2 for size in (height, width)]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=2)
    places = places[places.norm(dim=2) <= min(height, width) / 2 - REACH]
    size = places.new_tensor([height, width])
    sources = origin(places, (0.0, 0.0), angle) + (size - 1) / 2
    taps = torch.arange(1 - REACH, REACH + 1, device=image.device)
    near = sources.floor()[:, None] + torch.cartesian_prod(taps, taps)  # (pixels, taps, 2)
    radius = (near - sources[:, None]).norm(dim=2).clamp_min(1e-9)
    window = torch.special.i0(kaiser_beta(2 * REACH, 0.5) * (1 - (radius / REACH).square()).clamp_min(0).sqrt())
    weight = torch.special.bessel_j1(2 * math.pi * 0.375 * radius) / radius * window * (radius < REACH)
    index = near.clamp_min(0).minimum(size - 1) @ places.new_tensor([width, 1.0])  # what is outside weighs nothing
    table = image.permute(2, 3, 0, 1).flatten(0, 1).flatten(1).double()
    weight = weight / weight.sum(1, keepdim=True)
    return embedding_bag(index.long(), table, per_sample_weights=weight, mode="sum")


def translated(image: Tensor, shift: tuple[float, float]) -> tuple[Tensor, int]:
    """The images moved down and to the right, and how far from the edge the result is right."""
    reach = 0
    for axis, amount in ((2, shift[0]), (3, shift[1])):
        whole = math.floor(amount)
        image, reach = image.roll(whole, axis), max(reach, abs(whole))
        if amount != whole:
            place = torch.arange(-7, 9, dtype=torch.float64) - (amount - whole)
            window = torch.special.i0(8 * (1 - (place / 8.5).square()).clamp_min(0).sqrt())
            taps = torch.sinc(place) * window
            kernel = (taps / taps.sum()).flip(0).to(image).view(1, 1, *((-1, 1) if axis == 2 else (1, -1)))
            padded = pad(image, (0, 0, 8, 7) if axis == 2 else (8, 7, 0, 0))
            image = conv2d(padded, kernel.expand(image.shape[1], -1, -1, -1), groups=image.shape[1])
            reach = max(reach, abs(whole) + 9)
    return image, reach
