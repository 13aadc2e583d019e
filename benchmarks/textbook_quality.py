"""Does `vanilla:conv` make samples as good as the plain script's after the same number of samples? Both sides, in turn.

    python benchmarks/textbook_quality.py [--steps 300] [--seeds 2]

2,500 samples a side: their sliced Wasserstein distance to as many training images in [-1, 1] (real against real beside
it), and the share that the extractor `digits` recognises. A script's step takes about 3 s on two cores.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from textbook import HERE, IMAGES

import organza
from organza.data.idx import read_idx
from organza.metrics.extractors import Extractor, load_extractor
from organza.metrics.sliced import sliced_wasserstein

COUNT = 2_500


def by_script(steps: int, seed: int, folder: Path) -> np.ndarray:
    """Samples of the textbook script, (N, 28, 28) uint8."""
    out = folder / "script.npy"
    command = [sys.executable, str(HERE / "textbook_conv.py"), str(IMAGES), "--steps", str(steps)]
    subprocess.run([*command, "--seed", str(seed), "--out", str(out)], check=True, stdout=subprocess.DEVNULL)
    return np.load(out)


def by_organza(steps: int, seed: int, folder: Path) -> np.ndarray:
    """Samples of the preset after as many steps."""
    run = organza.train("vanilla:conv", samples=steps * 128, seed=seed, run=folder / "run")
    return run.generate(COUNT, seed=1)[..., 0]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    model, real = load_extractor("digits"), torch.from_numpy(read_idx(IMAGES).copy())
    real, other = real[:COUNT], real[COUNT : 2 * COUNT]
    rows = [
        "| samples | seed | distance to real | recognised |",
        "|---|---|---|---|",
        row("real", "", other, real, model),
    ]
    for seed in range(options.seeds):
        for name, side in (("script", by_script), ("organza", by_organza)):
            with tempfile.TemporaryDirectory() as folder:
                made = torch.from_numpy(side(options.steps, seed, Path(folder)))
            rows.append(row(name, str(seed), made, real, model))
            print(rows[-1], flush=True)
    print("\n" + "\n".join(rows))


def row(name: str, seed: str, made: torch.Tensor, real: torch.Tensor, model: Extractor) -> str:
    """One line of the table."""
    distance = sliced_wasserstein(made / 127.5 - 1, real / 127.5 - 1)
    probabilities = model(made[..., None]).probabilities
    assert probabilities is not None
    share = (probabilities.max(axis=1) > 0.9).mean()
    return f"| {name} | {seed} | {distance:.3f} | {share:.3f} |"


if __name__ == "__main__":
    main()
