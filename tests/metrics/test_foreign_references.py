"""The measures agree with torch-fidelity, torchmetrics and prdc on the same features.

A package that cannot be imported is skipped: torch-fidelity needs torchvision, which does not load beside every build
of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from organza.metrics.classifier import classifier_score
from organza.metrics.frechet import Moments, frechet_distance, frechet_of_moments
from organza.metrics.kernel import kernel_distance, squared_mmd
from organza.metrics.manifold import density_coverage, precision_recall
from organza.metrics.memorisation import rank_score

AGREES = 1e-6
SHAPES = [(200, 150, 3), (300, 400, 24), (60, 50, 128)]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))

KERNELS = [(degree, coef, gamma) for degree in (1, 2, 3) for coef, gamma in ((1.0, None), (0.5, 0.1))]
kernels = pytest.mark.parametrize(("degree", "coef", "gamma"), KERNELS)


def foreign(name: str) -> Any:
    try:
        return import_module(name)
    except (ImportError, RuntimeError, AttributeError) as error:
        pytest.skip(f"{name} cannot be imported: {error}")


def features(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Non-negative and skewed, as after a ReLU and pooling; the fakes are less diverse and a little off."""
    n, m, width = shape
    random = np.random.default_rng(width)
    mix = random.standard_normal((width, width)) / width**0.5
    return tuple(
        np.abs(strength * random.standard_normal((count, width)) @ mix + shift)
        for count, strength, shift in ((n, 1.0, 0.3), (m, 0.8, 1.0))
    )


