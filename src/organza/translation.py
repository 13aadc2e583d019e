"""What families that make images from images share: step sizes, and random crops that move both sides alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn.functional import affine_grid, grid_sample
from torch.optim import Adam

from organza.data.spec import ImageSpec, Spec
from organza.errors import UsageError
from organza.game import Batch, Player
from organza.recipe import Recipe, Sources
from organza.schedules import linear

COLUMNS = 3
"""Uniform numbers per sample: where the crop lies, down and across, and whether it is mirrored."""


@dataclass(frozen=True, kw_only=True)
class Translation(Recipe):
    """Fields and parts of such a family."""

    accepts: ClassVar[tuple[type[Spec], ...]] = (ImageSpec,)
    needs_sources: ClassVar[Sources] = "any"

    jitter: float = 0.0
    """Images are enlarged by this share and cut at a random place; 30 / 256 in the papers."""
    flip: bool = False
    """Whether half of the images are mirrored."""
    generator_lr: float = 1e-3
    """Adam step size of the generator at the start."""
    critic_lr: float = 1e-3
    """Adam step size of the critic at the start."""
    decay_from: float = 0.5
    """Share of the budget after which step sizes fall in a straight line."""
    final_rate: float = 0.02
    """Share of the step sizes that is left at the end."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's decay rates of the first and second moment."""
    halflife: float = 1e5
    """Of the averaged generator, in samples; at most a twentieth of the samples seen. 0: no average."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.jitter < 0:
            raise UsageError(f"jitter must be at least 0; got {self.jitter}")

    def player(self, network: nn.Module, lr: float, halflife: float) -> Player:
        """A player whose step size stays for a while and then falls in a straight line."""
        adam = Adam(network.parameters(), lr, betas=self.betas, fused=True)
        rate = linear(lr, lr * self.final_rate, begin=self.decay_from)
        return Player(network, adam, lr=rate, halflife=halflife or None, ramp=0.05)

    def moved(self, batch: Batch) -> Batch:
        """The batch with both sides cropped and mirrored; it holds the noise `jitter`, (N, COLUMNS)."""
        return jittered(batch, ("source", "image"), enlarge=self.jitter, flip=self.flip)


def jittered(batch: Batch, keys: tuple[str, ...], *, enlarge: float, flip: bool) -> Batch:
    """Images enlarged by a share and cut to their size at a random place, half of them mirrored.

    Args:
        batch: Holds images (N, C, H, W), of any size each, and the noise `jitter` (N, COLUMNS) in [0, 1).
        keys: Which of its images; those of one sample move together.
        enlarge: 0 leaves the size; 30 / 256 is the resizing to 286 pixels and cutting to 256 of pix2pix.
        flip: Whether to mirror.

    Source: Isola et al. 2017 (arXiv:1611.07004), appendix 6.2.
    """
    if not enlarge and not flip:
        return batch
    noise, scale = batch["jitter"], 1 / (1 + enlarge)
    mirror = torch.where(noise[:, 2] < 0.5, -1.0, 1.0) if flip else torch.ones_like(noise[:, 2])
    down, across = ((2 * noise[:, axis] - 1) * (1 - scale) for axis in (0, 1))
    zero, kept = torch.zeros_like(mirror), torch.full_like(mirror, scale)
    rows = torch.stack([scale * mirror, zero, across, zero, kept, down], dim=1).view(-1, 2, 3)
    moved: Batch = {}
    for key in keys:
        places = affine_grid(rows, list(batch[key].shape), align_corners=False)
        moved[key] = grid_sample(batch[key], places, padding_mode="reflection", align_corners=False)
    return batch | moved
