"""How many generated digits an independent classifier recognises, as a share of real test digits.

    python benchmarks/digits.py RUN [RUN ...]
    python benchmarks/digits.py --train default --seeds 3       # plain `organza train`, from the shell prompt
    python benchmarks/digits.py --train unconditional --seeds 3 # ten minutes without labels

10,000 samples; recognised: confidence above 0.9. Prints the share relative to real test digits and the range of the ten
classes' shares. The classifier is the extractor `digits`; no generator is trained against it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import organza
from organza.data import DataOptions, open_source
from organza.metrics.extractors import load_extractor

COMMANDS = {"default": [], "unconditional": ["dcgan", "--conditional", "no", "--minutes", "10"]}


def real_digits() -> np.ndarray:
    """The 10,000 real test digits, (N, 28, 28, 1) uint8."""
    source = open_source("mnist", DataOptions(split="test"))
    return source.read(np.arange(len(source)))["image"].permute(0, 2, 3, 1).numpy()


def classified(images: np.ndarray) -> np.ndarray:
    """The probabilities of the ten digits, (N, 10), of images (N, 28, 28, 1) uint8."""
    probabilities = load_extractor("digits")(images).probabilities
    assert probabilities is not None
    return probabilities


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--train", choices=COMMANDS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("runs"))
    options = parser.parse_args()
    floor = float((classified(real_digits()).max(axis=1) > 0.9).mean())
    print(f"real test digits recognised with confidence > 0.9: {floor:.4f}\n")
    rows = ["| run | seconds from prompt to report | samples seen | share of real | classes |", "|---|---|---|---|---|"]
    runs = [(run, float("nan")) for run in options.runs]
    for seed in range(options.seeds if options.train else 0):
        folder = options.folder / f"digits-{options.train}-{seed}"
        command = [sys.executable, "-m", "organza", "train", *COMMANDS[options.train]]
        began = time.monotonic()
        subprocess.run([*command, "--seed", str(seed), "--run", str(folder)], check=True)
        runs.append((folder, time.monotonic() - began))
    for folder, seconds in runs:
        run = organza.open(folder)
        likely = classified(run.generate(10_000, seed=12345))
        shares = np.bincount(likely.argmax(axis=1), minlength=10) / len(likely)
        share = (likely.max(axis=1) > 0.9).mean() / floor
        rows.append(
            f"| {folder.name} | {seconds:.1f} | {run.rows()[-1]['samples']:,} | {share:.4f} "
            f"| {shares.min():.1%} to {shares.max():.1%} |"
        )
    print("\n".join(rows))


if __name__ == "__main__":
    main()
