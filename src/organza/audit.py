"""Does a run replay its training data? What `organza audit` measures, in pixels and in features."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import torch

from organza.data.spec import ImageSpec
from organza.errors import DataError, UsageError
from organza.features import look
from organza.generate import check_request
from organza.metrics.extractors import Extractor
from organza.metrics.measures import Sample
from organza.metrics.memorisation import Birthday, Copying, authenticity, birthday, copying
from organza.metrics.neighbours import nearest
from organza.pools import Pool, order_of, pool_made, pool_of
from organza.reference import Reference, looked, open_reference
from organza.report.neighbours import pixels, search
from organza.run import Run
from organza.scoring import choose_extractor

RARE = 0.01
"""A fake is suspicious if it is nearer to a training image than this share of the held-out images is."""
MOST_SAMPLES = 60_000
MOST_NUMBERS = 2**27
"""Features of training images to hold at once."""
LEAST = 40
"""Fakes and held-out images below which nothing can be told."""


@final
@dataclass(frozen=True, eq=False)
class Space:
    """Distances to the nearest training image, by pixels or by features."""

    distances: np.ndarray
    """Of each fake, (N,)."""
    indices: np.ndarray
    """Which training images, (N,)."""
    baseline: np.ndarray
    """Distances of held-out real images, (M,)."""

    @property
    def limit(self) -> float:
        """The distance that few held-out images fall below."""
        return float(np.quantile(self.baseline, RARE))

    @property
    def near(self) -> np.ndarray:
        """Which fakes are nearer than that, or exact copies, (N,)."""
        return (self.distances < self.limit) | (self.distances == 0)

    @property
    def share(self) -> float:
        """Of the suspicious fakes; about `RARE` where nothing is copied."""
        return float(self.near.mean())

    @property
    def surprise(self) -> float:
        """By how many standard deviations there are more of them than expected."""
        return (self.share - RARE) / math.sqrt(RARE * (1 - RARE) * (1 / len(self.distances) + 1 / len(self.baseline)))


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Audit:
    """What was found."""

    fakes: np.ndarray
    """Stored images (N, H, W, C)."""
    spaces: dict[str, Space]
    """`pixels`, and the extractor's name unless that is all it sees."""
    authenticity: float
    authenticity_floor: float
    """Of held-out real images."""
    copying: Copying
    birthday: Birthday
    closest_real: float
    """Distance of the two nearest of as many real images, in features."""
    searched: int
    """Training images that were compared."""
    total: int
    has_test: bool
    """Whether the held-out images are a test split; else they were set aside from the training images."""
    extractor: str
    checkpoint: str
    seed: int

    @property
    def tone(self) -> Literal["calm", "watch", "alarm"]:
        """How bad it is."""
        shares = [space.share for space in self.spaces.values()]
        surprises = [space.surprise for space in self.spaces.values()]
        if max(shares) > 0.1 or self.authenticity < 0.5 * self.authenticity_floor:
            return "alarm"
        is_odd = max(surprises) > 4 or self.copying.value < -3 or self.authenticity < 0.85 * self.authenticity_floor
        return "watch" if is_odd or self.repeats else "calm"

    @property
    def repeats(self) -> bool:
        """Whether fakes are alike far more often than real images."""
        return self.birthday.duplicates > max(10, len(self.fakes) // 100)

    @property
    def headline(self) -> str:
        """The verdict in a few words."""
        if self.tone == "alarm":
            return "It copies its training data"
        if self.tone == "calm":
            return "No sign of copying"
        odd = self.repeats and max(space.surprise for space in self.spaces.values()) <= 4
        return "It repeats itself" if odd else "Nearer to the training data than it should be"

    @property
    def reasons(self) -> list[str]:
        """The numbers behind it, a phrase each."""
        parts = []
        if self.repeats:
            pairs = f"{self.birthday.duplicates:,} of {self.birthday.pairs:,} pairs of fakes"
            parts.append(f"{pairs} are as alike as the two most alike of as many real images")
        parts += [
            f"{space.share:.1%} of the fakes lie nearer to a training image than 99% of held-out images do, by {name} "
            "(1% by chance)"
            for name, space in self.spaces.items()
        ]
        parts.append(
            f"{self.authenticity:.0%} are no near copies (authenticity; of held-out images: "
            f"{self.authenticity_floor:.0%})"
        )
        return [*parts, f"C_T is {self.copying.value:+.1f}, where 0 is right and far below 0 is copying"]


def audit(
    run: Run,
    *,
    count: int = 1_000,
    extractor: str | None = None,
    seed: int = 0,
    checkpoint: str = "newest",
    device: str = "cpu",
) -> Audit:
    """Look for copies of training images among the samples of a run.

    Args:
        run: Of images.
        count: Fakes, and held-out images at most.
        extractor: Network of the feature space; None: the one that suits the data.
        seed: Of the fakes.
        checkpoint: `newest`, `best` or the folder of one.
        device: Where to compute.

    Raises:
        UsageError: The run makes points.
        DataError: There are too few images to tell anything.
    """
    check_request(count, seed, 1.0)
    if not isinstance(run.spec, ImageSpec):
        raise UsageError(f"{run.folder} makes points, which are never copies; organza audit looks at images")
    reference = open_reference(str(run.config["data"]["source"]), run.data_options)
    try:
        judge, _ = choose_extractor(reference.source, extractor, weights=None, device=device, offline=True)
        assert judge is not None
        path = run.checkpoint(checkpoint)
        train, held_out, order = divided(reference, judge, count)
        if min(count, held_out.count) < LEAST:
            mend = f"without a test split a fifth of the images stands in for them, so give {5 * LEAST} or more"
            if reference.other is not None:
                mend = "train with a larger --hold-out" if run.data_options.hold_out else "train without --limit"
            raise DataError(
                f"{count:,} fakes and {held_out.count:,} unseen images cannot tell copies from chance; {LEAST} or more "
                f"of each are needed: " + (f"take --count {LEAST} or more" if count < LEAST else mend)
            )
        searched = f"{train.count:,} images of {reference.source.name}"
        print(f"searching {searched} for what {count:,} samples may copy ...", file=sys.stderr, flush=True)
        game = run.game(path=path, device=device)
        known = looked(reference.cache, train, judge)
        labels = known.labels if game.is_conditional else None
        made = pool_made(game, run.spec, count=count, seed=seed, labels=labels)
        fakes = np.concatenate([part.samples for part in made])
        held = looked(reference.cache, held_out, judge)
        fake = look(made, judge, name="fakes")
        spaces = {"pixels": in_pixels(fakes, held_out, reference, order)}
        if judge.name != "pixels":
            spaces[judge.name] = in_features(fake, held, known, order)
        closest = birthday(held.features[:count], threshold=0.0).distance
        return Audit(
            fakes=fakes,
            spaces=spaces,
            authenticity=authenticity(known.features, fake.features),
            authenticity_floor=authenticity(known.features, held.features),
            copying=copying(known.features, held.features, fake.features, at_least=min(20, LEAST // 4)),
            birthday=birthday(fake.features[: held_out.count], threshold=closest),
            closest_real=closest,
            searched=train.count,
            total=len(reference.source),
            has_test=reference.other is not None,
            extractor=judge.name,
            checkpoint=path.name,
            seed=seed,
        )
    finally:
        reference.close()


def divided(reference: Reference, judge: Extractor, count: int) -> tuple[Pool, Pool, np.ndarray]:
    """Training images, held-out ones, and which the former are: the test split, or a part set aside."""
    width = judge.feature_dim or math.prod(reference.source.spec.shape)
    total = len(reference.source)
    most = max(1, min(total, MOST_SAMPLES, MOST_NUMBERS // width))
    if reference.other is not None:
        held_out = pool_of(reference.other, start=0, stop=count)
        return pool_of(reference.source, start=0, stop=most), held_out, order_of(reference.source)[:most]
    aside = min(count, total // 5)
    train = pool_of(reference.source, start=aside, stop=most)
    return train, pool_of(reference.source, start=0, stop=aside), order_of(reference.source)[aside:most]


def in_pixels(fakes: np.ndarray, held_out: Pool, reference: Reference, order: np.ndarray) -> Space:
    """Distances by pixels from 0 to 1."""
    source, spec = reference.source, reference.source.spec
    assert isinstance(spec, ImageSpec)
    held = np.concatenate([part.samples for part in held_out])
    queries = pixels(torch.from_numpy(np.concatenate([fakes, held]).transpose(0, 3, 1, 2)), spec)
    indices, _ = search(queries, np.full(len(queries), -1), source, spec, order, math.inf)
    found = pixels(source.read(indices)["image"], spec)
    distances = torch.linalg.vector_norm(queries - found, dim=1).numpy()
    return Space(distances[: len(fakes)], indices[: len(fakes)], distances[len(fakes) :])


def in_features(fake: Sample, held: Sample, known: Sample, order: np.ndarray) -> Space:
    """Distances by features."""
    near, squares = nearest(fake.features.astype(np.float64), known.features.astype(np.float64))
    baseline = nearest(held.features.astype(np.float64), known.features.astype(np.float64))[1]
    return Space(np.sqrt(squares), order[near], np.sqrt(baseline))
