"""Toy data for tests: sources that are made in memory, seekable and shuffled like the real ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from organza.data.source import Batch, Source
from organza.data.spec import ImageSpec, Spec, VectorSpec


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
