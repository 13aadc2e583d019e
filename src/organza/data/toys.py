"""Toy distributions in one or two dimensions whose modes are known, so that mode coverage can be measured exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import torch

from organza.data.memory import MemorySource
from organza.data.options import DataOptions
from organza.data.source import Batch, Source
from organza.data.spec import VectorSpec

TOY_SAMPLES = 65536


@dataclass(frozen=True)
class Toy:
    """A mixture of equal Gaussians: `modes` (M, D) with one `std`, and a class name for each mode, or none."""

    modes: np.ndarray
    std: float
    classes: tuple[str, ...] = ()


def ring(count: int, *, radius: float, std: float) -> Toy:
    """`count` Gaussians evenly spaced on a circle around the origin."""
    angles = 2 * np.pi * np.arange(count) / count
    return Toy(radius * np.stack([np.cos(angles), np.sin(angles)], axis=1), std, _numbers(count))


def grid(side: int, *, spacing: float, std: float) -> Toy:
    """`side` x `side` Gaussians on a square grid around the origin."""
    axis = spacing * (np.arange(side) - (side - 1) / 2)
    return Toy(np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2), std, _numbers(side**2))


def moons(count: int, *, std: float) -> Toy:
    """Two interleaved half circles of radius 1; the modes are `count` points along each, closer than 3 std."""
    angles = np.linspace(0, np.pi, count)
    upper = np.stack([np.cos(angles) - 0.5, np.sin(angles) - 0.25], axis=1)
    return Toy(np.concatenate([upper, -upper]), std, ("upper",) * count + ("lower",) * count)


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(count))


TOYS = {
    "ring8": ring(8, radius=2.0, std=0.02),
    "grid25": grid(5, spacing=2.0, std=0.05),
    "moons": moons(32, std=0.05),
    "gaussian1d": Toy(np.array([[4.0]]), 1.25),
}


@final
class ToySource(Source):
    """Fixed samples of a toy; `train` and `test` are disjoint draws. Its modes and their spread are known."""

    modes: np.ndarray
    """Centres of the modes, (M, D)."""
    std: float
    """Standard deviation of the Gaussian around each mode."""

    def __init__(self, name: str, *, split: str = "train", labels: bool = True, count: int = TOY_SAMPLES) -> None:
        toy = TOYS[name]
        self.name = name
        self.modes = toy.modes
        self.std = toy.std
        random = np.random.default_rng([0x707, list(TOYS).index(name), ["train", "test"].index(split)])
        which = random.integers(len(toy.modes), size=TOY_SAMPLES)
        points = toy.modes[which] + toy.std * random.standard_normal((TOY_SAMPLES, toy.modes.shape[1]))
        samples: Batch = {"vector": torch.from_numpy(points[:count].astype(np.float32))}
        classes = tuple(dict.fromkeys(toy.classes)) if labels else ()
        if classes:
            of_mode = np.array([classes.index(label) for label in toy.classes])
            samples["label"] = torch.from_numpy(of_mode[which[:count]])
        self.spec = VectorSpec(classes=classes, size=toy.modes.shape[1])
        self._memory = MemorySource(samples, name=name, spec=self.spec)

    def __len__(self) -> int:
        return len(self._memory)

    def read(self, indices: np.ndarray) -> Batch:
        """The points at `indices`, on the host."""
        return self._memory.read(indices)

    def batches(
        self, size: int, *, start: int = 0, seed: int = 0, rank: int = 0, world: int = 1, device: str = "cpu"
    ) -> Iterator[Batch]:
        """As `Source.batches`, gathered on `device`."""
        return self._memory.batches(size, start=start, seed=seed, rank=rank, world=world, device=device)

    def close(self) -> None:
        """Free the copies on other devices."""
        self._memory.close()


def open_toy(name: str, *, options: DataOptions) -> ToySource:
    """The toy called `name`."""
    count = min(TOY_SAMPLES, options.limit or TOY_SAMPLES)
    return ToySource(name, split=options.split, labels=options.labels, count=count)
