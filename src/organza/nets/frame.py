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


@final
class Frame(nn.Module):
    """Zooms and shifts images (N, C, H, W), all alike, at first not at all.

    At x in [-1, 1] across is what was at (1 + zoom) x + shift, and so down. On several ranks each learns from the
    images that it has seen itself, until they are merged for a checkpoint.

    Args:
        height: Of the images that it learns from; it moves images of any size.
        width: Likewise.
    """

    means: Tensor
    count: Tensor

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.zoom = nn.Parameter(torch.zeros(2))
        self.shift = nn.Parameter(torch.zeros(2))
        self.register_buffer("means", torch.zeros(2, 2, height, width))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, source: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape; not what it learns by."""
        return sampled(source, 1 + self.zoom.detach(), self.shift.detach())

    def undone(self, image: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape, moved back: the inverse, but for what has left the frame."""
        zoom, shift = 1 + self.zoom.detach(), self.shift.detach()
        return sampled(image, 1 / zoom, -shift / zoom)

    @torch.no_grad()
    def observe(self, source: Tensor, image: Tensor) -> None:
        """Add batches of both kinds, (N, C, H, W) each, to what it has seen."""
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

    def unlikeness(self) -> Tensor:
        """How unlike the means and deviations of moved sources are to those of the images, from 0 to 1: a scalar.

        One less the squared correlation over pixels, so that kinds of opposite or other brightness stand alike, too.
        """
        mean, square = self.means.unbind(1)
        maps = torch.stack([mean, (square - mean.square()).clamp(min=0).add(1e-6).sqrt()], dim=1)
        moved, wanted = sampled(maps[:1], 1 + self.zoom, self.shift), maps[1:]
        a, b = (x - x.mean((2, 3), keepdim=True) for x in (moved, wanted))
        powers = a.square().sum((2, 3)) * b.square().sum((2, 3))
        return (1 - (a * b).sum((2, 3)).square() / powers.clamp(min=1e-12)).mean()


def sampled(image: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Images (N, C, H, W): at x in [-1, 1] what was at scale x + shift, (2,) each: across and down.

    Interpolated; what lies beyond the edge is the edge's pixels.
    """
    rows = torch.cat([torch.diag(scale.float()), shift.float()[:, None]], dim=1)
    places = affine_grid(rows.expand(len(image), 2, 3), list(image.shape), align_corners=False)
    return grid_sample(image.float(), places, padding_mode="border", align_corners=False)
