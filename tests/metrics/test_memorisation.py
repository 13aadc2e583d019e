"""Copying and repetition: a memoriser is found, fresh samples are not accused."""

from __future__ import annotations

import numpy as np
import pytest

from organza.errors import MeasureError
from organza.metrics import neighbours
from organza.metrics.clusters import kmeans, principal_axes
from organza.metrics.memorisation import authenticity, birthday, copying, rank_score


def cloud(count: int, width: int = 4, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, width))


def test_copies_are_not_authentic_and_far_samples_are() -> None:
    train = cloud(100)
    assert authenticity(train, train[::-1]) == 0
    assert authenticity(train, train[:7] + 1e-6) == 0
    assert authenticity(train, cloud(50) + 100) == 1
    assert authenticity(train, np.concatenate([train[:25], cloud(75) + 100])) == 0.75


def test_authenticity_is_what_the_definition_says() -> None:
    train, fake = cloud(80), cloud(60, seed=1)
    own = np.linalg.norm(train[:, None] - train[None], axis=-1)
    own[np.diag_indices(80)] = np.inf
    found = []
    for y in fake:
        distances = np.linalg.norm(train - y, axis=1)
        found.append(distances.min() > own[distances.argmin()].min())
    assert authenticity(train, fake) == np.mean(found)


def test_a_duplicate_within_the_training_set_makes_its_copy_no_less_a_copy() -> None:
    train = np.repeat(cloud(20), 2, axis=0)
    assert authenticity(train, train) == 0


@pytest.mark.parametrize("width", [4, 100])
def test_fresh_samples_are_not_accused_of_copying_and_copies_are(width: int) -> None:
    train, held_out, fresh = (cloud(400, width, seed=seed) for seed in range(3))
    honest = copying(train, held_out, fresh)
    assert abs(honest.value) < 3
    assert honest.cells == 3
    assert honest.share == 1
    memoriser = copying(train, held_out, train[:200] + 1e-3)
    assert memoriser.value < -5
    assert memoriser.lowest <= memoriser.value
    assert copying(train, held_out, 3 * fresh).value > 5


def test_in_one_cell_copying_is_the_rank_test_of_nearest_distances() -> None:
    train, held_out, fake = cloud(50), cloud(40, seed=1), 1.2 * cloud(30, seed=2)
    near = [np.linalg.norm(x[:, None] - train[None], axis=-1).min(axis=1) for x in (held_out, fake)]
    wins = (near[1][:, None] > near[0][None]).sum()
    expected = (wins - 600) / np.sqrt(40 * 30 * 71 / 12)
    assert copying(train, held_out, fake, cells=1).value == pytest.approx(expected)


def test_copying_in_one_region_is_seen_in_its_cell() -> None:
    train, held_out, fake = (
        np.concatenate([cloud(200, seed=seed), cloud(200, seed=seed + 10) + 30]) for seed in range(3)
    )
    fake[200:] = train[200:] + 1e-3
    found = copying(train, held_out, fake, cells=2)
    assert found.cells == 2
    assert found.lowest < -10
    assert abs(2 * found.value - found.lowest) < 3  # the other cell is honest


def test_cells_with_too_few_samples_do_not_count() -> None:
    train, held_out = (np.concatenate([cloud(100, seed=s), cloud(100, seed=s + 10) + 30]) for s in range(2))
    found = copying(train, held_out, cloud(100, seed=2), cells=2)
    assert (found.cells, found.share) == (1, 0.5)
    with pytest.raises(MeasureError, match="none of the 2 cells holds 80 fakes"):
        copying(train, held_out, np.concatenate([cloud(79, seed=2), cloud(79, seed=3) + 30]), cells=2, at_least=80)


def test_the_rank_score_halves_ties_and_is_antisymmetric() -> None:
    x, y = np.array([1.0, 2.0, 2.0, 5.0]), np.array([2.0, 3.0, 4.0])
    # U = (0 + 0.5 + 0.5 + 3), mean 6, three values tied.
    expected = (4 - 6) / np.sqrt(12 / 12 * (8 - 24 / 42))
    assert rank_score(x, y) == pytest.approx(expected)
    assert rank_score(y, x) == pytest.approx(-expected)
    assert rank_score(np.ones(5), np.ones(9)) == 0


def test_kmeans_finds_separate_clouds_and_no_more_cells_than_points() -> None:
    x = np.concatenate([cloud(50, 2) + centre for centre in ([0, 0], [30, 0], [0, 30])])
    centres = kmeans(x, cells=3, seed=0)
    np.testing.assert_allclose(sorted(centres.tolist()), sorted(x.reshape(3, 50, 2).mean(axis=1).tolist()))
    assert len(kmeans(np.repeat(cloud(2), 10, axis=0), cells=5, seed=0)) == 2


def test_principal_axes_are_orthonormal_and_ordered_by_variance() -> None:
    x = cloud(500, 3) * [1, 5, 2] + 7
    axes = principal_axes(x, dimensions=2)
    np.testing.assert_allclose(axes.T @ axes, np.eye(2), atol=1e-12)
    assert np.abs(axes).argmax(axis=0).tolist() == [1, 2]


def test_the_birthday_test_counts_duplicates_and_shows_the_closest_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    x = cloud(50)
    x[31] = x[12] + [3e-5, 0, 4e-5, 0]
    x[[40, 41]] = x[3] + 1e-2
    for block in (neighbours.BLOCK, 100):
        monkeypatch.setattr(neighbours, "BLOCK", block)
        found = birthday(x, threshold=1e-4)
        assert (found.duplicates, found.pairs) == (2, 1225)
        assert found.closest == (40, 41)
        assert birthday(x[:40], threshold=1e-4).closest == (12, 31)
        assert birthday(x[:40], threshold=1e-4).distance == pytest.approx(5e-5)


def test_without_duplicates_support_is_unbounded() -> None:
    found = birthday(cloud(50), threshold=1e-6)
    assert (found.duplicates, found.support, found.batch) == (0, np.inf, np.inf)


@pytest.mark.parametrize("threshold", [0.0, 1e-3])
def test_the_birthday_test_finds_the_number_of_different_samples(threshold: float) -> None:
    points = cloud(500)
    found = birthday(points[np.random.default_rng(1).integers(500, size=3000)], threshold=threshold)
    assert found.support == pytest.approx(500, rel=0.05)
    # 1 - prod (1 - i / 500) first exceeds one half at 27 samples.
    assert found.batch == pytest.approx(27, abs=1)


def test_a_collapsed_generator_has_a_support_of_one() -> None:
    found = birthday(np.repeat(cloud(1), 20, axis=0), threshold=0)
    assert (found.support, found.distance) == (1, 0)
