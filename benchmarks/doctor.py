"""What the doctor costs: the share of the time that it counts itself, and whole runs with and without it, in turn.

python benchmarks/doctor.py [--recipe dcgan] [--samples 60000] [--pairs 3]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import organza
from organza import RunSettings
from organza.settings import DoctorMode


def train(recipe: str, samples: int, doctor: DoctorMode) -> tuple[float, float]:
    """Seconds of training, and the share of them that the doctor took by its own count."""
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        settings = RunSettings(samples=samples, doctor=doctor)
        rows = organza.train(recipe, run=Path(folder) / "run", settings=settings).rows()
    costs = [row["health/cost"] for row in rows if "health/cost" in row]
    return rows[-1]["time_s"], costs[-1] if costs else 0.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--recipe", default="dcgan")
    parser.add_argument("--samples", type=int, default=60_000)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    ratios, shares = [], []
    print("| with | without | ratio | own count |\n|---|---|---|---|")
    for _ in range(options.pairs):
        bare, _ = train(options.recipe, options.samples, "off")
        watched, share = train(options.recipe, options.samples, "warn")
        ratios.append(watched / bare)
        shares.append(share)
        print(f"| {watched:.1f} s | {bare:.1f} s | {watched / bare:.3f} | {share:.1%} |", flush=True)
    print(f"\nmedian ratio {statistics.median(ratios):.3f}, median own count {statistics.median(shares):.1%}")


if __name__ == "__main__":
    main()
