"""What a data source promises: the shape of one sample, its range and its labels. Recipes are built from this alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, final


@dataclass(frozen=True)
class Spec:
    """What every source promises.

    Samples reach the networks as float32 in [-1, 1] (images) or as they are (vectors), under the batch key `key`;
    where there are labels, `batch["label"]` holds int64 class indices, shape (N,).
    """

    key: ClassVar[str]

    classes: tuple[str, ...] = ()
    """Class names in the order of their indices; empty where the data has no labels."""
    grouped: bool = field(default=False, kw_only=True)
    """Whether the classes are groups of similar samples that organza has found; they mean nothing to others."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample, without the batch axis."""
        raise NotImplementedError

    @property
    def num_classes(self) -> int:
        """How many classes there are; 0 without labels."""
        return len(self.classes)


@final
@dataclass(frozen=True)
class ImageSpec(Spec):
    """Images of one size: channels x height x width, float32 in [-1, 1] under the key `image`."""

    key: ClassVar[str] = "image"

    channels: int = 1
    """1 gray, 3 RGB, 4 RGBA; any other count is allowed for .npy and .npz sources."""
    height: int = 28
    width: int = 28
    bits: int = 8
    """Bits per channel in the source and in what is written: 8 or 16."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return (self.channels, self.height, self.width)


@final
@dataclass(frozen=True)
class VectorSpec(Spec):
    """Points in a low-dimensional space (the toys): float32, unscaled, under the key `vector`."""

    key: ClassVar[str] = "vector"

    size: int = 2
    """Numbers per sample: 1 or 2 for the toys."""

    @property
    def shape(self) -> tuple[int]:
        """(size,)."""
        return (self.size,)


SPECS: dict[str, type[Spec]] = {"image": ImageSpec, "vector": VectorSpec}
