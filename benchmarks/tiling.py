"""A model on a whole image and on tiles of it: the largest difference, in levels of 255.

    python benchmarks/tiling.py RUN IMAGE [--tile 96] [--overlaps 16 32 48]

RUN is any run that makes images from images, such as one of `srgan`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

import organza
from organza.apply import applier
from organza.data.images import pillow_limits, read_pixels


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("image", type=Path)
    parser.add_argument("--tile", type=int, default=96)
    parser.add_argument("--overlaps", type=int, nargs="*", default=[16, 32, 48])
    options = parser.parse_args()
    with pillow_limits(), options.image.open("rb") as file:
        pixels, _, _ = read_pixels(file)
    model = applier(organza.open(options.run), checkpoint="newest", device="cpu")
    whole = model(pixels).astype(int)
    print(f"{pixels.shape[1]}x{pixels.shape[0]} to {whole.shape[1]}x{whole.shape[0]}, tiles of {options.tile}")
    print("| overlap | largest difference | pixels that differ by more than 1 | mean difference |\n|---|---|---|---|")
    for overlap in options.overlaps:
        apart = np.abs(replace(model, tile=options.tile, overlap=overlap)(pixels) - whole)
        print(f"| {overlap} | {apart.max()} | {(apart > 1).mean():.2%} | {apart.mean():.4f} |", flush=True)


if __name__ == "__main__":
    main()
