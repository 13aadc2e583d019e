"""Frames of a walk through a space: between points, along a direction, or from one class to another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from organza.errors import UsageError
from organza.generate import spherical
from organza.latent.space import Space, between_classes

Curve = Literal["auto", "linear", "spherical"]
"""auto: linear in W, spherical in Z, whose mass lies on a sphere."""


def between(here: Tensor, there: Tensor, share: float, *, curve: Curve) -> Tensor:
    """Points (N, ...) on the way: share 0 is `here`, 1 is `there`; linear, or over the sphere (auto: the latter)."""
    if curve == "linear":
        return torch.lerp(here, there, share)
    return spherical(here.flatten(1), there.flatten(1), share).view_as(here)


def walk(stops: Sequence[Tensor], *, frames: int, curve: Curve, loop: bool = True) -> list[Tensor]:
    """Points on the way from stop to stop.

    Args:
        stops: Two or more of shape (N, ...): N points walk side by side.
        frames: From each stop to the next.
        curve: linear or spherical.
        loop: Whether it goes on from the last stop to the first; else it ends at the last stop.

    Returns:
        frames x stops points with `loop`, frames x (stops - 1) + 1 without; the first is the first stop.
    """
    if len(stops) < 2 or frames < 1:
        raise UsageError(f"a walk needs at least 2 stops and 1 frame between them; got {len(stops)} and {frames}")
    ends = [*stops[1:], stops[0]] if loop else stops[1:]
    shares = [frame / frames for frame in range(frames)]
    legs = zip(stops, ends, strict=False)
    path = [between(here, there, share, curve=curve) for here, there in legs for share in shares]
    return path if loop else [*path, stops[-1]]


def swing(frames: int, *, loop: bool) -> list[float]:
    """Shares of a way there, and with `loop` back: 0 to 1 in `frames` steps, evenly, or as half a cosine for a loop."""
    if frames < 2:
        raise UsageError(f"a film needs at least 2 frames; got {frames}")
    if loop:
        return [(1 - math.cos(2 * math.pi * frame / frames)) / 2 for frame in range(frames)]
    return [frame / (frames - 1) for frame in range(frames)]


def walk_frames(
    space: Space,
    stops: Sequence[Tensor],
    *,
    labels: Tensor | None = None,
    frames: int = 16,
    curve: Curve = "auto",
    loop: bool = True,
) -> np.ndarray:
    """A walk as stored images, (F, N, H, W, C); arguments as for `walk`, labels (N,) stay the same."""
    if curve == "auto":
        curve = "linear" if space.kind == "w" else "spherical"
    path = walk(stops, frames=frames, curve=curve, loop=loop)
    return np.stack([space.pictures(points, labels) for points in path])


def direction_frames(
    space: Space,
    points: Tensor,
    vector: Tensor,
    *,
    labels: Tensor | None = None,
    reach: float = 3.0,
    frames: int = 32,
    layers: slice = slice(None),
    loop: bool = True,
) -> np.ndarray:
    """Points moved from -reach to reach along a vector (D,), and back with `loop`: (F, N, H, W, C)."""
    amounts = [reach * (2 * share - 1) for share in swing(frames, loop=loop)]
    moved = [space.moved(points, vector, torch.full((len(points),), amount), layers=layers) for amount in amounts]
    return np.stack([space.pictures(points, labels) for points in moved])


def class_frames(
    space: Space, count: int, *, here: int, there: int, shares: Sequence[float], seed: int = 0
) -> np.ndarray:
    """The same latents in classes between two: (len(shares), count, H, W, C). In W the mapping is told the mixed class.

    Raises:
        UsageError: The generator is not told classes, or only whole ones.
    """
    made = []
    with between_classes(space, here, there, shares) as mixed:
        for label in mixed:
            told = label.expand(count)
            made.append(space.pictures(space.draw(count, seed=seed, labels=told), told))
    return np.stack(made)
