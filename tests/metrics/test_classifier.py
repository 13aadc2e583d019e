"""Classifier scores, histograms and measures within classes against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from organza.errors import MeasureError
from organza.metrics.classifier import class_divergence, class_histogram, classifier_score, per_class
from organza.metrics.frechet import frechet_distance
from organza.metrics.manifold import PrecisionRecall, precision_recall


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("splits", [1, 10])
def test_sure_and_balanced_samples_score_the_number_of_classes(splits: int) -> None:
    score = classifier_score(np.tile(np.eye(4), (5_000, 1)), splits=splits)
    assert score.value == pytest.approx(4, rel=2e-3)
    assert score.value <= 4


@pytest.mark.parametrize("row", [[1.0, 0.0, 0.0], [0.2, 0.3, 0.5]])
def test_samples_that_are_all_alike_score_one(row: list[float]) -> None:
    score = classifier_score(np.tile(row, (50, 1)))
    assert score.value == pytest.approx(1)
    assert score.standard_error == pytest.approx(0, abs=1e-12)


def test_unequal_classes_score_the_exponential_of_their_entropy() -> None:
    p = np.repeat(np.eye(2), [30, 10], axis=0)
    assert classifier_score(p, splits=1).value == pytest.approx(0.75**-0.75 * 0.25**-0.25)


def test_the_score_is_that_of_its_definition_and_shuffling_changes_nothing_in_one_part() -> None:
    p = softmax(np.random.default_rng(0).standard_normal((40, 5)))
    expected = np.exp((p * np.log(p / p.mean(axis=0))).sum(axis=1).mean())
    assert classifier_score(p, splits=1).value == pytest.approx(expected)
    assert classifier_score(p[::-1], splits=1).value == pytest.approx(expected)
    assert classifier_score(p, splits=1).standard_error == 0


def test_the_parts_follow_from_the_seed() -> None:
    p = softmax(np.random.default_rng(0).standard_normal((40, 5)))
    assert classifier_score(p, splits=4) == classifier_score(p, splits=4)
    assert classifier_score(p, splits=4) != classifier_score(p, splits=4, seed=1)


def test_logits_are_refused_with_advice() -> None:
    with pytest.raises(MeasureError, match=r"\d+ of 40 rows of probabilities .* apply softmax first"):
        classifier_score(np.random.default_rng(0).standard_normal((40, 5)))


def test_a_histogram_has_the_share_of_each_class() -> None:
    assert class_histogram(np.array([0, 2, 2, 2]), classes=4).tolist() == [0.25, 0, 0.75, 0]


@pytest.mark.parametrize(
    ("labels", "words"),
    [([], "empty"), ([0.5], "float64"), ([3], "label 3; with 3 classes"), ([-1], "label -1; with 3 classes")],
)
def test_labels_that_are_none_are_refused(labels: list[float], words: str) -> None:
    with pytest.raises(MeasureError, match=words):
        class_histogram(np.array(labels), classes=3)


def test_the_divergence_of_classes_is_zero_for_equal_shares_and_known_otherwise() -> None:
    assert class_divergence(np.array([2, 6]), np.array([0.25, 0.75])) == 0
    assert class_divergence(np.array([1, 0, 0, 0]), np.ones(4)) == pytest.approx(np.log(4))
    assert class_divergence(np.array([3, 1]), np.ones(2)) == pytest.approx(0.75 * np.log(1.5) + 0.25 * np.log(0.5))
    assert class_divergence(np.array([3, 1]), np.array([1, 0])) == np.inf


@pytest.mark.parametrize(
    "bad", [[0.0, 0.0], [-1.0, 2.0], [np.nan, 1.0], [np.inf, 1.0], [1.0], [[1.0, 1.0]], []], ids=str
)
def test_histograms_that_are_none_are_refused(bad: list[float]) -> None:
    for pair in ((np.array(bad), np.ones(2)), (np.ones(2), np.array(bad))):
        with pytest.raises(MeasureError, match="histogram"):
            class_divergence(*pair)


def test_each_class_is_measured_alone() -> None:
    real = np.random.default_rng(0).standard_normal((60, 2))
    labels = np.repeat([0, 1, 5], 20)
    fake = real.copy()
    fake[labels == 1] += 100
    assert per_class(precision_recall, real, labels, fake, labels) == {
        0: PrecisionRecall(1, 1),
        1: PrecisionRecall(0, 0),
        5: PrecisionRecall(1, 1),
    }
    order = np.random.default_rng(1).permutation(60)
    distances = per_class(frechet_distance, real, labels, fake[order], labels[order])
    assert distances[1] == pytest.approx(20_000)
    assert distances[0] == pytest.approx(0, abs=1e-12)


def test_a_class_that_fakes_lack_is_named() -> None:
    x, labels = np.ones((4, 2)), np.array([3, 3, 7, 7])
    with pytest.raises(MeasureError, match="class 7: the fake side holds 0 samples"):
        per_class(frechet_distance, x, labels, x, np.full(4, 3))
    with pytest.raises(MeasureError, match=r"real has 4 samples and labels of the shape \(3,\)"):
        per_class(frechet_distance, x, labels[:3], x, labels)
