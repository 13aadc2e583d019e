"""Images of two domains, for image to image: paired, or each in an order of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, final

import numpy as np

from organza.data.options import DataOptions
from organza.data.pictures import size_text
from organza.data.source import Batch, Source
from organza.data.spec import ImageSpec
from organza.errors import DataError, UsageError

Size = tuple[int, int]
"""(height, width)."""


@final
class PairSource(Source):
    """Two sources of images as the sides of one.

    Paired, sample i of both belong together and one order serves both; the length is the number of pairs. Unpaired,
    each side has an order of its own, a function of (seed, epoch), so that the images meet others in each epoch; the
    length is that of the longer side, and the shorter one begins anew sooner: sample i is image i modulo its length.
    """

    def __init__(
        self, source: Source, target: Source, *, name: str, is_paired: bool, notes: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.notes = notes
        self.sides = {"source": source, "image": target}
        one, two = (replace(image_spec(side), classes=()) for side in self.sides.values())
        self.spec = replace(two, source=one, is_paired=is_paired)
        self._is_paired = is_paired
        self.origins = target.origins if is_paired else None

    def __len__(self) -> int:
        return max(len(side) for side in self.sides.values())

    def read(self, indices: np.ndarray) -> Batch:
        """The samples at `indices`, as they are stored, on the host."""
        return {key: side.read(indices % len(side))["image"] for key, side in self.sides.items()}

    def subset(self, indices: np.ndarray) -> Source:
        """As `Source.subset`; pairs stay pairs of two sources."""
        if not self._is_paired:
            return super().subset(indices)
        return self._of(*(side.subset(indices) for side in self.sides.values()))

    def part(self, split: Literal["train", "test"], *, hold_out: float) -> Source:
        """As `Source.part`; without pairs each side is divided by itself."""
        if self._is_paired:
            return super().part(split, hold_out=hold_out)
        return self._of(*(side.part(split, hold_out=hold_out) for side in self.sides.values()))

    def stream(self, size: int, *, start: int, seed: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """As `Source.stream`; sides that decode ahead both do."""
        streams = (
            side.stream(size, start=start, seed=own, rank=rank, world=world)
            for side, own in zip(self.sides.values(), self._seeds(seed), strict=True)
        )
        return _together(*streams)

    def batches(
        self, size: int, *, start: int = 0, seed: int = 0, rank: int = 0, world: int = 1, device: str = "cpu"
    ) -> Iterator[Batch]:
        """As `Source.batches`; sides in memory are gathered on `device`."""
        streams = (
            side.batches(size, start=start, seed=own, rank=rank, world=world, device=device)
            for side, own in zip(self.sides.values(), self._seeds(seed), strict=True)
        )
        return _together(*streams)

    def close(self) -> None:
        """Close both sides."""
        for side in self.sides.values():
            side.close()

    def _seeds(self, seed: int) -> tuple[int, int]:
        other = int(np.random.SeedSequence([seed, 0x5EC0]).generate_state(1)[0])
        return seed, seed if self._is_paired else other

    def _of(self, source: Source, target: Source) -> PairSource:
        return PairSource(source, target, name=self.name, is_paired=self._is_paired, notes=self.notes)


def _together(source: Iterator[Batch], target: Iterator[Batch]) -> Iterator[Batch]:
    return ({"source": left["image"], "image": right["image"]} for left, right in zip(source, target, strict=False))


def image_spec(source: Source) -> ImageSpec:
    """What a source promises, if it is single images.

    Raises:
        DataError: It is something else.
    """
    if not isinstance(source.spec, ImageSpec) or source.spec.has_source:
        what = "pairs already" if source.spec.has_source else "points"
        raise DataError(
            f"{source.name} holds {what}; each side of image to image needs a source of single images, such as mnist "
            "or a folder"
        )
    return source.spec


def relation(source: Size, target: Size) -> int:
    """How many times the target is as high and as wide as the source; negative if the source is so; 0 if neither."""
    for factor, small, large in ((1, source, target), (-1, target, source)):
        scale = large[0] // small[0]
        if scale >= 1 and large == (scale * small[0], scale * small[1]):
            return factor * scale
    return 0


def resized(options: DataOptions, *, factor: int) -> tuple[DataOptions, DataOptions]:
    """The options of both sides: a size asked for is that of the larger side, where one is so by a whole factor.

    Raises:
        UsageError: The size cannot be divided so.
    """
    if options.size is None or abs(factor) < 2:
        return options, options
    (height, width), scale = options.size, abs(factor)
    if height % scale or width % scale:
        near = size_text((max(1, round(height / scale)) * scale, max(1, round(width / scale)) * scale))
        raise UsageError(
            f"One side is {scale} times as large as the other, and --resize {options.resize} cannot be divided by "
            f"{scale}; take --resize {near}"
        )
    small = replace(options, resize=size_text((height // scale, width // scale)))
    return (small, options) if factor > 0 else (options, small)


def fitting(source: Source, target: Source, options: DataOptions) -> int:
    """The `relation` of the sizes of two sources whose samples of the same place are pairs; 0 where a resize mends it.

    Raises:
        DataError: They are not single images, or their counts or sizes do not fit.
    """
    one, two = image_spec(source), image_spec(target)
    if len(source) != len(target):
        raise DataError(
            f"{source.name} holds {len(source):,} images and {target.name} {len(target):,}; pairs need the same count "
            "on both sides. Cut one with --limit, or take them as unpaired: --paired no"
        )
    factor = relation((one.height, one.width), (two.height, two.width))
    if not factor and options.size is None:
        raise DataError(
            f"The images of {source.name} are {size_text((one.height, one.width))} and those of {target.name} "
            f"{size_text((two.height, two.width))}, which differ by no whole factor. Bring them to one size: --resize "
            f"{max(one.height, two.height)}"
        )
    return factor
