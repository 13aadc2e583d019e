"""The table of measures: what each needs, how it is called, which direction is better, and what it means in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import torch

from organza.errors import MeasureError
from organza.metrics.classifier import class_divergence, class_histogram, classifier_score
from organza.metrics.estimate import Estimate
from organza.metrics.frechet import Moments, frechet_distance
from organza.metrics.kernel import kernel_distance
from organza.metrics.manifold import density_coverage, precision_recall
from organza.metrics.memorisation import authenticity
from organza.metrics.modes import count_modes
from organza.metrics.sliced import sliced_wasserstein

SURE = 0.9
"""Confidence above which a sample counts as recognised."""
BALLS_OF = 5_000
"""Samples of each side for measures that compare all with all: four times as fast as 10,000, and hardly different."""
CANONICAL = {"frechet": "FID", "kernel": "KID", "classifier": "IS"}
"""Names that the 2015 Inception network alone gives."""


@final
@dataclass(frozen=True, eq=False)
class Sample:
    """What measures see of one side."""

    features: np.ndarray
    """(N, D)."""
    probabilities: np.ndarray | None = None
    """Of a classifier, (N, C)."""
    labels: np.ndarray | None = None
    """The classes they were made for, or have, (N,)."""

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, rows: slice) -> Sample:
        """Some of the samples."""
        probabilities, labels = (None if x is None else x[rows] for x in (self.probabilities, self.labels))
        return Sample(self.features[rows], probabilities, labels)


@final
@dataclass(frozen=True)
class Score:
    """One number and what belongs to it."""

    value: float
    standard_error: float | None = None
    method: str = ""
    details: dict[str, Any] = field(default_factory=dict)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Measures that are computed together."""

    compute: Callable[[Sample, Sample], dict[str, Score]]
    """From real and fake samples to scores by measure."""
    parameters: dict[str, Any] = field(default_factory=dict)
    most: int | None = None
    """Samples of each side, at most."""
    needs: str = "features"
    """features, probabilities or labels (of both sides, that mean what the classifier's classes mean)."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Measure:
    """One score: how it is called and read."""

    title: str
    """Its name; {label} is the extractor's name of its distance, {extractor} the extractor's own."""
    group: Group
    higher_is_better: bool | None
    meaning: str
    """One sentence for people."""


def frechet(real: Sample, fake: Sample) -> dict[str, Score]:
    """Distance of the Gaussians with the moments of both sides."""
    return {"frechet": Score(frechet_distance(real.features, fake.features))}


def kernel(real: Sample, fake: Sample) -> dict[str, Score]:
    """Squared maximum mean discrepancy."""
    return {"kernel": estimated(kernel_distance(real.features, fake.features, **KERNEL), "over subsets")}


def balls(real: Sample, fake: Sample) -> dict[str, Score]:
    """Fidelity and diversity by neighbourhoods."""
    one = precision_recall(real.features, fake.features, k=BALLS["k_precision_recall"])
    two = density_coverage(real.features, fake.features, k=BALLS["k_density_coverage"])
    return {
        "precision": Score(one.precision),
        "recall": Score(one.recall),
        "density": Score(two.density),
        "coverage": Score(two.coverage),
    }


def authentic(real: Sample, fake: Sample) -> dict[str, Score]:
    """The share of fakes that are no copies of these real samples."""
    return {"authenticity": Score(authenticity(real.features, fake.features))}


def classified(real: Sample, fake: Sample) -> dict[str, Score]:
    """What the classifier says of the fakes, and how it spreads them over classes beside the real ones."""
    likely, known = probabilities(fake), probabilities(real)
    shares, expected = (class_histogram(p.argmax(axis=1), classes=p.shape[1]) for p in (likely, known))
    # Less than one real sample in a class that fakes have would make the divergence infinite.
    smooth = (expected * len(known) + 0.5) / (len(known) + 0.5 * len(expected))
    histogram = {"histogram": shares.round(4).tolist()} if len(shares) <= 100 else {}
    sure = likely.max(axis=1) > SURE
    error = float(np.sqrt(sure.mean() * (1 - sure.mean()) / len(sure)))
    splits = min(CLASSIFIER["splits"], len(likely))
    return {
        "classifier": estimated(classifier_score(likely, splits=splits), "over parts"),
        "recognised": Score(float(sure.mean()), error, "binomial"),
        "classes": Score(class_divergence(shares, smooth), details=histogram),
    }


def accuracy(real: Sample, fake: Sample) -> dict[str, Score]:
    """How often the classifier sees the class that the fake was made for."""
    labels = fake.labels
    if labels is None:
        raise MeasureError("class accuracy needs the classes that the samples were made for")
    right = probabilities(fake).argmax(axis=1) == labels
    mean = float(right.mean())
    by_class = {str(c): round(float(right[labels == c].mean()), 4) for c in np.unique(labels).tolist()}
    error = float(np.sqrt(mean * (1 - mean) / len(right)))
    return {"accuracy": Score(mean, error, "binomial", {"by_class": by_class} if len(by_class) <= 100 else {})}


def sliced(real: Sample, fake: Sample) -> dict[str, Score]:
    """Root mean square distance over one-dimensional projections."""
    count = min(len(real), len(fake))  # it pairs sorted values
    sides = (torch.from_numpy(np.asarray(side.features[:count])) for side in (real, fake))
    return {"sliced": Score(sliced_wasserstein(*sides, **SLICED))}


def probabilities(side: Sample) -> np.ndarray:
    """What the classifier says of a side, for groups that need one."""
    if side.probabilities is None:
        raise MeasureError("this measure needs an extractor that classifies, such as digits")
    return side.probabilities


def estimated(estimate: Estimate, method: str) -> Score:
    """An estimate as a score."""
    return Score(estimate.value, estimate.standard_error, method)


KERNEL = {"subsets": 100, "subset_size": 1000, "degree": 3, "coef": 1.0, "seed": 0}
BALLS = {"k_precision_recall": 3, "k_density_coverage": 5}
CLASSIFIER = {"splits": 10}
SLICED = {"projections": 128, "seed": 0}

FRECHET_GROUP = Group(compute=frechet)
KERNEL_GROUP = Group(compute=kernel, parameters=KERNEL)
BALLS_GROUP = Group(compute=balls, parameters=BALLS, most=BALLS_OF)
AUTHENTIC_GROUP = Group(compute=authentic, most=BALLS_OF)
CLASSIFIED_GROUP = Group(compute=classified, parameters=CLASSIFIER | {"sure": SURE}, needs="probabilities")
ACCURACY_GROUP = Group(compute=accuracy, needs="labels")
SLICED_GROUP = Group(compute=sliced, parameters=SLICED)

IMAGES: dict[str, Measure] = {
    "frechet": Measure(
        title="{label}",
        group=FRECHET_GROUP,
        higher_is_better=False,
        meaning="how far the fakes as a whole are from the real images, by their features",
    ),
    "kernel": Measure(
        title="KD-{extractor}",
        group=KERNEL_GROUP,
        higher_is_better=False,
        meaning="the same question without a bias for small sets; around 0 is as good as real",
    ),
    "precision": Measure(
        title="precision-{extractor}",
        group=BALLS_GROUP,
        higher_is_better=True,
        meaning="share of fakes that could pass for real",
    ),
    "recall": Measure(
        title="recall-{extractor}",
        group=BALLS_GROUP,
        higher_is_better=True,
        meaning="share of the real images that the fakes come near: variety",
    ),
    "density": Measure(
        title="density-{extractor}",
        group=BALLS_GROUP,
        higher_is_better=True,
        meaning="how deep inside the crowd of real images the fakes lie; typical fakes can exceed 1",
    ),
    "coverage": Measure(
        title="coverage-{extractor}",
        group=BALLS_GROUP,
        higher_is_better=True,
        meaning="share of the real images that have a fake among their nearest neighbours: variety",
    ),
    "authenticity": Measure(
        title="authenticity-{extractor}",
        group=AUTHENTIC_GROUP,
        higher_is_better=None,
        meaning="share of fakes that are no near copies of these real images; far below the floor is copying, "
        "above it they are no real images either",
    ),
    "classifier": Measure(
        title="classifier-score-{extractor}",
        group=CLASSIFIED_GROUP,
        higher_is_better=True,
        meaning="how sure the classifier is of each fake and how evenly it spreads them over its classes",
    ),
    "recognised": Measure(
        title="recognised-{extractor}",
        group=CLASSIFIED_GROUP,
        higher_is_better=True,
        meaning="share of fakes of which the classifier is more than 90 % sure",
    ),
    "classes": Measure(
        title="class-divergence-{extractor}",
        group=CLASSIFIED_GROUP,
        higher_is_better=False,
        meaning="how unlike the real ones the fakes are spread over the classes; 0 is alike",
    ),
    "accuracy": Measure(
        title="class-accuracy-{extractor}",
        group=ACCURACY_GROUP,
        higher_is_better=True,
        meaning="how often the classifier sees the class that was asked for",
    ),
}
"""Measures of images, in reading order."""


def points(modes: np.ndarray | None, std: float) -> dict[str, Measure]:
    """Measures of points; counts of modes where those are known (M, D), with their standard deviation."""

    def counted(real: Sample, fake: Sample) -> dict[str, Score]:
        found = count_modes(fake.features, modes if modes is not None else np.zeros((0, 0)), std=std)
        return {
            "modes": Score(found.captured, details={"of": found.total}),
            "close": Score(found.high_quality),
            "evenness": Score(found.divergence),
        }

    table = {
        "sliced": Measure(
            title="sliced Wasserstein distance",
            group=SLICED_GROUP,
            higher_is_better=False,
            meaning="how far the fakes have to be moved to become the real points",
        )
    }
    if modes is None:
        return table
    group = Group(compute=counted, parameters={"modes": len(modes), "std": std})
    return table | {
        "modes": Measure(
            title="modes captured", group=group, higher_is_better=True, meaning="how many of the known modes are hit"
        ),
        "close": Measure(
            title="share close to a mode",
            group=group,
            higher_is_better=True,
            meaning="share of fakes within three standard deviations of a mode",
        ),
        "evenness": Measure(
            title="mode divergence",
            group=group,
            higher_is_better=False,
            meaning="how unevenly the fakes are spread over the modes; 0 is even",
        ),
    }


def title_of(key: str, measure: Measure, *, extractor: str, label: str) -> str:
    """The name of a score by the naming rule: FID, KID and IS for `inception`, for others a name that says which."""
    if extractor == "inception" and key in CANONICAL:
        return CANONICAL[key]
    return measure.title.format(label=label, extractor=extractor)


def called_here(name: str) -> str:
    """What FID, KID or IS is called here, to end a message with; empty for other names."""
    for key, canonical in CANONICAL.items():
        if canonical == name.upper():
            with_it = "--extractor inception"
            return f". {canonical} is {key} with {with_it}: organza evaluate RUN {with_it} --measures {key}"
    return ""


Computed = tuple[Score, int, int]
"""A score, and how many real and fake samples it saw."""


def compute(table: dict[str, Measure], keys: Sequence[str], real: Sample, fake: Sample) -> dict[str, Computed]:
    """The scores of some measures."""
    found: dict[str, Computed] = {}
    for group in dict.fromkeys(table[key].group for key in keys):
        most = group.most or max(len(real), len(fake))
        sides = real[:most], fake[:most]
        for key, score in group.compute(*sides).items():
            found[key] = score, len(sides[0]), len(sides[1])
    return {key: found[key] for key in keys}


def beware(real: Sample, fake: Sample) -> str:
    """What to say beside a Frechet distance of so few samples; empty if there are enough."""
    fewest = min(real, fake, key=len)
    return Moments(len(fewest), fewest.features[0], np.zeros((0, 0))).note
