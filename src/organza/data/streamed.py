"""Folders and zips too large for memory: decoded batch by batch, by worker processes if wanted."""

from __future__ import annotations

import signal
import weakref
from collections.abc import Callable, Generator
from typing import Any, final

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from organza.data.files import Files
from organza.data.images import BadImageError, Crop, conform, pillow_limits
from organza.data.scan import load_pixels
from organza.data.source import Batch, Source, shares
from organza.data.spec import ImageSpec
from organza.data.tiles import WHOLE
from organza.errors import DataError

Arrays = dict[str, np.ndarray]
Loader = Callable[[Files, str], tuple[np.ndarray, str, str]]
"""As `load_pixels`; it must be fit to be sent to another process."""


@final
class Decoder(Dataset):
    """Index arrays to stored batches, in whatever process it is sent to."""

    def __init__(
        self,
        files: Files,
        names: tuple[str, ...],
        *,
        labels: np.ndarray | None,
        spec: ImageSpec,
        crop: Crop,
        load: Loader = load_pixels,
        places: np.ndarray | None = None,
    ) -> None:
        self.files = files
        self.names = names
        self.labels = labels
        self.spec = spec
        self.crop: Crop = crop
        self.load = load
        self.places = places
        """Rows and columns where tiles begin, (N, 2), see `tiles`; None: images are fitted as wholes."""
        self.newest: tuple[str, np.ndarray] = "", np.zeros(0)
        """The picture that the last tile was cut from; the next one mostly is as well."""

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, indices: np.ndarray) -> Arrays | str:
        """The samples at `indices`, or what went wrong: an exception would bring its traceback along as text."""
        try:
            with pillow_limits():
                batch = {"image": np.stack([self.image(int(index)) for index in indices])}
        except DataError as error:
            return str(error)
        if self.labels is not None:
            batch["label"] = self.labels[indices]
        return batch

    def subset(self, indices: np.ndarray, places: np.ndarray | None = None) -> Decoder:
        """The same for some of the samples, or for tiles of them that begin at `places`."""
        labels, own = (None if values is None else values[indices] for values in (self.labels, self.places))
        places = own if places is None else places
        names = tuple(self.names[index] for index in indices)
        return Decoder(self.files, names, labels=labels, spec=self.spec, crop=self.crop, load=self.load, places=places)

    def image(self, index: int) -> np.ndarray:
        """One image, (C, H, W); call it within `pillow_limits`."""
        name, pixels = self.newest
        if name != self.names[index]:
            pixels = self.pixels(index)
        if self.places is None:
            return conform(pixels, spec=self.spec, crop=self.crop)
        self.newest = self.names[index], pixels
        top, left = self.places[index]
        if top != WHOLE:
            pixels = pixels[top : top + self.spec.height, left : left + self.spec.width]
        return conform(pixels, spec=self.spec, crop="center")

    def pixels(self, index: int) -> np.ndarray:
        """A whole picture, (H, W, C)."""
        try:
            return self.load(self.files, self.names[index])[0]
        except BadImageError as error:
            raise DataError(
                f"{self.files.path}: {self.names[index]} was sound when the data was opened, but now it is {error}. "
                "Leave the data alone while it is in use; run the same command to go on without this file."
            ) from error


@final
class _Shares(Sampler):
    """Feeds a loader with the index arrays of an endless stream."""

    def __init__(self, stream: Generator[np.ndarray, None, None]) -> None:
        self.stream = stream

    def __iter__(self) -> Generator[np.ndarray, None, None]:
        return self.stream


def _ignore_interrupts(worker: int) -> None:
    """Ctrl-C reaches the whole process group; the main process decides when its workers end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _as_is(batch: Any) -> Any:
    return batch


def _to_tensors(batch: Arrays | str) -> Batch:
    if isinstance(batch, str):
        raise DataError(batch)
    return {key: torch.from_numpy(value) for key, value in batch.items()}


@final
class StreamedSource(Source):
    """Images decoded as they are needed. The batches do not depend on the number of workers."""

    def __init__(self, decoder: Decoder, *, name: str, workers: int, notes: tuple[str, ...] = ()) -> None:
        self.name = name
        self.spec = decoder.spec
        self.notes = notes
        self._decoder = decoder
        self._workers = workers
        self._streams: weakref.WeakSet[Generator[Batch, None, None]] = weakref.WeakSet()

    def __len__(self) -> int:
        return len(self._decoder)

    def subset(self, indices: np.ndarray) -> Source:
        """As `Source.subset`, decoded by workers as well."""
        return StreamedSource(self._decoder.subset(indices), name=self.name, workers=self._workers, notes=self.notes)

    def read(self, indices: np.ndarray) -> Batch:
        """The samples at `indices`, as they are stored, on the host."""
        return _to_tensors(self._decoder[indices])

    def stream(
        self, size: int, *, start: int, seed: int, rank: int = 0, world: int = 1
    ) -> Generator[Batch, None, None]:
        """As `Source.stream`, decoded ahead by the workers."""
        indices = shares(len(self), size=size, start=start, seed=seed, rank=rank, world=world)
        stream = self._decode_ahead(indices) if self._workers else map(self.read, indices)
        generator = (batch for batch in stream)
        self._streams.add(generator)
        return generator

    def close(self) -> None:
        """End the streams and their workers, and close the files."""
        for stream in list(self._streams):
            stream.close()
        self._decoder.files.close()

    def _decode_ahead(self, indices: Generator[np.ndarray, None, None]) -> Generator[Batch, None, None]:
        # Batches travel as arrays through pipes: tensors would need shared memory, of which containers have little.
        # Spawned workers are safe beside threads and CUDA, and the same on every system.
        loader = DataLoader(
            self._decoder,
            sampler=_Shares(indices),
            batch_size=None,
            collate_fn=_as_is,
            num_workers=self._workers,
            persistent_workers=True,
            multiprocessing_context="spawn",
            generator=torch.Generator(),
            worker_init_fn=_ignore_interrupts,
        )
        for batch in loader:
            yield _to_tensors(batch)
