"""A source of samples: a description (`Spec`), random access, and endless shuffled batches that start anywhere.

The order of the data is a function of (seed, epoch) and of nothing else, so a resumed run continues where it stopped
without storing anything: sample k of the stream is entry `k % N` of the permutation of epoch `k // N`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from organza.data.spec import ImageSpec, Spec
from organza.errors import DataError, UsageError

Batch = dict[str, Tensor]


def order(count: int, *, seed: int, start: int, size: int) -> np.ndarray:
    """Indices (size,) of samples `start` to `start + size` of the endless shuffled stream over `count` samples."""
    position = np.arange(start, start + size)
    epochs = position // count
    indices = np.empty(size, dtype=np.int64)
    for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
        here = epochs == epoch
        indices[here] = permutation(count, seed=seed, epoch=epoch)[position[here] % count]
    return indices


_PERMUTATIONS: dict[tuple[int, int, int], np.ndarray] = {}


def permutation(count: int, *, seed: int, epoch: int) -> np.ndarray:
    """The order of epoch `epoch`: a permutation of range(count). The last four are remembered."""
    key = (count, seed, epoch)
    if key not in _PERMUTATIONS:
        while len(_PERMUTATIONS) >= 4:
            _PERMUTATIONS.pop(next(iter(_PERMUTATIONS)))
        _PERMUTATIONS[key] = np.random.default_rng([seed, 0xDA7A, epoch]).permutation(count)
    return _PERMUTATIONS[key]


def shares(
    count: int, *, size: int, start: int, seed: int, rank: int = 0, world: int = 1
) -> Generator[np.ndarray, None, None]:
    """Endless index arrays: rank `rank`'s contiguous share of each global batch of `size` samples over `count`."""
    if size < 1 or size % world:
        raise UsageError(f"A global batch of {size} samples cannot be shared by {world} ranks: make it a multiple.")
    share = size // world
    position = start + rank * share
    while True:
        yield order(count, seed=seed, start=position, size=share)
        position += size


class Source(ABC):
    """N samples that can be read by index and streamed as shuffled batches without end."""

    name: str
    """Short name, used for run folders: `mnist`, or the stem of a file or folder."""
    spec: Spec
    notes: tuple[str, ...] = ()
    """What the user should know about how the data was read, in whole sentences: files skipped, modes converted."""
    origins: np.ndarray | None = None
    """Which picture each sample was cut from, (N,); None: each is one. Those of a picture are held out together."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def read(self, indices: np.ndarray) -> Batch:
        """The samples at `indices`, as stored, on the host: images (N, C, H, W) uint8 or uint16, labels (N,)."""

    def subset(self, indices: np.ndarray) -> Source:
        """A source of the samples at `indices` alone."""
        return Subset(self, indices)

    def part(self, split: Literal["train", "test"], *, hold_out: float) -> Source:
        """What is left to train on without a share that is held out, or that share; the same at every call.

        Raises:
            DataError: It would be empty.
        """
        origins = np.arange(len(self)) if self.origins is None else self.origins
        kept = np.flatnonzero(np.isin(origins, held_apart(int(origins.max()) + 1, hold_out)[split == "test"]))
        if not len(kept):
            raise DataError(
                f"{self.name} holds {len(self):,} samples, so --hold-out {hold_out:g} leaves none for the {split} "
                "split; choose another share."
            )
        return self.subset(kept)

    def stream(self, size: int, *, start: int, seed: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Endless stored batches: rank `rank` gets its contiguous share of each global batch of `size` samples."""
        for indices in shares(len(self), size=size, start=start, seed=seed, rank=rank, world=world):
            yield self.read(indices)

    def batches(
        self, size: int, *, start: int = 0, seed: int = 0, rank: int = 0, world: int = 1, device: str = "cpu"
    ) -> Iterator[Batch]:
        """Endless batches on `device`, decoded for networks, beginning at sample `start` of the stream.

        Args:
            size: Samples per global batch, over all ranks; each rank gets `size // world`.
            start: Samples already drawn by all ranks together.
            seed: Together with the epoch it determines the order.
            rank: Which share of each global batch to yield.
            world: Number of ranks.
            device: Where the tensors are to be.
        """
        for batch in self.stream(size, start=start, seed=seed, rank=rank, world=world):
            yield decode(batch, self.spec, device)

    def close(self) -> None:
        """Let go of workers and open files; the streams end. Does nothing for sources in memory."""
        return


@final
class Subset(Source):
    """Some samples of another source."""

    def __init__(self, whole: Source, indices: np.ndarray) -> None:
        self.name, self.spec, self.notes = whole.name, whole.spec, whole.notes
        self._whole, self._indices = whole, indices

    def __len__(self) -> int:
        return len(self._indices)

    def read(self, indices: np.ndarray) -> Batch:
        """The samples at `indices` of the subset."""
        return self._whole.read(self._indices[indices])

    def close(self) -> None:
        """Close the other source."""
        self._whole.close()


def held_apart(count: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices of `count` samples to train on and to hold out, each in order; the same at every call."""
    shuffled = np.random.default_rng([0x401D, count]).permutation(count)
    held = round(count * share)
    return np.sort(shuffled[held:]), np.sort(shuffled[:held])


def decode(batch: Batch, spec: Spec, device: str | torch.device = "cpu") -> Batch:
    """Stored samples to what networks see: images as float32 in [-1, 1], labels as int64, everything on `device`."""
    moved = {key: value.to(device, non_blocking=True) for key, value in batch.items()}
    for key, image in spec.images.items():
        if not moved[key].is_floating_point():
            moved[key] = _unit(moved[key], image.bits)
    return moved


def _unit(stored: Tensor, bits: int) -> Tensor:
    """Pixels of so many bits as float32 in [-1, 1]."""
    scale = 2 / (2**bits - 1)
    if stored.device.type != "cpu":
        return stored.to(torch.float32).mul_(scale).sub_(1)
    # The same arithmetic. numpy uses one thread: waking a pool costs more than so little work.
    pixels = stored.numpy().astype(np.float32)
    pixels *= np.float32(scale)
    pixels -= 1
    return torch.from_numpy(pixels)


def as_rows(samples: Tensor, spec: Spec, *, side: int = 32) -> Tensor:
    """Samples (N, ...) as rows (N, D) to compare: images shrunk to at most `side` pixels in height and width."""
    image = spec.images.get(spec.key)
    if image is not None and max(image.height, image.width) > side:
        scale = side / max(image.height, image.width)
        size = (max(1, round(image.height * scale)), max(1, round(image.width * scale)))
        samples = interpolate(samples, size=size, mode="area")
    return samples.flatten(1)


def encode(images: Tensor, spec: ImageSpec) -> np.ndarray:
    """Network output to stored images: float in [-1, 1], (N, C, H, W), to uint8 or uint16 (N, H, W, C); clips."""
    top = 2**spec.bits - 1
    scaled = ((images.detach().float().cpu() + 1) * (top / 2)).round_().clamp_(0, top)
    return scaled.permute(0, 2, 3, 1).numpy().astype(np.uint8 if spec.bits == 8 else np.uint16)
