"""How many generated digits an independent classifier recognises, as a share of real test digits.

    python benchmarks/digits.py RUN [RUN ...]
    python benchmarks/digits.py --train default --seeds 3       # plain `organza train`, from the shell prompt
    python benchmarks/digits.py --train unconditional --seeds 3 # ten minutes without labels

10,000 samples; recognised: confidence above 0.9. Prints the share relative to real test digits and the range of the ten
classes' shares. The classifier is trained once by digit_classifier.py and cached.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import torch
from digit_classifier import confidence, load_classifier, load_mnist

import organza

COMMANDS = {"default": [], "unconditional": ["dcgan", "--conditional", "no", "--minutes", "10"]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--train", choices=COMMANDS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("runs"))
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/organza/digit_classifier.safetensors")
    options = parser.parse_args()
    model = load_classifier(options.cache)
    floor = float((confidence(model, load_mnist("test")[0])[0] > 0.9).float().mean())
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
        sure, found = confidence(model, torch.from_numpy(run.generate(10_000, seed=12345)[..., 0]))
        shares = found.bincount(minlength=10) / len(found)
        share = (sure > 0.9).float().mean() / floor
        rows.append(
            f"| {folder.name} | {seconds:.1f} | {run.rows()[-1]['samples']:,} | {share:.4f} "
            f"| {shares.min():.1%} to {shares.max():.1%} |"
        )
    print("\n".join(rows))


if __name__ == "__main__":
    main()
