"""Every measure refuses what it cannot be computed from, and says what is wrong with which set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from organza.errors import MeasureError
from organza.metrics.classifier import classifier_score
from organza.metrics.diversity import vendi_score
from organza.metrics.frechet import Moments, frechet_distance
from organza.metrics.kernel import kernel_distance, squared_mmd
from organza.metrics.manifold import density_coverage, precision_recall
from organza.metrics.memorisation import authenticity, birthday, copying
from organza.metrics.modes import count_modes

GOOD = np.random.default_rng(0).standard_normal((60, 3))

TWO_SETS: dict[str, Callable[[np.ndarray, np.ndarray], object]] = {
    "frechet_distance": frechet_distance,
    "kernel_distance": kernel_distance,
    "squared_mmd": squared_mmd,
    "precision_recall": precision_recall,
    "density_coverage": density_coverage,
    "authenticity": authenticity,
    "copying": lambda train, fake: copying(train, GOOD, fake),
    "count_modes": lambda centres, fake: count_modes(fake, centres, std=1),
}
ONE_SET: dict[str, Callable[[np.ndarray], object]] = {
    "Moments": Moments.of,
    "birthday": lambda fake: birthday(fake, threshold=1),
    "vendi_score": vendi_score,
    "classifier_score": classifier_score,
}
ALL = ONE_SET | {name: lambda fake, measure=measure: measure(GOOD, fake) for name, measure in TWO_SETS.items()}
ALL |= {f"{name} of real": lambda real, measure=measure: measure(real, GOOD) for name, measure in TWO_SETS.items()}
every_measure = pytest.mark.parametrize("measure", ALL.values(), ids=ALL)


@every_measure
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_counted(measure, bad) -> None:
    damaged = GOOD.copy()
    damaged[[7, 9], [0, 2]] = bad
    with pytest.raises(MeasureError, match=r"2 of 60 rows of \w+ hold NaN or infinity, first row 7"):
        measure(damaged)


@every_measure
@pytest.mark.parametrize("shape", [(0, 3), (0,), (3,), (60, 0), (60, 3, 1)], ids=str)
def test_empty_sets_and_other_shapes_are_refused(measure, shape) -> None:
    with pytest.raises(MeasureError, match=r"holds 0 samples|has the shape \("):
        measure(np.ones(shape))


@pytest.mark.parametrize("measure", TWO_SETS.values(), ids=TWO_SETS)
def test_features_of_different_widths_are_refused(measure) -> None:
    with pytest.raises(MeasureError, match=r"is \d wide and .* is \d wide"):
        measure(GOOD, GOOD[:, :2])


@pytest.mark.parametrize(
    ("measure", "least"),
    [
        (lambda x: frechet_distance(x, GOOD), 2),
        (lambda x: kernel_distance(x, GOOD), 4),
        (lambda x: squared_mmd(GOOD, x), 2),
        (lambda x: precision_recall(GOOD, x, k=3), 4),
        (lambda x: density_coverage(x, GOOD, k=5), 6),
        (lambda x: authenticity(x, GOOD), 2),
        (lambda x: copying(GOOD, x, GOOD), 20),
        (lambda x: birthday(x, threshold=1), 2),
    ],
)
def test_one_image_is_too_few_and_so_is_one_less_than_the_least(measure, least) -> None:
    with pytest.raises(MeasureError, match=rf"holds 1 sample; this measure needs {least} or more"):
        measure(GOOD[:1])
    with pytest.raises(MeasureError, match=rf"holds {least - 1} samples?; this measure needs {least} or more"):
        measure(GOOD[: least - 1])
    measure(GOOD[:least] if least < 20 else GOOD)


def test_float32_and_integers_are_measured_in_float64() -> None:
    x, y = np.random.default_rng(1).integers(0, 255, (2, 50, 4))
    expected = frechet_distance(x.astype(float), y.astype(float))
    assert frechet_distance(x, y) == frechet_distance(x.astype(np.float32), y.astype(np.uint8)) == expected


@pytest.mark.parametrize("name", TWO_SETS)
def test_no_measure_changes_its_input(name) -> None:
    x, y = GOOD.copy(), GOOD[::-1].copy()
    TWO_SETS[name](x, y)
    assert np.array_equal(x, GOOD)
    assert np.array_equal(y, GOOD[::-1])
