"""Pairs that are made of single images: small, holed or gray ones, and what they were.

The source of an image follows from a seed: of its place in the stream while training, so that it is another one at
each visit and the same after a resume and on any number of ranks; of its index when it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor

from organza.data.degrade import Degrade
from organza.data.images import LUMA
from organza.data.masks import Masks
from organza.data.options import DataOptions
from organza.data.pairs import image_spec
from organza.data.pictures import size_text
from organza.data.source import Batch, Source, decode, encode
from organza.data.spec import ImageSpec
from organza.errors import DataError
from organza.noise import seeds_of

Maker = Callable[[Tensor, Tensor], Tensor]
"""Images (N, C, H, W) in [-1, 1] and seeds (N,) to the images that they are to be made from."""
READ = 0xDEAD
"""The seed of samples that are read by index."""


@final
class MadePairs(Source):
    """Single images as the targets of pairs.

    Args:
        images: What is to be made.
        options: `pairs` says from what: small, holes or gray.

    Raises:
        DataError: The images do not suit that.
    """

    def __init__(self, images: Source, options: DataOptions) -> None:
        self.target, self.source, self.make = made_of(image_spec(images), options)
        self.images, self.options = images, options
        self.name, self.notes, self.origins = images.name, images.notes, images.origins
        self.spec = replace(self.target, source=self.source)

    def __len__(self) -> int:
        return len(self.images)

    def read(self, indices: np.ndarray) -> Batch:
        """The pairs at `indices`, as they are stored, on the host."""
        stored = self.images.read(indices)["image"]
        seeds = seeds_of(torch.from_numpy(np.asarray(indices, np.int64)), key=READ)
        made = self.make(decode({"image": stored}, self.target)["image"], seeds)
        return {"source": as_stored(made, self.source), "image": stored}

    def subset(self, indices: np.ndarray) -> Source:
        """As `Source.subset`."""
        return MadePairs(self.images.subset(indices), self.options)

    def part(self, split: Literal["train", "test"], *, hold_out: float) -> Source:
        """As `Source.part`."""
        return MadePairs(self.images.part(split, hold_out=hold_out), self.options)

    def stream(self, size: int, *, start: int, seed: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """As `Source.stream`."""
        for batch in self.batches(size, start=start, seed=seed, rank=rank, world=world):
            yield {key: as_stored(batch[key], spec) for key, spec in self.spec.images.items()}

    def batches(
        self, size: int, *, start: int = 0, seed: int = 0, rank: int = 0, world: int = 1, device: str = "cpu"
    ) -> Iterator[Batch]:
        """As `Source.batches`; sources are made on `device`, and are what would be left of them in a file."""
        images = self.images.batches(size, start=start, seed=seed, rank=rank, world=world, device=device)
        share, top = size // world, 2**self.source.bits - 1
        for position, batch in zip(count(start + rank * share, size), images, strict=False):
            image = batch["image"]
            seeds = seeds_of(torch.arange(position, position + share, device=image.device), key=seed)
            made = ((self.make(image, seeds) + 1) * (top / 2)).round_().clamp_(0, top)
            yield {"source": made * (2 / top) - 1, "image": image}

    def close(self) -> None:
        """Close the images."""
        self.images.close()


def as_stored(images: Tensor, spec: ImageSpec) -> Tensor:
    """What a file of images (N, C, H, W) in [-1, 1] would hold: uint8 or uint16."""
    return torch.from_numpy(np.ascontiguousarray(encode(images, spec).transpose(0, 3, 1, 2)))


def small(target: ImageSpec, options: DataOptions) -> tuple[ImageSpec, Maker]:
    """A scale-th of the size, by a bicubic filter or as worn as is asked."""
    size, degrade = (target.height, target.width), Degrade(options.wear or 0.0)
    height, width = (side // options.scale for side in size)
    if (height * options.scale, width * options.scale) != size or not min(size) // options.scale:
        near = [max(1, round(side / options.scale)) * options.scale for side in size]
        raise DataError(
            f"images of {size_text(size)} cannot be made {options.scale} times as small; add --resize "
            f"{size_text((near[0], near[1]))}, or choose another --scale"
        )
    return replace(target, height=height, width=width), lambda x, seeds: degrade(x, seeds, height, width)


def holes(target: ImageSpec, options: DataOptions) -> tuple[ImageSpec, Maker]:
    """RGBA with alpha 0 in the holes, where the colors are black."""
    if target.channels not in (1, 3):
        raise DataError(
            f"images of {target.channels} channels have no room for holes, which alpha 0 marks; add --channels rgb"
        )
    masks = Masks() if options.holes == "any" else Masks((options.holes,))

    def make(image: Tensor, seeds: Tensor) -> Tensor:
        mask = masks(seeds, *image.shape[2:])
        shown = image.expand(-1, 3, -1, -1) * (1 - mask) - mask
        return torch.cat([shown, 1 - 2 * mask], dim=1)

    return replace(target, channels=4), make


def gray(target: ImageSpec, options: DataOptions) -> tuple[ImageSpec, Maker]:
    """The luma of RGB."""
    if target.channels != 3:
        raise DataError(
            f"images of {target.channels} channel{'s' * (target.channels > 1)} have no colors to lose: --pairs gray "
            "needs RGB; for pictures with transparency add --channels rgb"
        )
    weights = torch.from_numpy(LUMA).view(1, 3, 1, 1)
    return replace(target, channels=1), lambda x, seeds: (x * weights.to(x.device)).sum(1, keepdim=True)


def made_of(images: ImageSpec, options: DataOptions) -> tuple[ImageSpec, ImageSpec, Maker]:
    """Target and source of the pairs that single images become, and what makes the source of the target.

    Raises:
        DataError: The images do not suit that.
    """
    target = replace(images, classes=())
    return target, *MAKERS[options.pairs](target, options)


MAKERS: dict[str, Callable[[ImageSpec, DataOptions], tuple[ImageSpec, Maker]]] = {
    "small": small,
    "holes": holes,
    "gray": gray,
}
