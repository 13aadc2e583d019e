"""What truncation trades: precision and recall of a finished run at several strengths.

    python benchmarks/truncation.py RUN [RUN ...] [--data mnist]

10,000 samples against the 10,000 test images in the features of the project's own classifier (`digits` or `fashion`);
k = 3.
"""

from __future__ import annotations

import argparse

import numpy as np

import organza
from organza.data import DataOptions, open_source
from organza.metrics.extractors import load_extractor
from organza.metrics.frechet import frechet_distance
from organza.metrics.manifold import precision_recall

EXTRACTORS = {"mnist": "digits", "fashion-mnist": "fashion"}
STRENGTHS = (1.0, 0.8, 0.6, 0.4, 0.2)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--data", choices=EXTRACTORS, default="mnist")
    options = parser.parse_args()
    extract = load_extractor(EXTRACTORS[options.data])
    test = open_source(options.data, DataOptions(split="test"))
    real = extract(test.read(np.arange(10_000))["image"].permute(0, 2, 3, 1).numpy()).features
    print("| run | truncation | distance | precision | recall |\n" + "|---" * 5 + "|", flush=True)
    for name in options.runs:
        run = organza.open(name)
        for strength in STRENGTHS:
            fake = extract(run.generate(10_000, seed=1, truncation=strength)).features
            both = precision_recall(real, fake)
            print(
                f"| {run.folder.name} | {strength:g} | {frechet_distance(real, fake):.1f} | {both.precision:.3f} "
                f"| {both.recall:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
