"""Sliced Wasserstein distance: a cheap, parameter-free distance between two clouds of points."""

from __future__ import annotations

import torch
from torch import Tensor


def sliced_wasserstein(x: Tensor, y: Tensor, *, projections: int = 128, seed: int = 0) -> float:
    """The root mean square, over random directions, of the 2-Wasserstein distance between the projected clouds.

    In one dimension the best transport pairs sorted values, so each direction costs one sort.

    Args:
        x: Points (N, D), any shape after the first axis; flattened.
        y: As many points of the same shape.
        projections: How many random unit directions.
        seed: Determines them.

    Returns:
        A distance >= 0 in input units; 0 for identical clouds. It shrinks with N even for two draws of one
        distribution, so compare values at the same N only.

    Source: Rabin, Peyre, Delon, Bernot 2011, "Wasserstein barycenter and its application to texture mixing".
    """
    x, y = x.flatten(1).double().cpu(), y.flatten(1).double().cpu()
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(x.shape[1], projections, generator=generator, dtype=torch.float64)
    directions /= directions.norm(dim=0)
    gap = (x @ directions).sort(dim=0).values - (y @ directions).sort(dim=0).values
    return float(gap.square().mean().sqrt())
