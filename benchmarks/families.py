"""Every family on the same data for the same time, and plain `organza train` beside them.

    python benchmarks/families.py --minutes 1 --seeds 3                      # all families, MNIST
    python benchmarks/families.py --data fashion-mnist --minutes 5 dcgan cgan biggan
    python benchmarks/families.py --minutes 10 auto "auto --conditional no"  # any options of `organza train`

Whole runs from the shell prompt, one after the other, the seeds in the outer loop so that the machine's moods meet all
alike; with --of-processor minutes are those that the process was computing, so that other work beside it matters less.
10,000 samples against the 10,000 test images, in the features of the project's own classifier (`digits` or
`fashion`): Frechet distance (this is no FID), precision and recall (k = 3), the share of samples that the classifier
recognises with confidence > 0.9 relative to real images, the share that it calls by the label they were asked for, and
the range of the ten classes. Each run's grid goes to FOLDER/NAME-SEED.png.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

import organza
from organza.data import DataOptions, open_source
from organza.doctor.visit import ILL
from organza.generate import generate
from organza.metrics.extractors import load_extractor
from organza.metrics.frechet import frechet_distance
from organza.metrics.manifold import precision_recall
from organza.recipes import RECIPES

EXTRACTORS = {"mnist": "digits", "fashion-mnist": "fashion"}
ORGANZA = [sys.executable, "-m", "organza"]
BY_PROCESSOR = [
    sys.executable,
    "-c",
    "import sys, time, types, organza.trainer\n"
    "organza.trainer.time = types.SimpleNamespace(monotonic=time.process_time)\n"
    "from organza.cli.__main__ import main\n"
    "sys.exit(main())",
]
HEAD = "| family | seed | samples seen | distance | precision | recall | recognised | label right | classes |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("families", nargs="*", default=["auto", *RECIPES])
    parser.add_argument("--data", choices=EXTRACTORS, default="mnist")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--of-processor", action="store_true", help="minutes of one thread, not by the clock")
    parser.add_argument("--folder", type=Path, default=Path("runs/families"))
    options = parser.parse_args()
    extract = load_extractor(EXTRACTORS[options.data])
    source = open_source(options.data, DataOptions(split="test"))
    real = extract(source.read(np.arange(10_000))["image"].permute(0, 2, 3, 1).numpy())
    assert real.probabilities is not None
    certain = (real.probabilities.max(axis=1) > 0.9).mean()
    print(f"{options.data}, {options.minutes:g} minutes; real test images recognised: {certain:.4f}\n\n{HEAD}")
    print("|---" * HEAD.count(" | ") + "|---|", flush=True)
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for family in options.families:
            name = f"{family.replace(' ', '').replace(':', '-')}-{options.data}-{options.minutes:g}-{seed}"
            folder = options.folder / name
            shutil.rmtree(folder, ignore_errors=True)
            command = [*(BY_PROCESSOR if options.of_processor else ORGANZA), "train", *family.split()]
            command += ["--data", options.data]
            command += ["--minutes", str(options.minutes), "--seed", str(seed), "--run", str(folder)]
            one = {"OMP_NUM_THREADS": "1"} if options.of_processor else {}
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | one)
            if done.returncode not in (0, ILL):
                print(f"| {family} | {seed} | did not train: {done.stderr.strip().splitlines()[-1:]} |", flush=True)
                continue
            run = organza.open(folder)
            made = generate(run, 10_000, seed=12345)
            fake, requested = extract(made.samples), made.labels if run.spec.classes == source.spec.classes else None
            assert fake.probabilities is not None
            called, both = fake.probabilities.argmax(axis=1), precision_recall(real.features, fake.features)
            right = "" if requested is None else f"{(called == requested).mean():.3f}"
            classes = np.bincount(called, minlength=10) / len(called)
            print(
                f"| {family} | {seed} | {run.rows()[-1]['samples']:,} "
                f"| {frechet_distance(real.features, fake.features):.1f} | {both.precision:.3f} | {both.recall:.3f} "
                f"| {(fake.probabilities.max(axis=1) > 0.9).mean() / certain:.3f} | {right} "
                f"| {classes.min():.1%} to {classes.max():.1%} |",
                flush=True,
            )
            newest = max((folder / "samples").glob("*.png"))
            shutil.copyfile(newest, options.folder / f"{name}.png")


if __name__ == "__main__":
    main()
