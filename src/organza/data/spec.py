"""What a data source promises: the shape of one sample, its range and its labels. Recipes are built from this alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final


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

    @property
    def images(self) -> dict[str, ImageSpec]:
        """What of a batch is images, by key; empty for points."""
        return {}

    @property
    def has_source(self) -> bool:
        """Whether each sample is to be made from another image, which comes with it under the key `source`."""
        return False


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
    source: ImageSpec | None = None
    """What each image is to be made from, under the key `source`; None: from nothing but noise and a label."""
    is_paired: bool = field(default=True, compare=False)
    """Whether the source in a batch belongs to the image beside it. Data is alike whether it does or not."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return (self.channels, self.height, self.width)

    @property
    def images(self) -> dict[str, ImageSpec]:
        """What they are made from, and these images."""
        return ({"source": self.source} if self.source is not None else {}) | {self.key: self.alone}

    @property
    def alone(self) -> ImageSpec:
        """These images without what they are made from."""
        return self if self.source is None else replace(self, source=None, is_paired=True)

    @property
    def has_source(self) -> bool:
        """Whether images are to be made from images."""
        return self.source is not None


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


SPECS: dict[str, type[Spec]] = {kind.key: kind for kind in (ImageSpec, VectorSpec)}
"""Kinds of data by the key of their samples."""


def restored(saved: Mapping[str, Any], *, kind: str) -> Spec:
    """The spec that `asdict` and JSON made `saved` of; `kind` is its key."""
    fields: dict[str, Any] = {
        name: restored(value, kind=ImageSpec.key) if isinstance(value, dict) else value for name, value in saved.items()
    }
    fields["classes"] = tuple(saved["classes"])
    return SPECS[kind](**fields)
