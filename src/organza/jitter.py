"""Random crops and mirror images of training data, alike for an image and what it is made from."""

from __future__ import annotations

import torch
from torch.nn.functional import affine_grid, grid_sample

from organza.game import Batch

COLUMNS = 3
"""Uniform numbers per sample: where the crop lies, down and across, and whether it is mirrored."""


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
