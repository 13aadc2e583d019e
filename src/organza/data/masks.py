"""Holes for inpainting: free-form strokes and boxes, as functions of a seed per sample.

A mask is where a field is negative: the distance to the nearest shape, in pixels, below 0 inside of it. A stroke is a
chain of line segments of one width, with round joints; a box has straight sides. Where shapes cover more than the share
that is allowed, the field is cut lower: all shapes shrink from their edges until they fit.

Source of the idea: Yu et al. 2019 (arXiv:1806.03589), algorithm 1; thin, medium and thick masks: Suvorov et al. 2022
(arXiv:2109.07161), appendix C. Differs: lengths are shares of the image's shorter side, so that a kind is the same at
all resolutions; there are fewer and longer strokes; the area is limited.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor

from organza.data.images import recolour
from organza.noise import seeded_uniform

Kind = Literal["thin", "medium", "thick"]
Range = tuple[float, float]


@final
@dataclass(frozen=True, kw_only=True)
class Shapes:
    """What masks of a kind are made of: from least to most; lengths are shares of the shorter side."""

    strokes: tuple[int, int]
    """How many."""
    length: Range
    """Of each segment of a stroke."""
    width: Range
    """Of a stroke."""
    boxes: tuple[int, int]
    """How many."""
    side: Range
    """Of a box."""
    box_share: float
    """Share of the masks that are made of boxes and not of strokes."""


KINDS: dict[str, Shapes] = {
    "thin": Shapes(
        strokes=(2, 5), length=(0.1, 0.4), width=(0.02, 0.06), boxes=(2, 5), side=(0.05, 0.2), box_share=0.1
    ),
    "medium": Shapes(
        strokes=(1, 4), length=(0.1, 0.4), width=(0.06, 0.16), boxes=(1, 4), side=(0.1, 0.35), box_share=0.3
    ),
    "thick": Shapes(strokes=(1, 3), length=(0.1, 0.4), width=(0.16, 0.4), boxes=(1, 3), side=(0.2, 0.6), box_share=0.5),
}
SEGMENTS = 4
"""Of every stroke."""
TURN = 0.4
"""A segment turns by at most so much of half a circle from the one before."""
LEAST = 1.5
"""Width of a stroke and side of a box in pixels, at least: so each covers a pixel's centre."""
STROKES = max(shapes.strokes[1] for shapes in KINDS.values())
BOXES = max(shapes.boxes[1] for shapes in KINDS.values())
PER_STROKE = 3 + 2 * SEGMENTS
"""Start (2), width, and for each segment a turn and a length."""
PER_BOX = 4
"""Height and width, and where it lies."""
COLUMNS = 3 + STROKES * PER_STROKE + BOXES * PER_BOX
"""Uniform numbers per mask: its kind, strokes or boxes, how many, and the shapes."""


@final
@dataclass(frozen=True)
class Masks:
    """Masks of some kinds, each as likely as the others, of which a part of the area is covered at most.

    Args:
        kinds: At least one.
        most: Share of the area.
    """

    kinds: Sequence[Kind] = ("thin", "medium", "thick")
    most: float = 0.5

    def __call__(self, seeds: Tensor, height: int, width: int) -> Tensor:
        """Masks (N, 1, H, W) from seeds (N,), see `noise.py`: 1 in the holes, 0 elsewhere, float32."""
        field = self.field(seeded_uniform(seeds, COLUMNS), height, width)
        # At most so many pixels as are allowed lie below the value that comes after them in order.
        allowed = math.floor(self.most * height * width)
        limit = field.flatten(1).sort(dim=1).values[:, min(allowed, height * width - 1)].clamp(max=0)
        return (field < limit[:, None, None]).float()[:, None]

    def field(self, numbers: Tensor, height: int, width: int) -> Tensor:
        """Distances of pixels to the nearest shape, (N, H, W), from numbers (N, `COLUMNS`): negative inside."""
        chosen, rest = numbers[:, :3], numbers[:, 3:]
        strokes, boxes = rest.split([STROKES * PER_STROKE, BOXES * PER_BOX], dim=1)
        kind = (chosen[:, 0] * len(self.kinds)).long()

        def limits(name: str) -> Tensor:
            table = torch.tensor([getattr(KINDS[one], name) for one in self.kinds], device=numbers.device)
            return table.float()[kind][:, None]  # (N, 1, 2), or (N, 1)

        takes_boxes = chosen[:, 1:2] < limits("box_share")
        extent = torch.tensor([height, width], device=numbers.device, dtype=torch.float32)
        points, radius = paths(strokes.view(-1, STROKES, PER_STROKE), limits("length"), limits("width"), extent)
        radius = radius.masked_fill(takes_boxes | ~among(chosen[:, 2:], limits("strokes"), STROKES), -torch.inf)
        corner, size = rectangles(boxes.view(-1, BOXES, PER_BOX), limits("side"), extent)
        absent = ~takes_boxes | ~among(chosen[:, 2:], limits("boxes"), BOXES)
        field = torch.full((len(numbers), height, width), torch.inf, device=numbers.device)
        for index in range(BOXES):
            distance = box_distance(corner[:, index], size[:, index], height, width)
            field = field.minimum(distance.masked_fill(absent[:, index, None, None], torch.inf))
        for index in range(STROKES):
            distance = path_distance(points[:, index], height, width)
            field = field.minimum(distance - radius[:, index, None, None])
        return field


