"""Older fakes beside new ones: what a critic has learned about them is not forgotten.

Source: Shrivastava et al. 2017 (arXiv:1612.07828), section 2.3; in CycleGAN Zhu et al. 2017 (arXiv:1703.10593).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn


@final
class History(nn.Module):
    """Gives back each fake or, half of the time, an older one that it takes the place of. Belongs into `Game.extras`.

    Every position of a batch has older fakes of its own, so that neither micro-batches nor the number of ranks change
    what is given back. On several ranks each keeps those of its own positions until they are merged for a checkpoint.

    Args:
        shape: Of a sample.
        rows: Samples per batch, over all ranks.
        depth: Older fakes for each of them; 0: none, and fakes come back as they are.
    """

    images: Tensor
    filled: Tensor
    own: Tensor

    def __init__(self, shape: tuple[int, ...], *, rows: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.register_buffer("images", torch.zeros(rows, depth, *shape))
        self.register_buffer("filled", torch.zeros(rows, dtype=torch.int64))
        self.register_buffer("own", torch.zeros(rows, dtype=torch.int64), persistent=False)

    @torch.no_grad()
    def forward(self, fake: Tensor, position: Tensor, noise: Tensor) -> Tensor:
        """Fakes (N, *shape), their positions in the batch (N,), uniform numbers (N, 2): fakes without gradients.

        The first `depth` fakes of a position are kept and given back. Then the first number says whether an older one
        is given back, the second which.
        """
        fake = fake.detach()
        if not self.depth:
            return fake
        filled = self.filled[position]
        is_new = filled < self.depth
        slot = torch.where(is_new, filled, (noise[:, 1] * self.depth).long().clamp(max=self.depth - 1))
        is_swapped = ~is_new & (noise[:, 0] < 0.5)
        wide = (-1, *[1] * (fake.ndim - 1))
        older = self.images[position, slot].to(fake.dtype)
        self.images[position, slot] = torch.where((is_new | is_swapped).view(wide), fake, older).to(self.images)
        self.filled[position] = filled + is_new
        self.own[position] = 1
        return torch.where(is_swapped.view(wide), older, fake)

    @torch.no_grad()
    def join_ranks(self, add_up: Callable[[Tensor], None]) -> None:
        """Take over what other ranks keep of their positions; `add_up` replaces a tensor by its sum over all ranks."""
        owners = self.own.clone()
        add_up(owners)
        for kept in (self.images, self.filled):
            wide = (-1, *[1] * (kept.ndim - 1))
            summed = kept * self.own.view(wide)
            add_up(summed)
            kept.copy_(torch.where(owners.view(wide) > 0, summed, kept))
