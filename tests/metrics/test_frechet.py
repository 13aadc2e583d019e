"""Frechet distance against closed forms, and moments in parts against moments of the whole."""

from __future__ import annotations

import numpy as np
import pytest

from organza.errors import MeasureError
from organza.metrics.frechet import Moments, frechet_distance, frechet_of_moments


def cloud(count: int, width: int, *, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.standard_normal((count, width)) @ random.standard_normal((width, width)) + random.standard_normal(
        width
    )


def gaussian(mean: np.ndarray, covariance: np.ndarray) -> Moments:
    return Moments(11, mean, 10 * covariance)


@pytest.mark.parametrize(("count", "width"), [(100, 5), (20, 64), (2, 3)])
def test_a_set_and_its_shuffled_copy_have_no_distance(count: int, width: int) -> None:
    x = cloud(count, width)
    scale = x.var(axis=0).sum()
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-12 * scale)
    assert frechet_distance(x, x[::-1]) == pytest.approx(0, abs=1e-12 * scale)


def test_a_shift_costs_its_squared_length() -> None:
    x, shift = cloud(50, 4), np.array([1.0, -2.0, 0.0, 3.0])
    assert frechet_distance(x, x + shift) == pytest.approx(14)


def test_a_scaling_costs_the_squared_difference_of_the_deviations() -> None:
    x = cloud(50, 6)
    x -= x.mean(axis=0)
    assert frechet_distance(x, 3 * x) == pytest.approx(4 * x.var(axis=0, ddof=1).sum())


def test_in_one_dimension_it_is_the_distance_of_means_and_deviations() -> None:
    x, y = cloud(40, 1), cloud(70, 1, seed=1)
    expected = (x.mean() - y.mean()) ** 2 + (x.std(ddof=1) - y.std(ddof=1)) ** 2
    assert frechet_distance(x, y) == pytest.approx(expected)


def test_diagonal_gaussians_add_up_over_dimensions() -> None:
    a, b = np.array([4.0, 9.0, 0.0]), np.array([1.0, 16.0, 25.0])
    means = np.array([0.0, 1.0, 2.0]), np.array([3.0, 1.0, 0.0])
    found = frechet_of_moments(gaussian(means[0], np.diag(a)), gaussian(means[1], np.diag(b)))
    assert found == pytest.approx(9 + 4 + (2 - 1) ** 2 + (3 - 4) ** 2 + (0 - 5) ** 2)


def test_in_two_dimensions_the_trace_follows_from_determinants() -> None:
    a, b = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, -0.8], [-0.8, 3.0]])
    # (tr sqrt M)^2 = tr M + 2 sqrt det M for 2 x 2
    trace = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a) * np.linalg.det(b)))
    found = frechet_of_moments(gaussian(np.zeros(2), a), gaussian(np.zeros(2), b))
    assert found == pytest.approx(np.trace(a) + np.trace(b) - 2 * trace)


def test_it_is_symmetric_and_turns_with_the_features() -> None:
    x, y = cloud(60, 8), cloud(30, 8, seed=1)
    rotation = np.linalg.qr(cloud(8, 8, seed=2))[0]
    distance = frechet_distance(x, y)
    assert distance > 0
    assert frechet_distance(y, x) == pytest.approx(distance)
    assert frechet_distance(x @ rotation, y @ rotation) == pytest.approx(distance)
    assert frechet_distance(x + 1e4, y + 1e4) == pytest.approx(distance, rel=1e-6)


def test_noise_makes_it_larger() -> None:
    x, noise = cloud(200, 4), np.random.default_rng(3).standard_normal((200, 4))
    distances = [frechet_distance(x, x + strength * noise) for strength in (0, 0.5, 1, 2, 4)]
    assert distances == sorted(distances)


def test_images_that_are_all_alike_differ_by_their_means() -> None:
    assert frechet_distance(np.ones((5, 3)), np.full((4, 3), 3.0)) == pytest.approx(12)
    x = cloud(50, 3)
    expected = x.var(axis=0, ddof=1).sum() + ((x.mean(axis=0) - 1) ** 2).sum()
    assert frechet_distance(x, np.ones((5, 3))) == pytest.approx(expected)


@pytest.mark.parametrize("sizes", [(100,), (1, 99), (40, 35, 25), (1,) * 100], ids=str)
def test_moments_of_parts_add_up_to_those_of_the_whole(sizes: tuple[int, ...]) -> None:
    x = cloud(100, 6) + 1000
    parts = np.split(x, np.cumsum(sizes)[:-1])
    total = sum((Moments.of(part) for part in parts), Moments.empty(6))
    assert total.count == 100
    np.testing.assert_allclose(total.mean, x.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(total.covariance, np.cov(x, rowvar=False), rtol=1e-9)
    other = Moments.of(cloud(50, 6, seed=1))
    assert frechet_of_moments(total, other) == pytest.approx(frechet_of_moments(Moments.of(x), other), rel=1e-9)


def test_nothing_added_to_nothing_is_nothing() -> None:
    assert (Moments.empty(3) + Moments.empty(3)).count == 0


def test_moments_of_many_rows_are_those_of_numpy() -> None:
    x = np.random.default_rng(0).standard_normal((10_000, 3)).astype(np.float32)
    np.testing.assert_allclose(Moments.of(x).covariance, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-10)


def test_fewer_samples_than_features_are_noted() -> None:
    assert "64 features from only 20 samples" in Moments.of(cloud(20, 64)).note
    assert Moments.of(cloud(65, 64)).note == ""


def test_moments_that_no_samples_have_are_refused() -> None:
    good = Moments.of(cloud(10, 2))
    with pytest.raises(MeasureError, match=r"eigenvalue -1 beside 2"):
        frechet_of_moments(good, gaussian(np.zeros(2), np.diag([2.0, -1.0])))
    with pytest.raises(MeasureError, match="there are 1"):
        frechet_of_moments(good, Moments.of(np.ones((1, 2))))
    with pytest.raises(MeasureError, match="of 2 and of 3 features"):
        frechet_of_moments(good, Moments.of(cloud(10, 3)))
    with pytest.raises(MeasureError, match="of 2 and of 3 features"):
        good + Moments.empty(3)


@pytest.mark.parametrize(("real", "fake"), [(5, 9), (5, 40), (12, 12), (13, 12)])
def test_of_few_samples_it_is_that_of_their_moments(real: int, fake: int) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(2, 3, (real, 12)), rng.normal(0, 1, (fake, 12))
    assert frechet_distance(x, y) == pytest.approx(frechet_of_moments(Moments.of(x), Moments.of(y)), rel=1e-9)
