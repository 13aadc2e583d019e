"""Precision, recall, density and coverage against plain definitions and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from organza.metrics import neighbours
from organza.metrics.manifold import DensityCoverage, PrecisionRecall, density_coverage, precision_recall


def cloud(count: int, width: int = 4, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, width))


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.linalg.norm(x[:, None] - y[None], axis=-1)


def radii(x: np.ndarray, k: int) -> np.ndarray:
    return np.sort(distances(x, x), axis=1)[:, k]


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("count", "width"), [(30, 2), (50, 10), (200, 4)])
def test_they_are_what_the_definitions_say(k: int, count: int, width: int) -> None:
    real, fake = cloud(count, width), 0.7 * cloud(40, width, seed=1) + 0.3
    between = distances(real, fake)
    precision = (between <= radii(real, k)[:, None]).any(axis=0).mean()
    recall = (between <= radii(fake, k)).any(axis=1).mean()
    assert precision_recall(real, fake, k=k) == PrecisionRecall(precision, recall)
    density = (between < radii(real, k)[:, None]).sum() / (k * 40)
    coverage = (between.min(axis=1) < radii(real, k)).mean()
    assert density_coverage(real, fake, k=k) == DensityCoverage(density, coverage)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_a_set_and_its_shuffled_copy_score_one_throughout(offset: float) -> None:
    x = cloud(500, 16) + offset
    for copy in (x, x[::-1]):
        assert precision_recall(x, copy) == PrecisionRecall(1, 1)
        assert density_coverage(x, copy) == DensityCoverage(1, 1)


def test_sets_far_apart_score_zero_throughout() -> None:
    assert precision_recall(cloud(20), cloud(20) + 100) == PrecisionRecall(0, 0)
    assert density_coverage(cloud(20), cloud(20) + 100) == DensityCoverage(0, 0)


def test_a_dropped_mode_costs_recall_and_coverage_but_no_precision() -> None:
    modes = cloud(100), cloud(100, seed=1) + 50
    real, fake = np.concatenate(modes), modes[0]
    assert precision_recall(real, fake) == PrecisionRecall(precision=1, recall=0.5)
    assert density_coverage(real, fake) == DensityCoverage(density=1, coverage=0.5)


def test_an_invented_mode_costs_precision_and_density_but_no_recall() -> None:
    real = cloud(100)
    fake = np.concatenate([real, cloud(100, seed=1) + 50])
    assert precision_recall(real, fake) == PrecisionRecall(precision=0.5, recall=1)
    assert density_coverage(real, fake) == DensityCoverage(density=0.5, coverage=1)


def test_swapping_the_sets_swaps_precision_and_recall() -> None:
    x, y = cloud(60), 0.5 * cloud(80, seed=1)
    there, back = precision_recall(x, y), precision_recall(y, x)
    assert (there.precision, there.recall) == (back.recall, back.precision)
    assert there.precision > there.recall


def test_shuffling_and_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = cloud(60), cloud(80, seed=1)
    whole = precision_recall(x, y), density_coverage(x, y)
    assert (precision_recall(x[::-1], y[::-1]), density_coverage(x[::-1], y[::-1])) == whole
    monkeypatch.setattr(neighbours, "BLOCK", 300)
    assert (precision_recall(x, y), density_coverage(x, y)) == whole


@pytest.mark.parametrize("k", [1, 3, 5])
def test_two_draws_of_one_distribution_have_the_coverage_that_order_statistics_give(k: int) -> None:
    n, m, draws = 50, 70, 100
    found = [density_coverage(cloud(n, seed=2 * i), cloud(m, seed=2 * i + 1), k=k).coverage for i in range(draws)]
    # Uncovered are those whose k nearest among all n - 1 + m others are all real.
    expected = 1 - np.prod([(n - 1 - j) / (n - 1 + m - j) for j in range(k)])
    assert abs(np.mean(found) - expected) < 4 * np.std(found) / draws**0.5


def test_two_draws_of_one_distribution_have_density_one() -> None:
    found = [density_coverage(cloud(100, seed=2 * i), cloud(50, seed=2 * i + 1)).density for i in range(100)]
    # k of n - 1 other samples lie in a ball, so one more draw does with the probability k / n.
    assert abs(np.mean(found) - 1) < 4 * np.std(found) / 10


def test_fakes_that_are_all_one_real_sample_are_precise_and_nothing_else() -> None:
    real = cloud(100)
    found = precision_recall(real, np.repeat(real[:1], 100, axis=0))
    assert found == PrecisionRecall(precision=1, recall=0.01)
    assert density_coverage(real, np.repeat(real[:1], 100, axis=0)).coverage < 0.2


def test_real_samples_that_are_all_alike_do_not_break_them() -> None:
    assert precision_recall(np.ones((10, 3)), np.ones((9, 3))) == PrecisionRecall(1, 1)
    assert density_coverage(np.ones((10, 3)), cloud(9, 3)) == DensityCoverage(0, 0)
