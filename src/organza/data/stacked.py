"""Stacked MNIST: three digits as the channels of one image, a thousand modes that a classifier of digits can count.

Source: Metz et al. 2017, "Unrolled generative adversarial networks" (arXiv:1611.02163), section 3.3.1; 128,000 images
as in Lin et al. 2018, PacGAN (arXiv:1712.04086).
"""

from __future__ import annotations

from dataclasses import replace
from typing import final

import numpy as np

from organza.data.idx import open_mnist
from organza.data.options import DataOptions
from organza.data.source import Batch, Source
from organza.data.spec import ImageSpec
from organza.errors import DataError

COUNTS = {"train": 128_000, "test": 26_000}


@final
class StackedMNIST(Source):
    """Random triples of digits, the same at each opening; the label is the number that they spell."""

    def __init__(self, name: str, *, options: DataOptions) -> None:
        if options.resize or options.channels not in ("auto", "rgb"):
            raise DataError(f"{name} is made of 28 x 28 pixels in three channels; leave out --resize and --channels")
        self._digits = open_mnist("mnist", options=replace(options, labels=True, limit=None, channels="gray"))
        count = min(COUNTS[options.split], options.limit or COUNTS[options.split])
        seed = [0x57AC, list(COUNTS).index(options.split)]
        self._triples = np.random.default_rng(seed).integers(len(self._digits), size=(count, 3))
        self._is_labelled = options.labels
        self.name = name
        self.spec = ImageSpec(classes=tuple(f"{n:03}" for n in range(1000)) if options.labels else (), channels=3)

    def __len__(self) -> int:
        return len(self._triples)

    def read(self, indices: np.ndarray) -> Batch:
        """The samples at `indices`: images (N, 3, 28, 28) uint8, labels (N,) from 0 to 999."""
        batch = self._digits.read(self._triples[indices].ravel())
        image, digits = batch["image"].view(-1, 3, 28, 28), batch["label"].view(-1, 3)
        return {"image": image} | ({"label": digits @ digits.new_tensor([100, 10, 1])} if self._is_labelled else {})
