"""How many of the thousand modes of stacked MNIST a recipe makes, without being told them.

    python benchmarks/stacked.py --minutes 60 auto dcgan wgan_gp sngan stylegan2
    python benchmarks/stacked.py RUN [RUN ...] --minutes 0     # runs that are finished

26,000 samples; a mode is made if one sample's three channels are classified as its three digits. KL is that of the
modes' shares to equal ones, in nats; real images have 0.02 (too few samples for a thousand modes). With --of-processor
minutes are those that the process was computing, so that other work beside it matters less.
"""

from __future__ import annotations

import argparse
import time
import types
from pathlib import Path

import numpy as np

import organza
import organza.trainer
from organza.data import DataOptions
from organza.metrics.extractors import load_extractor
from organza.metrics.modes import stacked_modes

COUNT = 26_000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--of-processor",
        action="store_true",
        help="minutes of computing, over all threads",
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/stacked"))
    options = parser.parse_args()
    if options.of_processor:
        organza.trainer.time = types.SimpleNamespace(monotonic=time.process_time)  # pyright: ignore
    extract, rows = load_extractor("digits"), []
    for recipe in options.recipes:
        run = organza.open(recipe) if not options.minutes else None
        if run is None:
            run = organza.train(
                recipe,
                data="stacked-mnist",
                minutes=options.minutes,
                seed=options.seed,
                run=options.folder / recipe.replace(":", "-"),
                options=DataOptions(labels=False),
            )
        images = run.generate(COUNT, seed=1)
        probabilities = [extract(np.ascontiguousarray(images[..., [channel]])).probabilities for channel in range(3)]
        digits = np.stack([p.argmax(axis=1) for p in probabilities if p is not None], axis=1)
        modes = stacked_modes(digits)
        seen = run.rows()[-1]["samples"]
        rows.append(f"| {recipe} | {options.minutes:g} | {seen:,} | {modes.captured} | {modes.divergence:.3f} |")
    print("\n| recipe | minutes | samples seen | modes | KL |\n|---|---|---|---|---|\n" + "\n".join(rows))


if __name__ == "__main__":
    main()
