"""Few images: 500 digits without augmentation, with an adaptive one (ADA), and as plain `organza train` chooses.

    python benchmarks/few.py [--minutes 2] [--of-processor] [--seeds 3] [--images 500]

Whole runs of `dcgan` (and of `auto`), the seeds in the outer loop. 10,000 samples against the 10,000 test digits in the
features of `digits` (this is no FID): distance, precision and recall (k = 3); and what the doctor finds at the end.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from families import BY_PROCESSOR, ORGANZA

import organza
from organza.data import DataOptions, open_source
from organza.doctor.visit import ILL, visit
from organza.metrics.extractors import load_extractor
from organza.metrics.frechet import frechet_distance
from organza.metrics.manifold import precision_recall

AUGMENT = ["--augment", "translation", "scale", "stretch", "rotate", "cutout"]
SETTINGS = {
    "none": ["dcgan"],
    "constant": ["dcgan", *AUGMENT, "--augment-share", "0.5"],
    "ADA": ["dcgan", *AUGMENT, "--augment-target", "0.2"],
    "auto": [],
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("settings", nargs="*", choices=[*SETTINGS, []], default=list(SETTINGS))
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--of-processor", action="store_true", help="minutes of one thread, not by the clock")
    options = parser.parse_args()
    extract = load_extractor("digits")
    test = open_source("mnist", DataOptions(split="test"))
    real = extract(test.read(np.arange(10_000))["image"].permute(0, 2, 3, 1).numpy()).features
    head = "| augmentation | seed | samples seen | distance | precision | recall | the doctor at the end |"
    print(f"{options.images} digits, {options.minutes:g} minutes\n\n{head}\n{'|---' * 7}|", flush=True)
    for seed in range(options.seeds):
        for name in options.settings:
            with tempfile.TemporaryDirectory() as folder:
                run_folder = Path(folder) / "run"
                program = BY_PROCESSOR if options.of_processor else ORGANZA
                command = [*program, "train", *SETTINGS[name], "--limit", str(options.images)]
                command += ["--minutes", str(options.minutes), "--seed", str(seed), "--run", str(run_folder)]
                done = subprocess.run(command, capture_output=True, check=False)
                assert done.returncode in (0, ILL), done.stderr.decode()
                run = organza.open(run_folder)
                fake = extract(run.generate(10_000, seed=1)).features
                both, found = precision_recall(real, fake), ", ".join(finding.name for finding in visit(run))
                print(
                    f"| {name} | {seed} | {run.rows()[-1]['samples']:,} | {frechet_distance(real, fake):.1f} "
                    f"| {both.precision:.3f} | {both.recall:.3f} | {found or 'healthy'} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
