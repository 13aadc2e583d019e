"""Toy data for tests: sources that are made in memory, seekable and shuffled like the real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from organza.data.made import MadePairs
from organza.data.options import DataOptions
from organza.data.source import Batch, Source
from organza.data.spec import ImageSpec, Spec, VectorSpec
from organza.game import Request
from organza.recipe import Recipe


class World(Source):
    """A fixed set of samples in memory."""

    def __init__(self, name: str, spec: Spec, samples: Batch) -> None:
        self.name, self.spec, self.samples = name, spec, samples

    def __len__(self) -> int:
        return len(self.samples[self.spec.key])

    def read(self, indices: np.ndarray) -> Batch:
        return {key: value[indices] for key, value in self.samples.items()}


def shapes(count: int = 96, *, size: int = 16, labelled: bool = True) -> World:
    """Gray images of a bright square (class 0) or bar (class 1) at a random place."""
    random = np.random.default_rng(7)
    images = np.zeros((count, 1, size, size), dtype=np.uint8)
    labels = random.integers(2, size=count)
    for image, label in zip(images, labels, strict=True):
        row, column = random.integers(size // 2, size=2)
        height, width = (size // 2, size // 2) if label == 0 else (2, size // 2)
        image[0, row : row + height, column : column + width] = 255
    spec = ImageSpec(channels=1, height=size, width=size, classes=("square", "bar") if labelled else ())
    samples = {"image": torch.from_numpy(images)}
    return World("shapes", spec, samples | ({"label": torch.from_numpy(labels)} if labelled else {}))


def twins(count: int = 96, *, size: int = 16, paired: bool = True, channels: int = 1) -> World:
    """Gray shapes, and what is to be made of them: the same turned to its negative, two rows further down."""
    gray = shapes(count, size=size, labelled=False)
    source, image = gray.samples["image"], 255 - gray.samples["image"].roll(2, dims=2)
    image = image.expand(-1, channels, -1, -1).contiguous()
    given = ImageSpec(channels=1, height=size, width=size)
    spec = ImageSpec(channels=channels, height=size, width=size, source=given, is_paired=paired)
    return World("twins", spec, {"image": image if paired else image.flip(0), "source": source})


def lacking(pairs: str, count: int = 96, *, size: int = 16, images: World | None = None) -> World:
    """Gray shapes, to be made from smaller or from holed ones."""
    options = DataOptions(pairs=pairs, scale=2)  # type: ignore[arg-type]
    made = MadePairs(images or shapes(count, size=size, labelled=False), options)
    return World(pairs, made.spec, made.read(np.arange(len(made))))


def world_for(recipe: type[Recipe], count: int = 96) -> World:
    """A small world that a family of images can learn."""
    if recipe.pairs:
        return lacking(recipe.pairs, count)
    return shapes(count) if recipe.needs_sources == "no" else twins(count)


def inputs(world: World) -> Callable[[Request], Batch]:
    """The samples of a world that a request without sources is about: from the first on, again and again."""
    return lambda request: next(world.batches(request.start + request.count))


def ring(count: int = 256, *, labelled: bool = False) -> World:
    """Eight points on a circle of radius 2; the upper ones are class 0."""
    angles = torch.arange(count) % 8 * (torch.pi / 4)
    points = 2 * torch.stack([angles.cos(), angles.sin()], dim=1)
    samples = {"vector": points + 0.02 * torch.randn(points.shape)}
    if not labelled:
        return World("ring", VectorSpec(size=2), samples)
    label = (torch.arange(count) % 8) // 4
    return World("ring", VectorSpec(size=2, classes=("upper", "lower")), samples | {"label": label})


def batches(world: World, size: int, *, start: int = 0, seed: int = 0) -> Iterator[Batch]:
    """Endless decoded batches."""
    return world.batches(size, start=start, seed=seed)
