"""Patches: places drawn once each, heads that exist from the start, and the loss against its closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from organza.nets.contrast import PatchSampler, distinct, patch_nce


@pytest.mark.parametrize("count", [1, 5, 16, 17, 1000])
def test_places_are_different_whole_numbers_below_the_count(count: int) -> None:
    places = torch.cat([torch.rand(20, 16), torch.zeros(1, 16), torch.full((1, 16), 1 - 1e-7)])
    index = distinct(places, count)
    assert index.shape == (22, min(16, count))
    assert int(index.min()) >= 0
    assert int(index.max()) < count
    assert bool((index.diff(dim=1) > 0).all())


def test_every_place_is_drawn_equally_often() -> None:
    index = distinct(torch.rand(4000, 4, generator=torch.Generator().manual_seed(0)), 20)
    share = torch.bincount(index.flatten(), minlength=20) / 4000
    torch.testing.assert_close(share, torch.full((20,), 0.2), atol=0.03, rtol=0)


def test_vectors_are_those_of_the_places_and_of_length_1() -> None:
    sampler, maps = PatchSampler([3, 5], width=7), [torch.randn(2, 3, 6, 4), torch.randn(2, 5, 2, 2)]
    places = torch.rand(2, 9)
    large, small = sampler(maps, places)
    assert (large.shape, small.shape) == ((2, 9, 7), (2, 4, 7))
    torch.testing.assert_close(large.norm(dim=2), torch.ones(2, 9))
    index = distinct(places, 24)[1, 3]
    expected = sampler.heads[0](maps[0][1, :, index // 4, index % 4])
    torch.testing.assert_close(large[1, 3], expected / expected.norm())


def test_places_of_a_sample_do_not_depend_on_the_others() -> None:
    sampler, x, places = PatchSampler([3], width=4), torch.randn(5, 3, 6, 4), torch.rand(5, 9)
    (whole,) = sampler([x], places)
    (part,) = sampler([x[2:4]], places[2:4])
    torch.testing.assert_close(whole[2:4], part)


def test_keys_that_are_all_alike_cost_the_logarithm_of_their_number() -> None:
    same = torch.ones(3, 10, 4) / 2
    assert float(patch_nce(same, same)) == pytest.approx(math.log(10), rel=1e-6)


def test_orthogonal_patches_cost_what_the_temperature_says() -> None:
    eye = torch.eye(8)[None]
    expected = -math.log(math.exp(2) / (math.exp(2) + 7))
    assert float(patch_nce(eye, eye, temperature=0.5)) == pytest.approx(expected, rel=1e-5)
    assert float(patch_nce(eye, eye.roll(1, dims=1), temperature=0.5)) == pytest.approx(expected + 2, rel=1e-5)


def test_the_mean_over_images_is_the_loss_of_each() -> None:
    query, key = torch.randn(2, 3, 6, 5).unbind()
    each = [patch_nce(query[i : i + 1], key[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(patch_nce(query, key), torch.stack(each).mean())
