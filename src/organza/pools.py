"""Samples of either side, real or fake, by position: what is scored, a block at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import torch

from organza.data.source import Source
from organza.data.spec import ImageSpec, Spec
from organza.game import Game, Request
from organza.generate import Generated, stored
from organza.inference import at_once


@final
@dataclass(frozen=True, eq=False)
class Pool:
    """So many samples, as they are stored. Which block a sample is in depends on its position alone."""

    spec: Spec
    count: int
    read: Callable[[int, int], Generated]
    """The samples from one position to another."""

    @property
    def block(self) -> int:
        """Samples to read at once."""
        return at_once(self.spec.shape)

    def blocks(self) -> list[slice]:
        """All positions, in parts of equal size but for the last."""
        return [slice(start, min(start + self.block, self.count)) for start in range(0, self.count, self.block)]

    def __iter__(self) -> Iterator[Generated]:
        return (self.read(part.start, part.stop) for part in self.blocks())

    @cached_property
    def sha256(self) -> str:
        """Of everything that is in it."""
        digest = hashlib.sha256(repr(self.spec).encode())
        for part in self:
            digest.update(f"{part.samples.dtype} {part.samples.shape}".encode())
            digest.update(np.ascontiguousarray(part.samples).data)
            if part.labels is not None:
                digest.update(np.ascontiguousarray(part.labels).data)
        return digest.hexdigest()


def order_of(source: Source) -> np.ndarray:
    """The random order in which samples of a source are taken, always the same."""
    return np.random.default_rng([0x5C02E, len(source)]).permutation(len(source))


def pool_of(source: Source, *, start: int, stop: int) -> Pool:
    """Samples of a source in random order, always the same: those at these places of it."""
    order = order_of(source)[start:stop]

    def read(first: int, last: int) -> Generated:
        batch = source.read(order[first:last])
        samples = batch[source.spec.key].numpy()
        if isinstance(source.spec, ImageSpec):
            samples = samples.transpose(0, 2, 3, 1)
        return Generated(samples, batch["label"].numpy() if "label" in batch else None)

    return Pool(source.spec, len(order), read)


def pool_of_pairs(source: Source, *, start: int, stop: int) -> Pool:
    """The same samples with what they are made from: both sides in one row each, (N, D)."""
    order = order_of(source)[start:stop]

    def read(first: int, last: int) -> Generated:
        batch = source.read(order[first:last])
        sides = [batch[key].numpy().reshape(last - first, -1) for key in source.spec.images]
        return Generated(np.concatenate(sides, axis=1), None)

    return Pool(source.spec, len(order), read)


def pool_made(
    game: Game, spec: Spec, *, count: int, seed: int, truncation: float = 1.0, labels: np.ndarray | None = None
) -> Pool:
    """Samples of a game, of these classes, again from the beginning where there are too few of them; None: any."""

    def read(first: int, last: int) -> Generated:
        wanted = None if labels is None else torch.from_numpy(labels[np.arange(first, last) % len(labels)])
        request = Request(last - first, seed=seed, start=first, labels=wanted, truncation=truncation)
        return stored(game.generate(request), spec)

    return Pool(spec, count, read)
