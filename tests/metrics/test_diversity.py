"""Vendi score against what is known exactly."""

from __future__ import annotations

import numpy as np
import pytest

from organza.errors import MeasureError
from organza.metrics.diversity import vendi_score


def test_orthogonal_samples_count_each_and_copies_count_once() -> None:
    assert vendi_score(np.eye(7)) == pytest.approx(7)
    assert vendi_score(np.repeat(np.eye(5), 30, axis=0)) == pytest.approx(5)
    assert vendi_score(np.ones((9, 4))) == pytest.approx(1)


def test_unequal_groups_count_by_their_entropy() -> None:
    x = np.repeat(np.eye(2), [3, 1], axis=0)
    assert vendi_score(x) == pytest.approx(0.75**-0.75 * 0.25**-0.25)


@pytest.mark.parametrize("shape", [(5, 40), (40, 5), (8, 8)])
def test_it_is_the_entropy_of_the_matrix_of_cosines(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).standard_normal(shape)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    eigenvalues = np.linalg.eigvalsh(unit @ unit.T / len(x)).clip(1e-300)
    expected = np.exp(-(eigenvalues * np.log(eigenvalues)).sum())
    assert vendi_score(x) == pytest.approx(expected)
    assert vendi_score(x[::-1] * 1e200) == pytest.approx(expected)
    assert 1 <= vendi_score(x) <= min(shape) * (1 + 1e-12)


def test_a_sample_without_direction_is_refused() -> None:
    with pytest.raises(MeasureError, match="2 of 3 rows of features are all zero"):
        vendi_score(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]))
