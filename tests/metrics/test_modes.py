"""Counting modes of toys and of StackedMNIST."""

from __future__ import annotations

import numpy as np
import pytest

from organza.errors import MeasureError
from organza.metrics.modes import ModeCount, count_modes, stacked_modes

CENTRES = np.array([[0.0, 0.0], [10.0, 0.0], [20.0, 0.0], [30.0, 0.0]])


def test_modes_are_captured_by_samples_within_three_deviations() -> None:
    samples = np.array([[0.1, 0.0], [10.0, 0.29], [15.1, 0.0], [20.0, 0.31]])
    found = count_modes(samples, CENTRES, std=0.1)
    assert (found.captured, found.total, found.high_quality) == (2, 4, 0.5)
    # Nearest modes: one, one, two and none.
    assert found.divergence == pytest.approx(0.5 * np.log(2))


def test_a_stricter_rule_asks_for_more_samples() -> None:
    samples = np.repeat(CENTRES, [19, 20, 21, 0], axis=0)
    assert count_modes(samples, CENTRES, std=0.1).captured == 3
    assert count_modes(samples, CENTRES, std=0.1, at_least=20).captured == 2


def test_even_samples_have_no_divergence_and_a_collapse_has_the_most() -> None:
    assert count_modes(np.repeat(CENTRES, 5, axis=0), CENTRES, std=1) == ModeCount(4, 4, 1.0, 0.0)
    collapse = count_modes(CENTRES[[2, 2]], CENTRES, std=1)
    assert (collapse.captured, collapse.divergence) == (1, pytest.approx(np.log(4)))


@pytest.mark.parametrize(("width", "share"), [(1, 0.9973002), (2, 0.9888910)])
def test_the_mixture_itself_is_of_high_quality_as_often_as_gaussians_are(width: int, share: float) -> None:
    samples = np.random.default_rng(0).standard_normal((100_000, width))
    found = count_modes(samples, np.zeros((1, width)), std=1).high_quality
    assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / 100_000)


def test_stacked_digits_are_counted_as_numbers_of_three_digits() -> None:
    digits = np.stack(np.meshgrid(*[np.arange(10)] * 3), axis=-1).reshape(-1, 3)
    assert stacked_modes(digits) == ModeCount(1000, 1000, 1.0, 0.0)
    some = stacked_modes(np.array([[1, 2, 3], [1, 2, 3], [3, 2, 1], [3, 2, 1]], dtype=np.uint8))
    assert (some.captured, some.total) == (2, 1000)
    assert some.divergence == pytest.approx(np.log(500))


def test_even_the_data_has_the_divergence_of_chance() -> None:
    found = stacked_modes(np.random.default_rng(0).integers(0, 10, (26_000, 3)))
    assert found.captured == 1000
    assert found.divergence == pytest.approx(999 / 2 / 26_000, rel=0.2)  # chi-squared / 2 N


@pytest.mark.parametrize(
    ("labels", "words"), [(np.zeros((5, 2), int), r"shape \(5, 2\)"), (np.full((1, 3), 10), "label 10"), ([], "empty")]
)
def test_labels_that_are_no_three_digits_are_refused(labels: np.ndarray, words: str) -> None:
    with pytest.raises(MeasureError, match=words):
        stacked_modes(labels)
