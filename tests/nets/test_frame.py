"""The learned frame: still at first, exact for whole pixels, undone by its inverse, found without pairs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from organza.nets.frame import STILL, Frame, Means, rows, sampled


def smooth(count: int, height: int, width: int, *, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return interpolate(torch.rand(count, 1, 6, 6), size=(height, width), mode="bicubic")


def test_it_begins_still_and_moves_whole_pixels_exactly() -> None:
    frame, x = Frame(), torch.rand(2, 3, 10, 16)
    torch.testing.assert_close(frame(x), x)
    frame.shift.data = torch.tensor([4 / 16, -2 / 10])  # two pixels from the right, one from above
    torch.testing.assert_close(frame(x)[..., 1:, :-2], x[..., :-1, 2:])
    torch.testing.assert_close(frame(x)[..., 1:, -2:], x[..., :-1, -1:].expand(-1, -1, -1, 2))


def test_what_is_undone_is_what_was_but_for_the_edge() -> None:
    frame, x = Frame(), smooth(8, 40, 32)
    frame.zoom.data, frame.shift.data = torch.tensor([-0.06, 0.03]), torch.tensor([0.02, -0.04])
    inner = (..., slice(5, -5), slice(5, -5))
    for again in (frame.undone(frame(x)), frame(frame.undone(x))):
        torch.testing.assert_close(again[inner], x[inner], atol=0.05, rtol=0)
    assert float((frame(x) - x)[inner].abs().max()) > 0.2


@pytest.mark.parametrize("contrast", [1.0, -0.5], ids=["as bright", "the other way round"])
def test_a_zoom_and_a_shift_are_found_without_pairs(contrast: float) -> None:
    """Blobs around the middle; no image of one kind is that of the other, moved."""
    torch.manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 24), torch.linspace(-1, 1, 24), indexing="ij")
    places = 0.1 * torch.randn(2, 2000, 2, 1, 1)
    blobs = torch.exp(-((x - places[:, :, 0]) ** 2 / 0.04 + (y - places[:, :, 1]) ** 2 / 0.12)).unsqueeze(2)
    scale, shift = torch.tensor([0.9, 1.15]), torch.tensor([0.05, -0.1])
    frame, means = Frame(), Means(24, 24)
    for sources, others in zip(blobs[0].split(100), blobs[1].split(100), strict=True):
        means.observe(sources, contrast * sampled(others, rows(scale, shift)))
    before, adam = float(means.unlikeness(frame).detach()), torch.optim.Adam(frame.parameters(), 0.01)
    for _ in range(200):
        adam.zero_grad()
        means.unlikeness(frame).backward()
        adam.step()
    assert float(means.unlikeness(frame).detach()) < 0.2 * before
    torch.testing.assert_close(1 + frame.zoom.detach(), scale, atol=0.03, rtol=0)
    torch.testing.assert_close(frame.shift.detach(), shift, atol=0.02, rtol=0)


def test_what_it_has_seen_is_the_mean_of_all_also_of_several_ranks() -> None:
    batches = [(smooth(3, 8, 9, seed=seed), smooth(3, 8, 9, seed=seed + 10)) for seed in range(4)]
    alone, ranks = Means(8, 9), [Means(8, 9), Means(8, 9)]
    for first in (0, 2):
        for rank, means in enumerate(ranks):
            means.observe(*batches[first + rank])
        alone.observe(*(torch.cat(both) for both in zip(*batches[first : first + 2], strict=True)))
        sums = {1: torch.tensor(2.0), 4: sum(means.means for means in ranks)}
        for means in ranks:
            means.join_ranks(lambda x, sums=sums: x.copy_(sums[max(x.ndim, 1)]))  # pyright: ignore
    torch.testing.assert_close(alone.means[0, 0], torch.cat([source for source, _ in batches])[:, 0].mean(0))
    for means in ranks:
        torch.testing.assert_close(means.means, alone.means)


def test_it_learns_by_the_means_alone_also_by_none() -> None:
    frame, x = Frame(), torch.rand(2, 1, 8, 8, requires_grad=True)
    frame(x).sum().backward()
    assert frame.shift.grad is None
    assert x.grad is not None
    Means(8, 8).unlikeness(frame).backward()
    assert frame.shift.grad is not None
    assert torch.isfinite(frame.shift.grad).all()


def test_what_is_alike_stays_and_a_move_that_makes_nothing_alike_costs() -> None:
    frame, means, blank = Frame(), Means(8, 9), Means(8, 9)
    means.observe(*[smooth(3, 8, 9)] * 2)
    torch.testing.assert_close(means.unlikeness(frame), torch.tensor(0.0), atol=1e-5, rtol=0)
    blank.observe(*[torch.zeros(3, 1, 8, 9)] * 2)
    frame.zoom.data, frame.shift.data = torch.tensor([0.2, 0.1]), torch.tensor([-0.3, 0.0])
    torch.testing.assert_close(blank.unlikeness(frame), torch.tensor(1 + STILL * 0.14))


@pytest.mark.parametrize("side", [64, 600])
def test_under_autocast_places_are_as_exact(side: int) -> None:
    x, frame = torch.rand(1, 1, 4, side), Frame()
    frame.zoom.data.fill_(0.03)
    wanted = frame(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(frame(x), wanted)
        torch.testing.assert_close(Frame()(x), x, atol=1e-4, rtol=0)


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_beyond_the_edge_is_what_torch_pads_with(is_mirrored: bool) -> None:
    x, where = torch.rand(2, 3, 7, 9), rows(torch.tensor([1.4, 1.2]), torch.tensor([0.3, -0.2]))
    places = torch.nn.functional.affine_grid(where.expand(2, 2, 3), [2, 3, 7, 9], align_corners=False)
    padding = "reflection" if is_mirrored else "border"
    wanted = torch.nn.functional.grid_sample(x, places, padding_mode=padding, align_corners=False)
    torch.testing.assert_close(sampled(x, where, is_mirrored=is_mirrored), wanted)
