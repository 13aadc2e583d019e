"""Kernel distance against sums over pairs and against its own standard error."""

from __future__ import annotations

import numpy as np
import pytest

from organza.errors import MeasureError
from organza.metrics import kernel
from organza.metrics.kernel import kernel_distance, squared_mmd


def cloud(count: int, *, seed: int, shift: float = 0.0, width: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, width)) + shift


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize(("coef", "gamma"), [(1.0, None), (0.5, 2.0)])
def test_it_is_the_sum_over_pairs(degree: int, coef: float, gamma: float | None) -> None:
    x, y = cloud(6, seed=0), cloud(9, seed=1, shift=1)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float(((0.25 if gamma is None else gamma) * a @ b + coef) ** degree)

    expected = np.mean([k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    expected += np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    expected -= 2 * np.mean([k(a, b) for a in x for b in y])
    assert squared_mmd(x, y, degree=degree, coef=coef, gamma=gamma) == pytest.approx(expected)


def test_a_linear_kernel_sees_the_squared_distance_of_the_means() -> None:
    values = [squared_mmd(cloud(50, seed=2 * i), cloud(30, seed=2 * i + 1, shift=1), degree=1) for i in range(200)]
    assert abs(np.mean(values) - 1) < 4 * np.std(values) / 200**0.5


@pytest.mark.parametrize("count", [4, 40])
def test_equal_distributions_give_zero_on_average_at_any_size(count: int) -> None:
    values = [squared_mmd(cloud(count, seed=2 * i), cloud(count, seed=2 * i + 1)) for i in range(400)]
    assert abs(np.mean(values)) < 4 * np.std(values) / 400**0.5
    assert min(values) < 0


def test_blocks_of_rows_and_shuffling_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = cloud(50, seed=0), cloud(33, seed=1, shift=0.5)
    whole = squared_mmd(x, y)
    assert squared_mmd(x[::-1], y[::-1]) == pytest.approx(whole)
    assert squared_mmd(y, x) == pytest.approx(whole)
    monkeypatch.setattr(kernel, "BLOCK", 100)
    assert squared_mmd(x, y) == pytest.approx(whole)


def test_the_mean_over_subsets_agrees_with_all_samples() -> None:
    x, y = cloud(400, seed=0), cloud(500, seed=1, shift=0.5)
    found = kernel_distance(x, y, subset_size=100)
    assert abs(found.value - squared_mmd(x, y)) < 3 * found.standard_error
    assert found == kernel_distance(x, y, subset_size=100)
    assert found != kernel_distance(x, y, subset_size=100, seed=1)


@pytest.mark.parametrize("size", [20, 100])
def test_the_standard_error_is_the_spread_over_new_samples(size: int) -> None:
    found = [
        kernel_distance(cloud(200, seed=2 * i), cloud(200, seed=2 * i + 1, shift=1), subsets=50, subset_size=size)
        for i in range(150)
    ]
    spread = np.std([estimate.value for estimate in found], ddof=1)
    errors = np.sqrt(np.mean([estimate.standard_error**2 for estimate in found]))
    assert errors == pytest.approx(spread, rel=0.25)


def test_subsets_shrink_to_half_of_the_smaller_side() -> None:
    x, y = cloud(9, seed=0), cloud(300, seed=1)
    assert kernel_distance(x, y) == kernel_distance(x, y, subset_size=4)
    assert kernel_distance(x, y).standard_error > 0


def test_one_subset_has_no_standard_error() -> None:
    with pytest.raises(MeasureError, match="subsets=1"):
        kernel_distance(cloud(9, seed=0), cloud(9, seed=1), subsets=1)