class Given(nn.Module):
    """Takes features for images, for measures that want a network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)


@shapes
@pytest.mark.parametrize("offset", [0.0, 10.0])
def test_frechet_distance_is_that_of_torch_fidelity(shape: tuple[int, int, int], offset: float) -> None:
    fid = foreign("torch_fidelity.metric_fid")
    real, fake = (x + offset for x in features(shape))
    statistics = [fid.fid_features_to_statistics(torch.from_numpy(x)) for x in (real, fake)]
    expected = fid.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=AGREES)


@shapes
def test_frechet_distance_is_that_of_torchmetrics_in_batches_too(shape: tuple[int, int, int]) -> None:
    fid = foreign("torchmetrics.image.fid")
    real, fake = features(shape)
    moments = []
    metric = fid.FrechetInceptionDistance(feature=Given(shape[2]), input_img_size=(1, 1, shape[2]))
    metric.set_dtype(torch.float64)
    for x, is_real in ((real, True), (fake, False)):
        total = Moments.empty(shape[2])
        for part in np.array_split(x, 7):
            metric.update(torch.from_numpy(part)[:, None, None], real=is_real)
            total += Moments.of(part)
        moments.append(total)
    expected = float(metric.compute())
    assert frechet_of_moments(*moments) == pytest.approx(expected, rel=AGREES)
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=AGREES)


@shapes
def test_the_frechet_trace_is_that_of_scipys_matrix_root(shape: tuple[int, int, int]) -> None:
    linalg = foreign("scipy.linalg")
    real, fake = (Moments.of(x) for x in features((300, 300, shape[2])))
    trace = np.trace(linalg.sqrtm(real.covariance @ fake.covariance)).real
    shift = real.mean - fake.mean
    expected = shift @ shift + np.trace(real.covariance) + np.trace(fake.covariance) - 2 * trace
    assert frechet_of_moments(real, fake) == pytest.approx(expected, rel=AGREES)


@shapes
@kernels
def test_squared_mmd_is_the_kernel_distance_of_torchmetrics(
    shape: tuple[int, int, int], degree: int, coef: float, gamma: float | None
) -> None:
    kid = foreign("torchmetrics.image.kid")
    real, fake = (x[: min(shape[:2])] for x in features(shape))  # it wants as many of both
    theirs = kid.poly_mmd(torch.from_numpy(real), torch.from_numpy(fake), degree=degree, gamma=gamma, coef=coef)
    ours = squared_mmd(real, fake, degree=degree, coef=coef, gamma=gamma)
    assert ours == pytest.approx(float(theirs), rel=AGREES)


@shapes
@kernels
def test_squared_mmd_is_the_kernel_distance_of_torch_fidelity(
    shape: tuple[int, int, int], degree: int, coef: float, gamma: float | None
) -> None:
    kid = foreign("torch_fidelity.metric_kid")
    size = min(shape[:2])  # a subset of everything has no chance in it
    real, fake = (x[:size] for x in features(shape))
    found = kid.kid_features_to_metric(
        torch.from_numpy(real),
        torch.from_numpy(fake),
        kid_subsets=1,
        kid_subset_size=size,
        kid_kernel_poly_degree=degree,
        kid_kernel_poly_gamma=gamma,
        kid_kernel_poly_coef0=coef,
        rng_seed=1,
        verbose=False,
    )
    ours = squared_mmd(real, fake, degree=degree, coef=coef, gamma=gamma)
    assert ours == pytest.approx(found["kernel_inception_distance_mean"], rel=AGREES)


def test_kernel_distance_over_subsets_agrees_with_torch_fidelity_within_its_error() -> None:
    kid = foreign("torch_fidelity.metric_kid")
    real, fake = features((600, 500, 24))
    found = kernel_distance(real, fake, subsets=200, subset_size=100)
    theirs = kid.kid_features_to_metric(
        torch.from_numpy(real), torch.from_numpy(fake), kid_subsets=200, kid_subset_size=100, verbose=False
    )
    # Both sides drew 200 subsets of the same samples.
    spread = theirs["kernel_inception_distance_std"]
    assert abs(found.value - theirs["kernel_inception_distance_mean"]) < 4 * spread * (2 / 200) ** 0.5
    # Its +- is the spread over subsets, which says nothing of how sure the mean is.
    assert found.standard_error < spread


@shapes
@pytest.mark.parametrize("k", [1, 3, 5, 10])
def test_precision_and_recall_are_those_of_torch_fidelity(shape: tuple[int, int, int], k: int) -> None:
    prc = foreign("torch_fidelity.metric_prc")
    real, fake = features(shape)
    for save_cpu_ram in (False, True):
        # Its first set is the generated one.
        theirs = prc.prc_features_to_metric(
            torch.from_numpy(fake),
            torch.from_numpy(real),
            prc_neighborhood=k,
            prc_batch_size=64,
            save_cpu_ram=save_cpu_ram,
            verbose=False,
        )
        ours = precision_recall(real, fake, k=k)
        assert ours.precision == pytest.approx(theirs["precision"], rel=AGREES)
        assert ours.recall == pytest.approx(theirs["recall"], rel=AGREES)
    assert ours.precision != ours.recall


@shapes
@pytest.mark.parametrize("k", [1, 3, 5, 10])
def test_precision_recall_density_and_coverage_are_those_of_prdc(shape: tuple[int, int, int], k: int) -> None:
    prdc = foreign("prdc")
    real, fake = features(shape)
    theirs = prdc.compute_prdc(real, fake, nearest_k=k)
    ours, others = precision_recall(real, fake, k=k), density_coverage(real, fake, k=k)
    assert ours.precision == pytest.approx(theirs["precision"], rel=AGREES)
    assert ours.recall == pytest.approx(theirs["recall"], rel=AGREES)
    assert others.density == pytest.approx(theirs["density"], rel=AGREES)
    assert others.coverage == pytest.approx(theirs["coverage"], rel=AGREES)


@pytest.mark.parametrize("splits", [1, 3, 10])
@pytest.mark.parametrize("shape", [(100, 10), (203, 4), (64, 200)], ids=str)
def test_classifier_score_is_the_inception_score_of_torch_fidelity(splits: int, shape: tuple[int, int]) -> None:
    isc = foreign("torch_fidelity.metric_isc")
    logits = torch.from_numpy(3 * np.random.default_rng(0).standard_normal(shape))
    order = np.random.default_rng(5).permutation(len(logits))
    theirs = isc.isc_features_to_metric(logits[order], splits=splits, shuffle=False)
    ours = classifier_score(logits.softmax(1).numpy(), splits=splits, seed=5)
    assert ours.value == pytest.approx(theirs["inception_score_mean"], rel=AGREES)
    if splits > 1:  # theirs is the deviation of the parts, ours the error of their mean
        expected = theirs["inception_score_std"] / (splits - 1) ** 0.5
        assert ours.standard_error == pytest.approx(expected, rel=AGREES)


@pytest.mark.filterwarnings("ignore:Metric `InceptionScore` will save all:UserWarning")
@pytest.mark.parametrize(("shape", "splits"), [((100, 10), 10), ((64, 200), 4)], ids=str)
def test_classifier_score_is_the_inception_score_of_torchmetrics(shape: tuple[int, int], splits: int) -> None:
    inception = foreign("torchmetrics.image.inception")
    logits = torch.from_numpy(3 * np.random.default_rng(0).standard_normal(shape))
    # It shuffles by the global generator: hand it the rows so that they come out in our order.
    rows = torch.empty_like(logits)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        rows[torch.randperm(len(rows))] = logits[np.random.default_rng(5).permutation(len(rows))]
        torch.manual_seed(0)
        metric = inception.InceptionScore(feature=Given(shape[1]), splits=splits)
        metric.update(rows[:, :, None, None])
        mean, deviation = metric.compute()
    ours = classifier_score(logits.softmax(1).numpy(), splits=splits, seed=5)
    assert ours.value == pytest.approx(float(mean), rel=AGREES)
    assert ours.standard_error == pytest.approx(float(deviation) / splits**0.5, rel=AGREES)


@pytest.mark.parametrize("decimals", [0, 1, 8], ids=lambda decimals: f"rounded to {decimals}")
def test_the_rank_score_is_the_test_of_scipy(decimals: int) -> None:
    stats = foreign("scipy.stats")
    x, y = np.random.default_rng(0).standard_normal((2, 40)).round(decimals)
    p = stats.mannwhitneyu(x, y[:30], use_continuity=False, method="asymptotic", alternative="greater").pvalue
    assert stats.norm.sf(rank_score(x, y[:30])) == pytest.approx(p, rel=AGREES)
