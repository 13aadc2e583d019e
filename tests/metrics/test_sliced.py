"""Sliced Wasserstein distance against what is known exactly."""

from __future__ import annotations

import pytest
import torch

from organza.metrics.sliced import sliced_wasserstein


def cloud(size: int, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(200, size, generator=torch.Generator().manual_seed(seed))


def test_identical_clouds_have_no_distance_in_whatever_order() -> None:
    x = cloud(3)
    assert sliced_wasserstein(x, x) == 0
    assert sliced_wasserstein(x, x.flip(0)) == pytest.approx(0, abs=1e-12)


def test_in_one_dimension_a_shift_costs_exactly_its_length() -> None:
    assert sliced_wasserstein(cloud(1).double(), cloud(1).double() - 2.5) == pytest.approx(2.5)


def test_in_one_dimension_it_is_the_distance_of_the_sorted_values() -> None:
    x, y = cloud(1).double(), 3 * cloud(1, seed=1).double()
    expected = (x.flatten().sort().values - y.flatten().sort().values).square().mean().sqrt()
    assert sliced_wasserstein(x, y) == pytest.approx(expected.item())


@pytest.mark.parametrize("size", [2, 10])
def test_a_shift_is_seen_from_random_directions_so_it_counts_by_the_root_of_the_dimension(size: int) -> None:
    projections, shift = 20_000, torch.full((size,), 3.0)
    found = sliced_wasserstein(cloud(size)[:5], cloud(size)[:5] + shift, projections=projections) ** 2
    expected = shift.square().sum().item() / size
    # The squared cosine with a random direction has mean 1 / D and mean square 3 / (D (D + 2)).
    error = expected * (3 * size / (size + 2) - 1) ** 0.5 / projections**0.5
    assert abs(found - expected) < 4 * error


def test_it_is_symmetric_scales_with_its_input_and_takes_any_shape() -> None:
    x, y = cloud(6), 2 * cloud(6, seed=1)
    distance = sliced_wasserstein(x, y)
    assert distance == sliced_wasserstein(y, x) > 0
    assert sliced_wasserstein(4 * x, 4 * y) == pytest.approx(4 * distance)
    assert sliced_wasserstein(x.reshape(-1, 1, 2, 3), y.reshape(-1, 1, 2, 3)) == distance
    assert sliced_wasserstein(x, y, seed=1) != distance
