"""Real samples to score against: those to compare with, and others for the floor."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, final

import numpy as np

from organza import distributed
from organza.data.options import DataOptions
from organza.data.registry import absolute, open_source
from organza.data.source import Source
from organza.errors import OrganzaError
from organza.features import cached, look
from organza.metrics.extractors import Extractor
from organza.metrics.measures import Sample
from organza.pools import Pool, pool_of

Split = Literal["train", "test"]


@final
@dataclass(frozen=True, eq=False)
class Reference:
    """A source of real samples, and its other split where there is one."""

    name: str
    split: Split
    source: Source
    other: Source | None
    cache: Path

    def close(self) -> None:
        """Let go of files and workers."""
        self.source.close()
        if self.other is not None:
            self.other.close()

    @property
    def flipped(self) -> Reference:
        """The other split with this one for its floor; the same where there is only one."""
        if self.other is None:
            return self
        return replace(self, split=flipped(self.split), source=self.other, other=self.source)

    def pool(self, count: int) -> Pool:
        """At most so many real samples to compare with."""
        return pool_of(self.source, start=0, stop=count)

    def floor(self, real: Sample, extractor: Extractor | None, *, count: int, fakes: int) -> tuple[Sample, Sample, str]:
        """Two sets of real samples that share none, and which they are: `real`, and others in the fakes' place.

        Every rank must call it, with how many real samples and fakes are compared; where there are fewer others, the
        floor is one of smaller sets.
        """
        count = min(count, len(self.source))
        if len(self.source) >= count + fakes:
            rest = looked(self.cache, pool_of(self.source, start=count, stop=count + fakes), extractor)
            return real, rest, f"two disjoint parts of {self.split}"
        if self.other is not None:
            rest = looked(self.cache, pool_of(self.other, start=0, stop=fakes), extractor)
            return (
                real if len(rest) == fakes else real[: len(rest)],
                rest,
                f"{flipped(self.split)} against {self.split}",
            )
        part = min(count // 2, fakes)
        return real[part:], real[:part], f"two disjoint parts of {self.split}"


def flipped(split: Split) -> Split:
    """The other one."""
    return "train" if split == "test" else "test"


def open_reference(name: str, options: DataOptions) -> Reference:
    """Open a source, and its other split if that is at hand and alike."""
    with distributed.main_first():
        source = open_source(name, options)
    other = None
    with suppress(OrganzaError):
        other = open_source(name, replace(options, split=flipped(options.split), offline=True))
    if other is not None and other.spec != source.spec:
        other = None
    return Reference(absolute(name), options.split, source, other, options.cache_folder)


def looked(cache: Path, pool: Pool, extractor: Extractor | None) -> Sample:
    """What an extractor says of real samples, kept in the cache; the other ranks may get an empty sample.

    Every rank must call it.
    """
    if extractor is None:
        return look(pool, None, name="real samples")
    key = [pool.sha256 if distributed.is_main() else "", repr(extractor), str(pool.block)]
    return cached(cache, key, lambda: look(pool, extractor, name="real samples"))


def labels_for_all(real: Sample) -> np.ndarray | None:
    """The classes of the real samples, on every rank."""
    told = distributed.broadcast_text("" if real.labels is None else json.dumps(real.labels.tolist()))
    return np.array(json.loads(told)) if told else None
