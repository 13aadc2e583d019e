"""Inversion finds what the generator made, and says how well; tuning leaves the generator alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from organza.errors import UsageError
from organza.latent.invert import features, invert, noise_at, pixel_rms, psnr, rate_at, tune
from organza.latent.space import Space

Make = Callable[..., Space]
spaces = pytest.mark.parametrize("family", ["vanilla", "dcgan", "stylegan2"])


def test_errors_are_those_of_pixels_from_0_to_1() -> None:
    assert float(pixel_rms(torch.full((1, 1, 4, 4), -1.0), torch.full((1, 1, 4, 4), 1.0))) == 1
    assert psnr(0.1) == pytest.approx(20)


def test_the_distance_of_features_is_the_mean_of_the_squared_errors_of_all_scales() -> None:
    a, b = torch.randn(2, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    halves = [torch.nn.functional.avg_pool2d(a - b, size) for size in (1, 2, 4)]
    expected = sum(float(half.square().mean()) for half in halves) / 3
    assert float((features(a) - features(b)).square().sum()) == pytest.approx(expected, rel=1e-5)


def test_the_rate_rises_and_falls_and_the_noise_is_gone_after_three_quarters() -> None:
    assert (rate_at(0), rate_at(0.5), rate_at(1)) == pytest.approx((0, 1, 0))
    assert (noise_at(0), noise_at(0.75), noise_at(1)) == (1, 0, 0)


@spaces
def test_a_sample_of_the_generator_is_found_again(family: str, space: Make) -> None:
    here = space(family)
    label = 1 if here.num_classes else None
    told = here.labels(1, label=label)
    target = here.images(here.draw(1, seed=77, labels=told), told)
    found = invert(here, target, steps=120, starts=2, among=50, label=label)
    assert found.rms < 0.25 * found.baseline
    assert found.distance < 2
    torch.testing.assert_close(here.images(found.point, found.label), found.image)


def test_in_w_rows_stay_alike_unless_they_are_free_and_then_it_is_nearer(space: Make) -> None:
    here = space("stylegan2")
    target = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(4)) * 2 - 1
    alike, free = (invert(here, target, steps=40, starts=2, among=10, is_free=is_free) for is_free in (False, True))
    assert torch.equal(alike.point, alike.point[:, :1].expand_as(alike.point))
    assert not torch.equal(free.point, free.point[:, :1].expand_as(free.point))
    assert free.rms < alike.rms <= alike.baseline + 1e-6


def test_the_same_seed_finds_the_same_point(space: Make) -> None:
    here = space("vanilla")
    target = here.images(here.draw(1, seed=5))
    found = [invert(here, target, steps=5, starts=2, among=10, seed=3).point for _ in range(2)]
    assert torch.equal(*found)


@pytest.mark.parametrize("family", ["dcgan", "stylegan2", "biggan"])
def test_tuning_brings_a_copy_nearer_and_leaves_the_generator_as_it_is(family: str, space: Make) -> None:
    here = space(family)
    before = {key: value.clone() for key, value in here.network.state_dict().items()}
    target = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(4)) - 1
    found = invert(here, target, steps=2, starts=1, among=8, label=0)
    tuned, after = tune(here, found, target, steps=20, rate=3e-3)
    assert after.rms < found.rms
    assert torch.equal(after.point, found.point)
    assert all(torch.equal(value, before[key]) for key, value in here.network.state_dict().items())
    with here.using(tuned):
        torch.testing.assert_close(here.images(found.point, found.label), after.image)
    torch.testing.assert_close(here.images(found.point, found.label), found.image)


def test_locality_keeps_what_lies_elsewhere(space: Make) -> None:
    here = space("vanilla")
    target = torch.full((1, 1, 16, 16), 0.9)
    found = invert(here, target, steps=2, starts=1, among=8)
    others = torch.lerp(found.point, here.draw(40, seed=123), 0.5)
    moved = []
    for locality in (0.0, 10.0):
        tuned, _ = tune(here, found, target, steps=30, rate=3e-3, locality=locality)
        before = here.images(others)
        with here.using(tuned):
            moved.append(float(pixel_rms(here.images(others), before).mean()))
    assert moved[1] < 0.8 * moved[0]


def test_numbers_that_make_no_sense_are_refused(space: Make) -> None:
    here, target = space("vanilla"), torch.zeros(1, 1, 16, 16)
    with pytest.raises(UsageError, match="from 1 to --among"):
        invert(here, target, starts=5, among=4)
    with pytest.raises(UsageError, match="W\\+ needs W"):
        invert(here, target, is_free=True)
