"""Folders and zips that fit into memory: decoded at once, when something of them is first needed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import final

import numpy as np
import torch

from organza.data.images import pillow_limits
from organza.data.memory import MemorySource
from organza.data.options import DataOptions
from organza.data.progress import progress
from organza.data.scan import thread_count
from organza.data.source import Batch, Source
from organza.data.streamed import Decoder, StreamedSource


@final
class DecodedSource(Source):
    """Images of files, in memory from the first look on; a part that is taken before decodes no more than its own."""

    def __init__(self, decoder: Decoder, *, name: str, notes: tuple[str, ...] = ()) -> None:
        self.name, self.spec, self.notes = name, decoder.spec, notes
        self._decoder = decoder

    def __len__(self) -> int:
        return len(self._decoder)

    def read(self, indices: np.ndarray) -> Batch:
        """The samples at `indices`, as they are stored, on the host."""
        return self._held.read(indices)

    def subset(self, indices: np.ndarray) -> Source:
        """As `Source.subset`, in memory as well."""
        if "_held" in self.__dict__:
            return self._held.subset(indices)
        return DecodedSource(self._decoder.subset(indices), name=self.name, notes=self.notes)

    def batches(
        self, size: int, *, start: int = 0, seed: int = 0, rank: int = 0, world: int = 1, device: str = "cpu"
    ) -> Iterator[Batch]:
        """As `Source.batches`; the samples move to `device` once and are gathered there."""
        return self._held.batches(size, start=start, seed=seed, rank=rank, world=world, device=device)

    def close(self) -> None:
        """Free the copies on other devices."""
        if "_held" in self.__dict__:
            self._held.close()
        self._decoder.files.close()

    @cached_property
    def _held(self) -> MemorySource:
        try:
            return MemorySource(_decode_all(self._decoder), name=self.name, spec=self.spec, notes=self.notes)
        finally:
            self._decoder.files.close()


def decoded_bytes(decoder: Decoder) -> int:
    """Memory that all the images take once decoded."""
    return len(decoder) * int(np.prod(decoder.spec.shape)) * decoder.spec.bits // 8


def hold(
    decoder: Decoder, *, name: str, options: DataOptions, is_held: bool, notes: tuple[str, ...] = ()
) -> DecodedSource | StreamedSource:
    """What a decoder reads, all at once into memory, or batch by batch."""
    if not is_held:
        return StreamedSource(decoder, name=name, workers=options.workers, notes=notes)
    return DecodedSource(decoder, name=name, notes=notes)


def _decode_all(decoder: Decoder) -> Batch:
    count = len(decoder)
    images = np.empty((count, *decoder.spec.shape), dtype=np.uint8 if decoder.spec.bits == 8 else np.uint16)
    label = f"Decoding {decoder.files.path}"
    with pillow_limits(), ThreadPoolExecutor(thread_count()) as pool, progress(label, total=count) as advance:
        for start in range(0, count, 256):  # in pieces: `map` would keep every decoded image until it is asked for
            part = range(start, min(count, start + 256))
            for index, image in zip(part, pool.map(decoder.image, part), strict=True):
                images[index] = image
            advance(len(part))
    batch = {"image": torch.from_numpy(images)}
    if decoder.labels is not None:
        batch["label"] = torch.from_numpy(decoder.labels)
    return batch
