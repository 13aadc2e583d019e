"""Pictures of rows and columns: what truncation, the mixing of styles, classes and directions do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from organza.data.source import encode
from organza.errors import UsageError
from organza.game import Request
from organza.latent.space import Space, WSpace
from organza.pictures import Picture, grid


def truncation_sheet(
    space: Space, values: Sequence[float], *, count: int = 6, seed: int = 0, labels: Tensor | None = None
) -> Picture:
    """Rows: samples of a seed; columns: truncations, as the family's own `generate` understands them.

    Args:
        space: Either.
        values: Truncations, at least 0 and finite.
        count: Rows.
        seed: Row i shows sample i of it.
        labels: Class indices (count,), or None.
    """
    if not values or not all(0 <= value < float("inf") for value in values):
        raise UsageError(f"truncations must be at least 0 and finite; got {', '.join(map(str, values)) or 'none'}")
    columns = []
    for value in values:
        made = space.game.generate(Request(count, seed=seed, labels=labels, truncation=value))
        columns.append(made[space.spec.key])
    return sheet(space, torch.stack(columns, dim=1))


def style_sheet(space: Space, rows: Tensor, columns: Tensor, *, crossover: int | None = None) -> tuple[Picture, int]:
    """Rows give the coarse styles (layers below `crossover`), columns the fine ones; the margins show both unmixed.

    Args:
        space: W; another is refused.
        rows: W (R, num_ws, w_size).
        columns: W (C, num_ws, w_size).
        crossover: First layer that obeys the column; None: a third of the layers.

    Returns:
        A picture of R + 1 rows and C + 1 columns, and the crossover. Source: Karras et al. 2019 (arXiv:1812.04948).

    Raises:
        UsageError: There is no W, or no such layer.
    """
    if not isinstance(space, WSpace):
        raise UsageError(
            "mixing styles needs W, and this generator has no mapping to it, as those of stylegan2 and stylegan3 have"
        )
    layers = space.styled.num_ws
    crossover = max(1, layers // 3) if crossover is None else crossover
    if not 0 < crossover < layers:
        raise UsageError(
            f"--crossover must be from 1 to {layers - 1}, for this generator has {layers} layers; got {crossover}"
        )
    mixed = [torch.cat([row[:crossover], column[crossover:]]) for row in rows for column in columns]
    made = space.images(torch.cat([rows, columns, torch.stack(mixed)]))
    left, top, inner = made.split([len(rows), len(columns), len(mixed)])
    corner = torch.ones_like(left[:1])
    body = torch.cat([left[:, None], inner.view(len(rows), len(columns), *inner.shape[1:])], dim=1)
    return sheet(space, torch.cat([torch.cat([corner, top])[None], body])), crossover


def direction_sheet(
    space: Space,
    point: Tensor,
    vectors: Tensor,
    *,
    labels: Tensor | None = None,
    reach: float = 3.0,
    columns: int = 7,
    layers: slice = slice(None),
) -> Picture:
    """Rows: one point (1, ...) moved along each of the vectors (K, D); columns: from -reach to reach."""
    amounts = torch.linspace(-reach, reach, columns)
    points = point.expand(columns, *point.shape[1:])
    moved = torch.cat([space.moved(points, vector, amounts, layers=layers) for vector in vectors])
    told = None if labels is None else labels[:1].expand(len(moved))
    return grid(space.pictures(moved, told), columns=columns)


def sheet(space: Space, images: Tensor) -> Picture:
    """Images (rows, columns, C, H, W) in [-1, 1] as a picture."""
    return grid(encode(images.flatten(0, 1), space.spec), columns=images.shape[1])


def frames_sheet(frames: np.ndarray) -> Picture:
    """Frames (F, N, H, W, C) as a picture: a row for each of the N, a column for each frame."""
    return grid(frames.swapaxes(0, 1).reshape(-1, *frames.shape[2:]), columns=len(frames))
