"""The nearest training image of each fake, and how near real images are to one another: does the generator copy?"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from organza.data.source import Batch, Source, encode
from organza.data.spec import ImageSpec

SHOWN = 16
PROBES = 64
MOST_SAMPLES = 200_000
MOST_NUMBERS = 160_000_000
"""Pixel values to compare with, of all images together; about two seconds on two slow cores."""
CHUNK_NUMBERS = 4_000_000


@final
@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Fakes, the real images nearest to them, and what is usual among real images. Distances are L2, pixels 0 to 1."""

    fakes: np.ndarray
    """Stored images (N, H, W, C)."""
    real: np.ndarray
    """The nearest real image of each, (N, H, W, C)."""
    indices: np.ndarray
    """Which samples of the source they are, (N,)."""
    labels: np.ndarray | None
    """Their classes, (N,), where the data has any."""
    distances: np.ndarray
    """From each fake to its neighbour, (N,)."""
    baseline: np.ndarray
    """From each of some random real images to the nearest other one, (M,); empty if there is only one image."""
    searched: int
    """Real images that were compared."""
    total: int
    """Real images that there are."""
    fake_spread: float
    """Mean distance between two of the fakes."""
    real_spread: float
    """Mean distance between two random real images."""

    @property
    def remoteness(self) -> float | None:
        """How many times as far the fakes are from the data as real images are from one another, by medians."""
        usual = float(np.median(self.baseline)) if len(self.baseline) else 0.0
        return float(np.median(self.distances)) / usual if usual > 0 else None


def find_neighbours(fakes: Batch, source: Source, spec: ImageSpec, *, seconds: float = 1.6) -> Neighbours:
    """Compare the first fakes with the training set, or with a random part of it if it is too large.

    Args:
        fakes: Images in network range under `image`, (N, C, H, W).
        source: The training data.
        spec: Its spec.
        seconds: No further chunk is read after that time.
    """
    made = encode(fakes["image"][:SHOWN].nan_to_num(), spec)
    size = int(np.prod(spec.shape))
    total = len(source)
    limit = max(1, min(total, MOST_SAMPLES, MOST_NUMBERS // size))
    order = np.random.default_rng(0).permutation(total)[:limit]
    probes = order[:PROBES]
    probe_pixels = pixels(source.read(probes)["image"], spec)
    fake_pixels = pixels(torch.from_numpy(made).permute(0, 3, 1, 2), spec)
    owners = np.concatenate([np.full(len(made), -1), probes])
    nearest, searched = search(torch.cat([fake_pixels, probe_pixels]), owners, source, spec, order, seconds)
    found = source.read(nearest)
    real = pixels(found["image"], spec)
    exact = torch.linalg.vector_norm(torch.cat([fake_pixels, probe_pixels]) - real, dim=1).numpy()
    shown = slice(len(made))
    return Neighbours(
        fakes=made,
        real=found["image"][shown].permute(0, 2, 3, 1).numpy(),
        indices=nearest[shown],
        labels=found["label"][shown].numpy() if "label" in found else None,
        distances=exact[shown],
        baseline=exact[len(made) :] if searched > 1 else exact[:0],
        searched=searched,
        total=total,
        fake_spread=spread(fake_pixels),
        real_spread=spread(probe_pixels),
    )


def search(
    queries: Tensor, owners: np.ndarray, source: Source, spec: ImageSpec, order: np.ndarray, seconds: float
) -> tuple[np.ndarray, int]:
    """For each query the nearest sample but its owner, (Q,), and how many samples were compared.

    ||a - b||^2 = ||a||^2 + ||b||^2 - 2 a.b needs one matrix product per chunk; ||b||^2 of the query b does not change
    which a is nearest.
    """
    until = time.monotonic() + seconds
    nearest = np.full(len(queries), order[0])
    best = torch.full((len(queries),), torch.inf)
    chunk = max(1, CHUNK_NUMBERS // queries.shape[1])
    searched = 0
    for start in range(0, len(order), chunk):
        if start and time.monotonic() > until:
            break
        indices = np.sort(order[start : start + chunk])
        values = pixels(source.read(indices)["image"], spec)
        # numpy's einsum makes no squared copy, which takes torch several times as long on the CPU.
        lengths = torch.from_numpy(np.einsum("nd,nd->n", values.numpy(), values.numpy()))
        squared = torch.addmm(lengths[:, None], values, queries.T, alpha=-2)
        squared[np.nonzero(indices[:, None] == owners[None, :])] = torch.inf
        low, where = squared.min(dim=0)
        closer = low < best
        best = torch.where(closer, low, best)
        nearest = np.where(closer.numpy(), indices[where.numpy()], nearest)
        searched += len(indices)
    return nearest, searched


def pixels(images: Tensor, spec: ImageSpec) -> Tensor:
    """Stored images (N, C, H, W) as rows of numbers from 0 to 1, float32 (N, C*H*W)."""
    return torch.from_numpy(images.flatten(1).numpy() * np.float32(1 / (2**spec.bits - 1)))


def spread(rows: Tensor) -> float:
    """The mean distance between two rows; 0 for a single one."""
    return float(torch.nn.functional.pdist(rows).mean()) if len(rows) > 1 else 0.0
