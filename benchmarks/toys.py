"""Modes and precision on the 2-D toys: ring8 in 20 s and grid25 in 60 s of training, without labels.

    python benchmarks/toys.py [--seeds 3] [RECIPE ...]

A sample is within 3 sigma if it lies within three standard deviations of the nearest mode; a mode counts if one does.
KL is that of the nearest modes to equal shares, in nats. 10,000 samples from averaged weights. By default what plain
`organza train --no-labels` takes, untuned per data set.
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import product
from pathlib import Path

import organza
from organza.data import DataOptions
from organza.data.toys import ToySource
from organza.metrics.modes import count_modes


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("recipes", nargs="*", default=["auto"])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for recipe, (data, seconds) in product(options.recipes, (("ring8", 20), ("grid25", 60))):
        source = ToySource(data, labels=False)
        for seed in range(options.seeds):
            with tempfile.TemporaryDirectory() as folder:
                run = organza.train(
                    recipe,
                    data=data,
                    options=DataOptions(labels=False),
                    minutes=seconds / 60,
                    seed=seed,
                    run=Path(folder) / "run",
                )
                modes = count_modes(run.generate(10_000), source.modes, std=source.std)
                seen = run.rows()[-1]["samples"]
            rows.append(
                f"| {recipe} | {data} | {seed} | {seconds} | {seen:,} | {modes.captured}/{modes.total} "
                f"| {modes.high_quality:.1%} | {modes.divergence:.3f} |"
            )
    print("\n| recipe | data | seed | seconds | samples seen | modes | within 3 sigma | KL |\n" + "|---" * 8 + "|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
