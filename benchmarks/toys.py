"""Modes and precision on the 2-D toys: ring8 in 20 s and grid25 in 60 s of training, without labels.

    python benchmarks/toys.py [--seeds 3]

A sample is within 3 sigma if it lies within three standard deviations of the nearest mode; a mode counts if one does.
KL is that of the nearest modes to equal shares, in nats. 10,000 samples from averaged weights. The default recipe for
points, untuned per data set.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import organza
from organza.data.toys import ToySource
from organza.metrics.modes import count_modes


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for data, seconds in (("ring8", 20), ("grid25", 60)):
        source = ToySource(data, labels=False)
        for seed in range(options.seeds):
            with tempfile.TemporaryDirectory() as folder:
                run = organza.train(
                    organza.find("dcgan:toy").recipe,
                    data=data,
                    minutes=seconds / 60,
                    seed=seed,
                    run=Path(folder) / "run",
                )
                modes = count_modes(run.generate(10_000), source.modes, std=source.std)
                seen = run.rows()[-1]["samples"]
            rows.append(
                f"| {data} | {seed} | {seconds} | {seen:,} | {modes.captured}/{modes.total} "
                f"| {modes.high_quality:.1%} | {modes.divergence:.3f} |"
            )
    print("\n| data | seed | seconds | samples seen | modes | within 3 sigma | KL |\n|---|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
