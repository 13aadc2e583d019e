"""Pools of samples to what measures see of them: shared by all ranks, and kept for the next time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from organza import __version__, distributed
from organza.data.progress import progress
from organza.metrics.extractors import Extractor
from organza.metrics.measures import Sample
from organza.pictures import save_aside
from organza.pools import Pool

PARTS = ("features", "probabilities", "labels")


def look(pool: Pool, extractor: Extractor | None, *, name: str = "samples") -> Sample:
    """What an extractor says of a pool, the same on every rank and for any number of them; None: points as they are.

    `name` is what the samples are called to somebody who waits.
    """
    blocks = pool.blocks()
    mine: dict[int, list[np.ndarray | None]] = {}
    with progress(f"Looking at {name}", total=pool.count) as advance:
        for part in blocks[distributed.rank() :: distributed.world()]:
            read = pool.read(part.start, part.stop)
            if extractor is None:
                mine[part.start] = [read.samples, None, read.labels]
            else:
                seen = extractor(read.samples)
                mine[part.start] = [seen.features, seen.probabilities, read.labels]
            if distributed.is_main():
                advance((part.stop - part.start) * distributed.world())
    parts = [gathered({start: found[index] for start, found in mine.items()}, pool.count) for index in range(3)]
    features, probabilities, labels = parts
    return Sample(features if features is not None else np.zeros((0, 0)), probabilities, labels)


def gathered(mine: dict[int, np.ndarray | None], count: int) -> np.ndarray | None:
    """All rows on every rank, from this rank's blocks by their first row; None where the blocks are."""
    first = mine.get(0)  # rank 0 has it
    told = "" if first is None else json.dumps([first.dtype.str, first.shape[1:]])
    told = distributed.broadcast_text(told)
    if not told:
        return None
    dtype, shape = json.loads(told)
    rows = torch.from_numpy(np.zeros((count, *shape), np.dtype(dtype)))
    for start, block in mine.items():
        if block is not None:
            rows[start : start + len(block)] = torch.from_numpy(np.ascontiguousarray(block))
    distributed.add_up(rows)
    return rows.numpy()


def cached(folder: Path, key: Sequence[str], make: Callable[[], Sample]) -> Sample:
    """What was made before for the same key, or made now and kept; a damaged file is made anew.

    Every rank must call it. Where it was kept, the other ranks get an empty sample.
    """
    name = hashlib.sha256("\n".join([__version__, *key]).encode()).hexdigest()[:32]
    path = folder / "features" / f"{name}.safetensors"
    found = read(path) if distributed.is_main() else None
    if distributed.broadcast_text("found" if found else ""):
        return found or Sample(np.zeros((0, 0)))
    made = make()
    if distributed.is_main():
        write(path, made)
    return made


def read(path: Path) -> Sample | None:
    """A kept sample; None if there is none that is whole."""
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            expected = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    if "features" not in arrays or expected != checksum(arrays):
        return None
    return Sample(*(arrays.get(name) for name in PARTS))  # pyright: ignore[reportArgumentType]


def write(path: Path, sample: Sample) -> None:
    """Keep a sample; where nothing can be written, it is made again the next time."""
    found = {name: getattr(sample, name) for name in PARTS}
    arrays = {name: np.ascontiguousarray(value) for name, value in found.items() if value is not None}
    with suppress(OSError, SafetensorError):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_aside(path, lambda aside: save_file(arrays, aside, metadata={"sha256": checksum(arrays)}))


def checksum(arrays: dict[str, np.ndarray]) -> str:
    """Of the bytes of arrays, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
