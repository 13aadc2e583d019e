"""The textbook presets against the same programs written as plain scripts with a per-image data loader, in turn.

    python benchmarks/textbook.py mlp1024 [--repeats 3]     # seconds per epoch
    python benchmarks/textbook.py conv [--repeats 3]        # seconds per step

organza's side is the whole command with its records, grids and checkpoints; start-up is left out on both sides.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import organza
from organza.data import idx

HERE = Path(__file__).parent
IMAGES = Path(idx.__file__).parent / "mnist" / "train-images-idx3-ubyte.gz"
STEPS = 14


def textbook(program: str) -> float:
    """Seconds per epoch (mlp1024) or step (conv) as the script prints them."""
    amount = ["--epochs", "1"] if program == "mlp1024" else ["--steps", str(STEPS)]
    command = [sys.executable, str(HERE / f"textbook_{program}.py"), str(IMAGES), *amount]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(re.findall(r"([\d.]+) s\b", printed)[-1])


def ours(program: str) -> float:
    """The same from organza's metrics.jsonl."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        samples = 60_000 if program == "mlp1024" else STEPS * 128
        command = [sys.executable, "-m", "organza", "train", f"vanilla:{program}", "--run", str(run)]
        command += ["--samples", str(samples)]
        # One of the preset's five epochs has a fifth of its 40 grids.
        command += ["--log-every", "128"] if program == "conv" else ["--sample-every", "7500"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        rows = organza.open(run).rows()
    if program == "mlp1024":
        return rows[-1]["time_s"] * 60_000 / rows[-1]["samples"]
    times = [row["time_s"] for row in rows]
    return statistics.median(after - before for before, after in pairwise(times))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("program", choices=["mlp1024", "conv"])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    pairs = []
    for _ in range(options.repeats):
        pairs.append((textbook(options.program), ours(options.program)))
    script, engine = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    unit = "s/epoch" if options.program == "mlp1024" else "s/step"
    print(f"| program | script {unit} | organza {unit} | ratio |\n|---|---|---|---|")
    print(f"| {options.program} | {script:.3f} | {engine:.3f} | {ratio:.3f} |")


if __name__ == "__main__":
    main()
