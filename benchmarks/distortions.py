"""Whether each measure moves as it should: real digits, and real digits spoilt in known ways, against training digits.

    python benchmarks/distortions.py [COUNT]

Prints a table in Markdown: the floor (train against train), real test digits, the same in another order, blurred,
noised, one class alone, and training images repeated as a generator that copies would. `digits` looks at 10,000 each.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

import organza
from organza.data import DataOptions, open_source
from organza.metrics.measures import IMAGES
from organza.pools import pool_of

COPIES = 20


def blurred(images: np.ndarray) -> np.ndarray:
    """A Gaussian blur of radius 1."""
    pictures = (Image.fromarray(image[:, :, 0]).filter(ImageFilter.GaussianBlur(1)) for image in images)
    return np.stack([np.asarray(picture)[:, :, None] for picture in pictures])


def noised(images: np.ndarray) -> np.ndarray:
    """Gaussian noise of 40 grey levels."""
    noise = np.random.default_rng(0).normal(0, 40, images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    test = open_source("mnist", DataOptions(split="test")).read(np.arange(10_000))
    images = test["image"].permute(0, 2, 3, 1).numpy()[:count]
    train = open_source("mnist", DataOptions())
    known = np.concatenate([part.samples for part in pool_of(train, start=0, stop=count // COPIES)])
    of_one = pool_of(train, start=0, stop=len(train))
    ones = np.concatenate([part.samples[part.labels == 1] for part in of_one if part.labels is not None])
    sets = {
        "real": images,
        "shuffled": images[np.random.default_rng(0).permutation(len(images))],
        "blurred": blurred(images),
        "noised": noised(images),
        "ones only": np.resize(ones, (count, 28, 28, 1)) if len(ones) < count else ones[-count:],
        f"{len(known)} copies x {COPIES}": known.repeat(COPIES, axis=0),
    }
    columns, names = {}, {}
    for name, samples in sets.items():
        with tempfile.TemporaryDirectory() as folder:
            np.savez(Path(folder) / "set.npz", images=samples)
            found = organza.evaluate(Path(folder) / "set.npz", "mnist", count=count)
        columns.setdefault("floor", {one.measure: one.floor for one in found})
        columns[name] = {one.measure: one.value for one in found}
        names |= {one.measure: one.name for one in found}
        print(f"{name} done", file=sys.stderr)
    print("| score | " + " | ".join(columns) + " |")
    print("|---|" + "---|" * len(columns))
    for key in (key for key in IMAGES if key in names):
        cells = (f"{values[key]:.3g}" for values in columns.values())
        print(f"| {names[key]} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
