"""Classes for data without labels: groups of similar samples, all of about the same size.

A generator that is told a group has one kind of sample to make at a time, so it leaves no blends between kinds; and
since the groups are equally large, drawing them evenly draws the data as it is. Found by k-means in which each centre
has a price that rises while too many samples choose it.

Source: the idea is that of Sage et al. 2018, "Logo synthesis and manipulation with clustered generative adversarial
networks" (arXiv:1712.04407); the prices are those of Bertsekas' auctions, here after Lloyd's steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import final

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from organza.data.source import Batch, Source, as_rows, decode, shares
from organza.data.spec import ImageSpec, Spec
from organza.data.streamed import StreamedSource
from organza.errors import DataError, cause

KEPT = "groups.safetensors"
"""File of a run folder with the groups that the run was trained with, for all that goes on from it."""
SIDE = 16
"""Pixels of height and width at which images are compared, at most."""
FITTED, STREAMED = 10_000, 2_560
"""Samples that the centres are fitted on, evenly spaced over a source in memory, and over one on disk; more where
`LEAST` for each group are more."""
PART = 256
"""Samples that are read at once."""
LEAST, SUITABLE, MANY = 20, 40, 64
"""Samples per group that are needed and that are advised, and groups that are advised at most."""
UNEVEN = 4
"""How many times its share the largest group may hold; more, and drawing groups evenly would not draw the data."""
ROUNDS, BIDS = 12, 30
"""Times that centres move, and times that prices move for each of these."""


class UnevenGroupsError(DataError):
    """So many samples are alike that groups of equal size cannot be made; `reason` is the message without advice."""

    def __init__(self, reason: str, *, advice: str) -> None:
        super().__init__(f"{reason}: {advice}")
        self.reason = reason


@final
class Grouped(Source):
    """Another source, whose labels are the groups that its samples belong to."""

    def __init__(self, whole: Source, centres: Tensor, prices: Tensor) -> None:
        have, need = centres.shape[1], small(whole.read(np.arange(1)), whole.spec).shape[1]
        if have != need:
            mends = {3 * have: "gray", 4 * have: "gray", have / 3: "rgb", 4 * have / 3: "rgb", have / 4: "rgba"}
            mends |= {3 * have / 4: "rgba"}
            mend = f"take --channels {mends[need]}" if need in mends else "give samples of the same shape"
            raise DataError(f"the groups are of samples of another kind than those of {whole.name}: {mend}")
        names = tuple(f"group {group:0{len(str(len(centres) - 1))}d}" for group in range(len(centres)))
        self.name, self.spec = whole.name, replace(whole.spec, classes=names, grouped=True)
        aside = f"; labels of {whole.name} are left aside" if whole.spec.classes else ""
        self.notes = (*whole.notes, f"{len(centres)} groups of similar samples serve as classes{aside}")
        self._whole, self._centres, self._prices = whole, centres, prices
        self._labels = torch.full((len(whole),), -1)  # found once for each sample

    def __len__(self) -> int:
        return len(self._whole)

    @property
    def fitted(self) -> dict[str, Tensor]:
        """What the groups are found by, as a run keeps it and `kept_groups` reads it."""
        return {"centres": self._centres, "prices": self._prices}

    def labelled(self, batch: Batch, indices: np.ndarray) -> Batch:
        """The batch of the samples at `indices`, with their groups as labels."""
        labels = self._labels[indices]
        if (labels < 0).any():
            rows = small(batch, self.spec)
            labels = self._labels[indices] = (distances(rows, self._centres) + self._prices).argmin(1)
        return batch | {"label": labels}

    def read(self, indices: np.ndarray) -> Batch:
        """The samples at `indices`, with their groups."""
        return self.labelled(self._whole.read(indices), indices)

    def stream(self, size: int, *, start: int, seed: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """As the other source streams, with groups."""
        order = shares(len(self), size=size, start=start, seed=seed, rank=rank, world=world)
        stream = self._whole.stream(size, start=start, seed=seed, rank=rank, world=world)
        for batch, indices in zip(stream, order, strict=False):
            yield self.labelled(batch, indices)

    def close(self) -> None:
        """Close the other source."""
        self._whole.close()


def grouped(source: Source, count: int, *, like: Source, is_own: bool = True) -> Grouped:
    """The source with `count` groups of equal size as classes, fitted on the samples of `like`.

    Args:
        source: What to group.
        count: How many groups.
        like: It, or another part or source of the same kind.
        is_own: Whether that is the same data; the groups of other data come before labels of this.

    Raises:
        UnevenGroupsError: Too many samples are alike.
        DataError: The data has labels already, or too few samples for so many groups.
    """
    classes = source.spec.classes if is_own else ()
    refuse_groups(count, classes=classes, samples=len(like), name=like.name)
    fitted = min(len(like), STREAMED if isinstance(like, StreamedSource) else FITTED)
    chosen = np.linspace(0, len(like) - 1, max(fitted, count * LEAST)).round().astype(np.int64)
    parts = np.array_split(chosen, -(-len(chosen) // PART))
    rows = torch.cat([small(like.read(part), like.spec) for part in parts])
    centres, prices = fit(rows, count)
    sizes = torch.bincount((distances(rows, centres) + prices).argmin(1), minlength=count)
    if sizes.min() == 0 or sizes.max() > UNEVEN * len(rows) / count:
        raise UnevenGroupsError(
            f"so many samples of {like.name} are alike that {count} groups of equal size cannot be made (the largest "
            f"would hold {sizes.max():,} of {len(rows):,})",
            advice="leave out --clusters, or take away copies, which organza data check lists",
        )
    return Grouped(source, centres, prices)


def suitable(samples: int, *, most: int = MANY) -> int:
    """How many groups so many images are best divided into; 0: none."""
    return min(most, max(2, samples // SUITABLE)) if samples >= 2 * LEAST else 0


def kept_groups(source: Source, count: int, *, path: Path) -> Grouped:
    """The source with the groups of a run as classes, from the file that the run keeps them in.

    Raises:
        DataError: The file cannot be read, or holds other groups.
    """
    try:
        fitted = load_file(path)
        centres, prices = fitted["centres"], fitted["prices"]
    except (OSError, SafetensorError, KeyError) as error:
        raise DataError(
            f"cannot read the groups in {path}: {cause(error)}. Put back what was there, or delete it: groups are then "
            "found anew, in the same data the same"
        ) from error
    if len(centres) != count:
        raise DataError(f"{path} holds {len(centres)} groups, not {count}: take --clusters {len(centres)}")
    return Grouped(source, centres, prices)


def refuse_groups(count: int, *, classes: tuple[str, ...], samples: int, name: str) -> None:
    """Raise DataError if so many groups of so many samples make no sense, or there are classes already."""
    if classes:
        raise DataError(
            f"{name} has {len(classes)} classes of its own, and --clusters makes classes where there are none; leave "
            "it out, or add --no-labels"
        )
    if not 2 <= count <= samples // LEAST:
        most = suitable(samples)
        raise DataError(
            f"--clusters {count} does not suit the {samples:,} samples of {name}: it needs at least 2, and {LEAST} "
            "samples for each; " + (f"take --clusters {most}" if most else "leave it out, or give more samples")
        )


def ways_to_classes(data: Spec, *, count: int | None = None, labels: bool = True) -> list[str]:
    """What gives classes to data that has fewer than two: advice that can be followed, a phrase each; may be empty.

    Args:
        data: As it was read.
        count: Samples in it; None: unknown.
        labels: Whether labels were read where there are any.
    """
    ways = ["put images into one folder per class"] if isinstance(data, ImageSpec) else []
    ways = ways if labels else ["leave out --no-labels if the data has labels"]
    if not data.has_source and (count is None or suitable(count)):
        groups = f"N, {LEAST} samples or more for each" if count is None else suitable(count)
        given = "--no-labels " if data.classes else ""
        ways.append(f"let groups of similar samples serve as classes with {given}--clusters {groups}")
    return ways


def small(batch: Batch, spec: Spec) -> Tensor:
    """Stored samples as rows (N, D) to compare; in double precision, so that nothing depends on who else is there."""
    return as_rows(decode(batch, spec)[spec.key], spec, side=SIDE).double()


def fit(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Centres (count, D) and prices (count,) by which samples (N, D) fall into groups of about N / count.

    A sample belongs to the centre with the smallest sum of squared distance and price. The same at every call.
    """
    start = torch.from_numpy(np.random.default_rng(0x6209).permutation(len(rows))[:count])
    centres, prices, fair = rows[start].clone(), rows.new_zeros(count), len(rows) / count
    for round_number in range(ROUNDS):
        if round_number:
            chosen = (distances(rows, centres) + prices).argmin(1)
            sums = torch.zeros_like(centres).index_add_(0, chosen, rows)
            sizes = torch.bincount(chosen, minlength=count)[:, None]
            centres = torch.where(sizes > 0, sums / sizes.clamp(min=1), centres)
        far = distances(rows, centres)
        bid = far.min(1).values.mean() / 8
        for _ in range(BIDS):
            sizes = torch.bincount((far + prices).argmin(1), minlength=count)
            prices = prices + bid * (sizes / fair).clamp(0.1, 10).log()
    return centres, prices


def distances(rows: Tensor, centres: Tensor) -> Tensor:
    """Squared Euclidean distances, (N, K), of (N, D) to (K, D)."""
    return rows.square().sum(1, keepdim=True) - 2 * rows @ centres.T + centres.square().sum(1)
