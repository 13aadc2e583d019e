"""Masks: functions of their numbers, within their limits, and shapes that are where geometry says."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from organza.data.masks import KINDS, Masks, between, box_distance, path_distance, paths

kinds = pytest.mark.parametrize("kind", KINDS)


def drawn(kind: str, n: int, height: int, width: int) -> Tensor:
    return Masks((kind,))(torch.arange(n), height, width)  # type: ignore[arg-type]


@kinds
@pytest.mark.parametrize("size", [(5, 5), (28, 28), (64, 48), (37, 90)], ids=str)
def test_masks_of_any_size_cover_something_and_at_most_half(kind: str, size: tuple[int, int]) -> None:
    mask = drawn(kind, 80, *size)
    assert mask.shape == (80, 1, *size)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    share = mask.mean((1, 2, 3))
    assert float(share.min()) > 0
    assert float(share.max()) <= 0.5


def test_thick_masks_cover_more_than_thin_ones_and_reach_deeper() -> None:
    def depth(mask: Tensor) -> float:
        """Pixels from the middle of a hole to its edge: the mean of how often it can be eroded."""
        left, total = mask, 0.0
        while float(left.max()) > 0:
            left = -torch.nn.functional.max_pool2d(-left, 3, stride=1, padding=1)
            total += float(left.amax((1, 2, 3)).mean())
        return total

    masks = [drawn(kind, 40, 48, 48) for kind in ("thin", "medium", "thick")]
    shares, depths = [float(mask.mean()) for mask in masks], [depth(mask) for mask in masks]
    assert shares == sorted(shares)
    assert depths == sorted(depths)
    assert depths[2] > 3 * depths[0]


def test_a_mask_depends_on_its_own_seed_only() -> None:
    masks = Masks()
    seeds = torch.arange(9)
    parts = torch.cat([masks(part, 20, 31) for part in seeds.split(4)])
    assert torch.equal(masks(seeds, 20, 31), parts)


def test_all_kinds_are_drawn_and_the_limit_is_that_which_is_set() -> None:
    seeds = torch.arange(50)
    small, whole = Masks(most=0.1)(seeds, 32, 32), Masks()(seeds, 32, 32)
    assert float(small.mean((1, 2, 3)).max()) <= 0.1
    assert bool((small <= whole).all())  # shapes shrink; nothing is covered anew
    alone = [Masks((kind,))(seeds, 32, 32) for kind in KINDS]  # type: ignore[arg-type]
    taken = torch.stack([(whole == mask).all(3).all(2)[:, 0] for mask in alone])
    assert bool(taken.any(0).all())
    assert int(taken.sum(1).min()) > 5


@kinds
def test_the_same_seed_is_the_same_mask_at_every_resolution(kind: str) -> None:
    seeds, masks = torch.arange(40), Masks((kind,))  # type: ignore[arg-type]
    large, small = masks(seeds, 128, 128), masks(seeds, 64, 64)
    assert float((large[..., ::2, ::2] - small).abs().mean()) < 0.05


def test_the_distance_to_a_path_is_that_of_geometry() -> None:
    points = torch.tensor([[[2.5, 2.5], [2.5, 6.5], [5.5, 6.5]]])
    distance = path_distance(points, 10, 10)[0]
    assert float(distance[2, 4]) == 0
    assert float(distance[0, 4]) == pytest.approx(2)
    assert float(distance[4, 9]) == pytest.approx(3)
    assert float(distance[0, 0]) == pytest.approx(math.sqrt(8))
    assert float(distance[7, 8]) == pytest.approx(math.sqrt(8))


def test_a_disc_and_a_box_have_their_area() -> None:
    point = torch.full((1, 2, 2), 50.0)
    assert float((path_distance(point, 100, 100) < 20).float().sum()) == pytest.approx(math.pi * 400, rel=0.01)
    corner, size = torch.tensor([[3.0, 5.0]]), torch.tensor([[4.0, 7.0]])
    inside = box_distance(corner, size, 20, 20)[0] < 0
    assert int(inside.sum()) == 28
    assert bool(inside[3:7, 5:12].all())


def test_strokes_stay_within_the_image_and_are_as_long_as_they_should_be() -> None:
    extent, limits = torch.tensor([30.0, 50.0]), torch.tensor([[[0.1, 0.4]]]).expand(100, 1, 2)
    points, radius = paths(torch.rand(100, 3, 11), limits, limits / 2, extent)
    assert float(points.min()) >= 0
    assert bool((points <= extent).all())
    assert float(points.diff(dim=2).norm(dim=3).max()) <= 0.4 * 30 + 1e-4
    assert 0.75 <= float(radius.min()) <= float(radius.max()) <= 0.1 * 30
    torch.testing.assert_close(between(torch.tensor([[0.25]]), torch.tensor([[[2.0, 6.0]]])), torch.tensor([[3.0]]))
