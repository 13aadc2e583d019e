"""How large images stand in their frame, and where: found without pairs.

Two kinds of images stand alike if their means do, and the deviations of their pixels; the mean of moved images is the
mean, moved. So a zoom and a shift are learned from running means, without a critic.

Source: the sampler of Jaderberg, Simonyan, Zisserman, Kavukcuoglu 2015 (arXiv:1506.02025), section 3; the rest is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

STILL = 0.05
"""Weight of the squared zoom and shift: kinds that have no frame in common stay where they are."""


@final
class Frame(nn.Module):
    """Zooms and shifts images (N, C, H, W) of any size, all alike, at first not at all; learned by `Means`.

    At x in [-1, 1] across is what was at (1 + zoom) x + shift, and so down.
    """

    def __init__(self) -> None:
        super().__init__()
        self.zoom = nn.Parameter(torch.zeros(2))
        self.shift = nn.Parameter(torch.zeros(2))

    def forward(self, source: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape, without gradients for zoom and shift."""
        return sampled(source, rows(1 + self.zoom.detach(), self.shift.detach()))

    def undone(self, image: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape, moved back: the inverse, but for what has left the frame."""
        zoom, shift = 1 + self.zoom.detach(), self.shift.detach()
        return sampled(image, rows(1 / zoom, -shift / zoom))


@final
class Means(nn.Module):
    """Running means of two kinds of images, and of their squares. Belongs into `Game.extras`.

    On several ranks each has those of the images that it has seen itself, until they are merged for a checkpoint.

    Args:
        height: Of the images.
        width: Likewise.
    """

    means: Tensor
    count: Tensor

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("means", torch.zeros(2, 2, height, width))
        self.register_buffer("count", torch.zeros(()))

    @torch.no_grad()
    def observe(self, source: Tensor, image: Tensor) -> None:
        """Add batches of both kinds, (N, C, H, W) each."""
        self.count += len(image)
        share = len(image) / self.count
        for kind, batch in enumerate((source, image)):
            gray = batch.float().mean(1)
            self.means[kind].lerp_(torch.stack([gray.mean(0), gray.square().mean(0)]), share)

    @torch.no_grad()
    def join_ranks(self, add_up: Callable[[Tensor], None]) -> None:
        """The mean over all ranks, which have seen equally many; `add_up` replaces a tensor by its sum over them."""
        ranks = torch.ones_like(self.count)
        add_up(ranks)
        add_up(self.means)
        self.means /= ranks

    def unlikeness(self, frame: Frame) -> Tensor:
        """How unlike means and deviations of framed sources are to those of the images, from 0 to 1: a scalar.

        One less the squared correlation over pixels, so that kinds of opposite or other brightness stand alike, too.
        Large zooms and shifts cost besides.
        """
        mean, square = self.means.unbind(1)
        maps = torch.stack([mean, (square - mean.square()).clamp(min=0).add(1e-6).sqrt()], dim=1)
        moved, wanted = sampled(maps[:1], rows(1 + frame.zoom, frame.shift)), maps[1:]
        a, b = (x - x.mean((2, 3), keepdim=True) for x in (moved, wanted))
        powers = a.square().sum((2, 3)) * b.square().sum((2, 3))
        apart = 1 - (a * b).sum((2, 3)).square() / powers.clamp(min=1e-12)
        return apart.mean() + STILL * (frame.zoom.square().sum() + frame.shift.square().sum())


def rows(scale: Tensor, shift: Tensor) -> Tensor:
    """The affine map x to scale x + shift, (2,) each: across and down, as (1, 2, 3)."""
    return torch.cat([torch.diag(scale), shift[:, None]], dim=1)[None]


def sampled(images: Tensor, rows: Tensor, *, is_mirrored: bool = False) -> Tensor:
    """Images (N, C, H, W): at x in [-1, 1] what was where rows, (1, 2, 3) or (N, 2, 3), send it; in float32.

    Interpolated. Beyond the edge are the edge's pixels, or the image mirrored.
    """
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 knows no pixels beyond the 256th
        places = affine_grid(rows.float().expand(len(images), 2, 3), list(images.shape), align_corners=False)
        if is_mirrored:
            return grid_sample(images.float(), places, padding_mode="reflection", align_corners=False)
        last = 1 - 1 / torch.tensor(images.shape[:1:-1], device=images.device)  # padding "border", on every device
        return grid_sample(images.float(), places.clamp(-last, last), align_corners=False)