def is_hole(images: np.ndarray) -> np.ndarray:
    """Where stored RGBA images (..., 4) are to be filled: alpha is below one half."""
    return images[..., 3] <= np.iinfo(images.dtype).max // 2


def is_light(mask: np.ndarray) -> np.ndarray:
    """Where a stored picture (H, W, C) is light, (H, W): what it shows, laid over black, is above one half."""
    top = np.iinfo(mask.dtype).max
    light = recolour(mask[..., :3] if mask.shape[2] > 3 else mask, 1)[..., 0].astype(np.float32) / top
    return light * (mask[..., 3] / top if mask.shape[2] == 4 else 1) > 0.5


def between(u: Tensor, limits: Tensor) -> Tensor:
    """Uniform numbers (N, ...) spread over limits (N, 1, 2)."""
    low, high = limits.view(len(u), 2, *[1] * (u.ndim - 1)).unbind(1)
    return low + (high - low) * u


def among(u: Tensor, limits: Tensor, most: int) -> Tensor:
    """Which of `most` shapes are there, (N, most): a whole number of them within the limits (N, 1, 2), by u (N, 1)."""
    low, high = limits.unbind(2)
    return torch.arange(most, device=u.device) < (low + (high - low + 1) * u).floor()


def paths(u: Tensor, length: Tensor, width: Tensor, extent: Tensor) -> tuple[Tensor, Tensor]:
    """Strokes from uniform numbers (N, K, `PER_STROKE`): points (N, K, `SEGMENTS` + 1, 2) and half widths (N, K).

    A stroke turns a little from segment to segment, and is reflected where it would leave the image.
    """
    start, broad, moves = u.split([2, 1, 2 * SEGMENTS], dim=2)
    turn, reach = moves.unflatten(2, (SEGMENTS, 2)).unbind(3)
    share = torch.tensor([1.0] + [TURN] * (SEGMENTS - 1), device=u.device)  # the first may go anywhere
    angle = (math.pi * share * (2 * turn - 1)).cumsum(2)
    step = (extent.min() * between(reach, length))[..., None] * torch.stack([angle.sin(), angle.cos()], dim=3)
    points = torch.cat([torch.zeros_like(step[:, :, :1]), step.cumsum(2)], dim=2) + (start * extent)[:, :, None]
    points = extent - (extent - points.remainder(2 * extent)).abs()
    return points, (extent.min() * between(broad, width)).clamp_min(LEAST).squeeze(2) / 2


def rectangles(u: Tensor, side: Tensor, extent: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes from uniform numbers (N, K, `PER_BOX`): their top left corners and their sizes, (N, K, 2) each."""
    size = (extent.min() * between(u[:, :, :2], side)).clamp_min(LEAST).minimum(extent)
    return u[:, :, 2:] * (extent - size), size


def offsets(point: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """From points (N, 2) to the centres of all pixels: rows (N, H, 1) and columns (N, 1, W)."""
    rows, columns = (torch.arange(side, device=point.device) + 0.5 for side in (height, width))
    return (rows - point[:, :1])[:, :, None], (columns - point[:, 1:])[:, None, :]


def box_distance(corner: Tensor, size: Tensor, height: int, width: int) -> Tensor:
    """How far pixels are from the sides of boxes, (N, H, W): by rows or by columns, negative inside."""
    rows, columns = offsets(corner + size / 2, height, width)
    half = size[:, :, None, None] / 2
    return (rows.abs() - half[:, 0]).maximum(columns.abs() - half[:, 1])


def path_distance(points: Tensor, height: int, width: int) -> Tensor:
    """How far pixels are from chains of line segments between points (N, K, 2), (N, H, W)."""
    nearest = torch.full((len(points), height, width), torch.inf, device=points.device)
    for first, last in pairwise(points.unbind(1)):
        rows, columns = offsets(first, height, width)
        row, column = ((last - first)[:, axis, None, None] for axis in (0, 1))
        square = (row.square() + column.square()).clamp_min(1e-12)
        along = (rows * (row / square) + columns * (column / square)).clamp(0, 1)  # share of the way to the last point
        down, right = torch.addcmul(rows, along, row, value=-1), torch.addcmul(columns, along, column, value=-1)
        nearest = nearest.minimum(torch.addcmul(down.square(), right, right))
    return nearest.sqrt()
