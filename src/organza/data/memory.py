"""Data sets that live in memory, on the device that trains: a batch is one gather and needs no loader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import numpy as np
import torch
from torch import Tensor

from organza.data.source import Batch, Source, decode, shares
from organza.data.spec import Spec

MEMORY_LIMIT = 2**30
"""Bytes up to which a data set is held decoded, and on the device."""


@final
class MemorySource(Source):
    """Samples held as tensors: stored images uint8 or uint16 (N, C, H, W), or vectors (N, D), and labels (N,)."""

    def __init__(self, samples: Batch, *, name: str, spec: Spec, notes: tuple[str, ...] = ()) -> None:
        self.name = name
        self.spec = spec
        self.notes = notes
        self._samples = samples
        self._elsewhere: dict[str, Batch] = {}

    def __len__(self) -> int:
        return len(self._samples[self.spec.key])

    def read(self, indices: np.ndarray) -> Batch:
        """The samples at `indices`, as they are stored, on the host."""
        return {key: gather(value, indices) for key, value in self._samples.items()}

    def subset(self, indices: np.ndarray) -> Source:
        """As `Source.subset`, in memory as well."""
        kept = {key: gather(value, indices) for key, value in self._samples.items()}
        return MemorySource(kept, name=self.name, spec=self.spec, notes=self.notes)

    def batches(
        self, size: int, *, start: int = 0, seed: int = 0, rank: int = 0, world: int = 1, device: str = "cpu"
    ) -> Iterator[Batch]:
        """As `Source.batches`; the samples move to `device` once and are gathered there."""
        samples = self._on(device)
        for indices in shares(len(self), size=size, start=start, seed=seed, rank=rank, world=world):
            yield decode({key: gather(value, indices) for key, value in samples.items()}, self.spec, device)

    def close(self) -> None:
        """Free the copies on other devices."""
        self._elsewhere.clear()

    def _on(self, device: str) -> Batch:
        """The samples on `device`, or on the host if they are too many; `decode` then moves each batch."""
        if torch.device(device).type == "cpu" or sum(value.nbytes for value in self._samples.values()) > MEMORY_LIMIT:
            return self._samples
        if device not in self._elsewhere:
            self._elsewhere[device] = {key: value.to(device) for key, value in self._samples.items()}
        return self._elsewhere[device]


def gather(values: Tensor, indices: np.ndarray) -> Tensor:
    """`values[indices]` along the first axis, on the device of `values`."""
    if values.device.type == "cpu":
        # numpy copies whole rows; torch's index_select on uint8 goes byte by byte, which takes a hundred times as long.
        return torch.from_numpy(np.ascontiguousarray(values.numpy()[indices]))
    # Few operators know uint16: gather the same bytes as int16.
    stored = values.view(torch.int16) if values.dtype == torch.uint16 else values
    return stored.index_select(0, torch.from_numpy(indices).to(values.device)).view(values.dtype)
